// google-benchmark of group_norm_silu on the model's shapes (kernels/shapes), one thread. GB/s
// counts x and out once each: what a copy would move.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>

#include "mobilevd/kernels/dispatch.h"
#include "mobilevd/kernels/group_norm_silu.h"
#include "testing/bench_buffer.h"

namespace mobilevd::kernels {
namespace {

void run(benchmark::State& state, const GroupNormSiluShape& shape, Isa isa) {
  if (const Status status = set_isa(isa_name(isa)); !status.ok()) {
    state.SkipWithError(status.message);
    return;
  }
  const std::size_t size = shape.batch * shape.channels * shape.positions;
  BenchBuffer x(size), weight(shape.channels), bias(shape.channels), out(size);
  for (auto* array : {&x, &weight, &bias}) array->fill();
  for (auto _ : state) {
    const Status status =
        group_norm_silu(x.data(), weight.data(), bias.data(), out.data(), shape, 1e-5f);
    if (!status.ok()) {
      state.SkipWithError(status.message);
      return;
    }
    benchmark::ClobberMemory();
  }
  const double calls = static_cast<double>(state.iterations());
  state.counters["GB/s"] =
      benchmark::Counter(1e-9 * calls * size * 2 * sizeof(float), benchmark::Counter::kIsRate);
}

bool register_shapes(const std::string& path) {
  std::ifstream file(path);
  if (!file) return false;
  std::size_t count = 0;
  const Isa* isas = available_isas(&count);
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    std::int64_t batch, channels, positions, last;
    if (!(std::istringstream(line) >> batch >> channels >> positions >> last)) return false;
    const GroupNormSiluShape shape{batch, channels, positions, 32, last != 0};
    for (std::size_t i = 0; i < count; ++i) {
      const Isa isa = isas[i];
      const std::string name = "group_norm_silu/" + std::to_string(batch) + "x" +
                               std::to_string(channels) + "x" + std::to_string(positions) +
                               "/channels_" + (last ? "last/" : "first/") + isa_name(isa);
      benchmark::RegisterBenchmark(
          name.c_str(), [shape, isa](benchmark::State& state) { run(state, shape, isa); })
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
  const std::string path = std::string(MOBILEVD_SHAPES_DIR) + "/group_norm_silu.txt";
  if (!mobilevd::kernels::register_shapes(path)) {
    std::fprintf(stderr, "group_norm_silu_bench: cannot read the shapes in %s\n", path.c_str());
    return 1;
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
