// google-benchmark of conv2d_3x3 on the model's shapes (kernels/shapes), one thread. GFLOP/s counts
// the multiplications of the definition, so that Winograd may pass the FMA peak.
#include "mobilevd/kernels/conv2d.h"
#include "testing/conv2d_cases.h"

namespace mobilevd::kernels {
namespace {

void run(benchmark::State& state, const Conv2dShape& s) {
  BenchBuffer x(s.batch * s.height * s.width * s.in_channels), out(out_pixels(s) * s.out_channels);
  BenchBuffer packed(conv_packed_size(s.in_channels, s.out_channels, 9));
  BenchBuffer scratch(conv2d_3x3_scratch_bytes(s, 1) / sizeof(float));
  x.fill();
  packed.fill();
  const bool ok = measure(state, [&] {
    return conv2d_3x3(x.data(), packed.data(), out.data(), s, {}, scratch.data(), 1);
  });
  if (!ok) return;
  state.counters["GFLOP/s"] = conv2d_rate(state, s);
}

}  // namespace
}  // namespace mobilevd::kernels

int main(int argc, char** argv) {
  using namespace mobilevd::kernels;
  return bench_main(argc, argv, "conv2d", ScalarReference::kLeftOut,
                    conv2d_cases("conv2d_3x3", run));
}
