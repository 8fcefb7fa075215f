// google-benchmark of spatial_attention on the model's shapes (kernels/shapes), one thread. GFLOP/s
// counts 2 S^2 (d_qk + d_v) per head: the two matrix products, not the softmax between them.
#include <cmath>
#include <sstream>

#include "mobilevd/kernels/spatial_attention.h"
#include "testing/bench_main.h"

namespace mobilevd::kernels {
namespace {

void run(benchmark::State& state, const SpatialAttentionShape& s) {
  const std::size_t size = s.batch * s.tokens * s.num_heads * s.head_dim_qk;
  BenchBuffer q(size), k(size), v(size), out(size);
  BenchBuffer scratch(spatial_attention_scratch_bytes(s, 1) / sizeof(float));
  for (BenchBuffer* array : {&q, &k, &v}) array->fill();
  const float scale = 1 / std::sqrt(static_cast<float>(s.head_dim_qk));
  const bool ok = measure(state, [&] {
    return spatial_attention(q.data(), k.data(), v.data(), out.data(), s, scale, scratch.data(), 1);
  });
  if (!ok) return;
  state.counters["GFLOP/s"] = rate(state, 4e-9 * size * s.key_tokens);
}

bool read_cases(std::istream& fields, std::vector<BenchCase>* cases) {
  std::int64_t batch, tokens, channels, head_dim;
  if (!(fields >> batch >> tokens >> channels >> head_dim)) return false;
  const SpatialAttentionShape s{batch, tokens, tokens, channels / head_dim, head_dim, head_dim};
  std::ostringstream name;
  name << "spatial_attention/" << batch << "x" << tokens << "x" << channels
       << "/head_dim:" << head_dim;
  cases->push_back({name.str(), [s](benchmark::State& state) { run(state, s); }});
  return true;
}

}  // namespace
}  // namespace mobilevd::kernels

int main(int argc, char** argv) {
  using namespace mobilevd::kernels;
  return bench_main(argc, argv, "spatial_attention", ScalarReference::kLeftOut, read_cases);
}
