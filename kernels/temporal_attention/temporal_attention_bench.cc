// google-benchmark of temporal_attention on the model's shapes (kernels/shapes), one thread.
// GFLOP/s counts 2 F^2 (d_qk + d_v) per head and position; GB/s each array once.
#include <cmath>
#include <sstream>

#include "mobilevd/kernels/temporal_attention.h"
#include "testing/bench_main.h"

namespace mobilevd::kernels {
namespace {

void run(benchmark::State& state, const TemporalAttentionShape& shape) {
  const std::size_t size = shape.frames * shape.positions * shape.num_heads * shape.head_dim_qk;
  BenchBuffer q(size), k(size), v(size), out(size);
  for (auto* array : {&q, &k, &v}) array->fill();
  const float scale = 1 / std::sqrt(static_cast<float>(shape.head_dim_qk));
  const bool ok = measure(state, [&] {
    return temporal_attention(q.data(), k.data(), v.data(), out.data(), shape, scale);
  });
  if (!ok) return;
  state.counters["GFLOP/s"] = rate(state, 4e-9 * size * shape.frames);
  state.counters["GB/s"] = rate(state, 1e-9 * size * 4 * sizeof(float));
}

bool read_cases(std::istream& fields, std::vector<BenchCase>* cases) {
  std::int64_t frames, positions, channels, head_dim;
  if (!(fields >> frames >> positions >> channels >> head_dim)) return false;
  const TemporalAttentionShape shape{1, frames, positions, channels / head_dim, head_dim, head_dim};
  std::ostringstream name;
  name << "temporal_attention/" << frames << "x" << positions << "x" << channels
       << "/head_dim:" << head_dim;
  cases->push_back({name.str(), [shape](benchmark::State& state) { run(state, shape); }});
  return true;
}

}  // namespace
}  // namespace mobilevd::kernels

int main(int argc, char** argv) {
  using namespace mobilevd::kernels;
  return bench_main(argc, argv, "temporal_attention", ScalarReference::kMeasured, read_cases);
}
