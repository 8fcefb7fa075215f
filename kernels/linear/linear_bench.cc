// google-benchmark of linear on the model's shapes (kernels/shapes), float32, one thread. GFLOP/s
// counts 2 M K per output of the weight; GB/s each array once.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <fstream>
#include <new>
#include <random>
#include <sstream>
#include <string>

#include "mobilevd/kernels/dispatch.h"
#include "mobilevd/kernels/linear.h"

namespace mobilevd::kernels {
namespace {

/// Page-aligned, as frameworks align tensors to 64 bytes, and of ordinary numbers.
class Buffer {
 public:
  explicit Buffer(std::size_t size) : data_(new (std::align_val_t{4096}) float[size]), size_(size) {
    std::mt19937 generator(1);
    std::uniform_real_distribution<float> uniform(-1, 1);
    for (std::size_t i = 0; i < size; ++i) data_[i] = uniform(generator);
  }
  ~Buffer() { ::operator delete[](data_, std::align_val_t{4096}); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  float* data() { return data_; }
  std::size_t bytes() const { return size_ * sizeof(float); }

 private:
  float* data_;
  std::size_t size_;
};

void run(benchmark::State& state, const LinearShape& shape, const std::string& epilogue, Isa isa) {
  if (const Status status = set_isa(isa_name(isa)); !status.ok()) {
    state.SkipWithError(status.message);
    return;
  }
  const Activation activation = epilogue == "geglu"  ? Activation::kGeglu
                                : epilogue == "silu" ? Activation::kSilu
                                                     : Activation::kNone;
  const std::size_t outputs = shape.out_features * (epilogue == "geglu" ? 2 : 1);
  Buffer x(shape.rows * shape.in_features), out(shape.rows * shape.out_features);
  Buffer residual(epilogue == "residual" ? shape.rows * shape.out_features : 0);
  Buffer packed(packed_linear_size(shape, activation)), bias(outputs);
  const float* const added = epilogue == "residual" ? residual.data() : nullptr;
  for (auto _ : state) {
    const Status status =
        linear(x.data(), packed.data(), bias.data(), added, out.data(), shape, activation);
    if (!status.ok()) {
      state.SkipWithError(status.message);
      return;
    }
    benchmark::ClobberMemory();
  }
  const double calls = static_cast<double>(state.iterations());
  const double bytes = x.bytes() + packed.bytes() + residual.bytes() + out.bytes();
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
    for (std::size_t i = 0; i < count; ++i) {
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
