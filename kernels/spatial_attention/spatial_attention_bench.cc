// google-benchmark of spatial_attention on the model's shapes (kernels/shapes), one thread. GFLOP/s
// counts 2 S^2 (d_qk + d_v) per head: the two matrix products, not the softmax between them.
#include <benchmark/benchmark.h>

#include <cmath>
#include <fstream>
#include <sstream>
#include <string>

#include "mobilevd/kernels/dispatch.h"
#include "mobilevd/kernels/spatial_attention.h"
#include "testing/bench_buffer.h"

namespace mobilevd::kernels {
namespace {

void run(benchmark::State& state, const SpatialAttentionShape& s, Isa isa) {
  if (const Status status = set_isa(isa_name(isa)); !status.ok()) {
    state.SkipWithError(status.message);
    return;
  }
  const std::size_t size = s.batch * s.tokens * s.num_heads * s.head_dim_qk;
  BenchBuffer q(size), k(size), v(size), out(size);
  BenchBuffer scratch(spatial_attention_scratch_bytes(s, 1) / sizeof(float));
  for (BenchBuffer* array : {&q, &k, &v}) array->fill();
  const float scale = 1 / std::sqrt(static_cast<float>(s.head_dim_qk));
  for (auto _ : state) {
    const Status status =
        spatial_attention(q.data(), k.data(), v.data(), out.data(), s, scale, scratch.data(), 1);
    if (!status.ok()) {
      state.SkipWithError(status.message);
      return;
    }
    benchmark::ClobberMemory();
  }
  state.counters["GFLOP/s"] = benchmark::Counter(4e-9 * size * s.key_tokens * state.iterations(),
                                                 benchmark::Counter::kIsRate);
}

void register_all() {
  std::size_t count = 0;
  const Isa* isas = available_isas(&count);
  std::ifstream file(MOBILEVD_SHAPES_DIR "/spatial_attention.txt");
  for (std::string line; std::getline(file, line);) {
    std::int64_t batch, tokens, channels, head_dim;
    std::istringstream fields(line);
    if (line.empty() || line[0] == '#' || !(fields >> batch >> tokens >> channels >> head_dim)) {
      continue;
    }
    const SpatialAttentionShape s{batch, tokens, tokens, channels / head_dim, head_dim, head_dim};
    for (std::size_t i = 1; i < count; ++i) {  // the scalar reference would take minutes
      std::ostringstream name;
      name << "spatial_attention/" << batch << "x" << tokens << "x" << channels
           << "/head_dim:" << head_dim << "/" << isa_name(isas[i]);
      benchmark::RegisterBenchmark(name.str().c_str(), run, s, isas[i])
          ->Unit(benchmark::kMillisecond)
          ->UseRealTime();
    }
  }
}

}  // namespace
}  // namespace mobilevd::kernels

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  mobilevd::kernels::register_all();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
