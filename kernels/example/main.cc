#include <mobilevd/kernels/dispatch.h>
#include <mobilevd/kernels/temporal_attention.h>

#include <cmath>
#include <cstdio>
#include <vector>

namespace mk = mobilevd::kernels;

int main() {
  mk::TemporalAttentionShape shape;
  shape.frames = 14;
  shape.positions = 2048;
  shape.num_heads = 5;
  shape.head_dim_qk = shape.head_dim_v = 64;
  std::vector<float> q(14 * 2048 * 5 * 64, 0.1f), k = q, v = q, out(q.size());
  // The last argument is your thread pool's parallel-for (parallel.h); without it, one thread.
  const mk::Status status =
      mk::temporal_attention(q.data(), k.data(), v.data(), out.data(), shape, 1 / std::sqrt(64.0f));
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.message);
    return 1;
  }
  std::printf("%s: out[0] = %g\n", mk::isa_name(mk::isa()), out[0]);
}
