// google-benchmark of linear on the model's shapes (kernels/shapes), float32, one thread. GFLOP/s
// counts 2 M K per output of the weight; GB/s each array once.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>

#include "mobilevd/kernels/dispatch.h"
#include "mobilevd/kernels/linear.h"
#include "testing/bench_buffer.h"

namespace mobilevd::kernels {
namespace {

void run(benchmark::State& state, const LinearShape& shape, const std::string& epilogue, Isa isa) {
  if (const Status status = set_isa(isa_name(isa)); !status.ok()) {
    state.SkipWithError(status.message);
    return;
  }
  const Activation activation = epilogue == "geglu"  ? Activation::kGeglu
                                : epilogue == "silu" ? Activation::kSilu
                                                     : Activation::kNone;
  const std::size_t outputs = shape.out_features * (epilogue == "geglu" ? 2 : 1);
  const std::size_t x_size = shape.rows * shape.in_features;
  const std::size_t out_size = shape.rows * shape.out_features;
  const std::size_t residual_size = epilogue == "residual" ? out_size : 0;
  const std::size_t weight_size = packed_linear_size(shape, activation);
  BenchBuffer x(x_size), packed(weight_size), bias(outputs), residual(residual_size), out(out_size);
  BenchBuffer scratch(linear_scratch_bytes(shape, 1) / sizeof(float));
  for (BenchBuffer* buffer : {&x, &packed, &bias, &residual}) buffer->fill();
  const float* const added = residual_size > 0 ? residual.data() : nullptr;
  for (auto _ : state) {
    const Status status = linear(x.data(), packed.data(), bias.data(), added, out.data(), shape,
                                 activation, scratch.data(), 1);
    if (!status.ok()) {
      state.SkipWithError(status.message);
      return;
    }
    benchmark::ClobberMemory();
  }
  const double calls = static_cast<double>(state.iterations());
  const double bytes = sizeof(float) * (x_size + weight_size + residual_size + out_size);
  const auto rate = benchmark::Counter::kIsRate;
  state.counters["GFLOP/s"] =
      benchmark::Counter(2e-9 * calls * shape.rows * shape.in_features * outputs, rate);
  state.counters["GB/s"] = benchmark::Counter(1e-9 * calls * bytes, rate);
}

bool register_shapes(const std::string& path) {
  std::ifstream file(path);
  if (!file) return false;
  std::size_t count = 0;
  const Isa* isas = available_isas(&count);
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    LinearShape shape;
    std::string epilogue;
    if (!(std::istringstream(line) >> shape.rows >> shape.in_features >> shape.out_features >>
          epilogue)) {
      return false;
    }
    for (std::size_t i = 1; i < count; ++i) {  // the scalar reference would take minutes
      const Isa isa = isas[i];
      const std::string name =
          "linear/" + std::to_string(shape.rows) + "x" + std::to_string(shape.in_features) + "x" +
          std::to_string(shape.out_features) + "/" + epilogue + "/" + isa_name(isa);
      benchmark::RegisterBenchmark(
          name.c_str(),
          [shape, epilogue, isa](benchmark::State& state) { run(state, shape, epilogue, isa); })
          ->Unit(benchmark::kMillisecond)
          ->UseRealTime();
    }
  }
  return true;
}

}  // namespace
}  // namespace mobilevd::kernels

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  const std::string path = std::string(MOBILEVD_SHAPES_DIR) + "/linear.txt";
  if (!mobilevd::kernels::register_shapes(path)) {
    std::fprintf(stderr, "linear_bench: cannot read the shapes in %s\n", path.c_str());
    return 1;
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
