// google-benchmark of temporal_attention on the model's shapes (kernels/shapes), one thread.
// GFLOP/s counts 2 F^2 (d_qk + d_v) per head and position; GB/s each array once.
#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>

#include "mobilevd/kernels/dispatch.h"
#include "mobilevd/kernels/temporal_attention.h"
#include "testing/bench_buffer.h"

namespace mobilevd::kernels {
namespace {

void run(benchmark::State& state, const TemporalAttentionShape& shape, Isa isa) {
  if (const Status status = set_isa(isa_name(isa)); !status.ok()) {
    state.SkipWithError(status.message);
    return;
  }
  const std::size_t size = shape.frames * shape.positions * shape.num_heads * shape.head_dim_qk;
  BenchBuffer q(size), k(size), v(size), out(size);
  for (auto* array : {&q, &k, &v}) array->fill();
  const float scale = 1 / std::sqrt(static_cast<float>(shape.head_dim_qk));
  for (auto _ : state) {
    const Status status =
        temporal_attention(q.data(), k.data(), v.data(), out.data(), shape, scale);
    if (!status.ok()) {
      state.SkipWithError(status.message);
      return;
    }
    benchmark::ClobberMemory();
  }
  const double calls = static_cast<double>(state.iterations());
  const auto rate = benchmark::Counter::kIsRate;
  state.counters["GFLOP/s"] = benchmark::Counter(4e-9 * calls * size * shape.frames, rate);
  state.counters["GB/s"] = benchmark::Counter(1e-9 * calls * size * 4 * sizeof(float), rate);
}

bool register_shapes(const std::string& path) {
  std::ifstream file(path);
  if (!file) return false;
  std::size_t count = 0;
  const Isa* isas = available_isas(&count);
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    std::int64_t frames, positions, channels, head_dim;
    if (!(std::istringstream(line) >> frames >> positions >> channels >> head_dim)) return false;
    const TemporalAttentionShape shape{1,        frames,  positions, channels / head_dim,
                                       head_dim, head_dim};
    for (std::size_t i = 0; i < count; ++i) {
      const Isa isa = isas[i];
      const std::string name = "temporal_attention/" + std::to_string(frames) + "x" +
                               std::to_string(positions) + "x" + std::to_string(channels) +
                               "/head_dim:" + std::to_string(head_dim) + "/" + isa_name(isa);
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
  const std::string path = std::string(MOBILEVD_SHAPES_DIR) + "/temporal_attention.txt";
  if (!mobilevd::kernels::register_shapes(path)) {
    std::fprintf(stderr, "temporal_attention_bench: cannot read the shapes in %s\n", path.c_str());
    return 1;
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
