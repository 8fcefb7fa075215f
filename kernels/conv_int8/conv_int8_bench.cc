// google-benchmark of conv2d_3x3_int8 on conv2d's shapes (kernels/shapes), one thread. GFLOP/s
// counts the multiplications of the definition, so that Winograd may pass the peak.
#include <cstdint>
#include <vector>

#include "mobilevd/kernels/conv_int8.h"
#include "testing/conv2d_cases.h"

namespace mobilevd::kernels {
namespace {

void run(benchmark::State& state, const Conv2dShape& s) {
  BenchBuffer x(s.batch * s.height * s.width * s.in_channels), out(out_pixels(s) * s.out_channels);
  BenchBuffer scratch(conv2d_3x3_int8_scratch_bytes(s, 1) / sizeof(float));
  x.fill();
  const ConvInt8Sizes sizes = conv_int8_sizes(s.in_channels, s.out_channels, 9);
  std::vector<std::int8_t> packed(sizes.packed);
  BenchBuffer scales(sizes.scales);
  {
    BenchBuffer weight(s.out_channels * s.in_channels * 9);
    weight.fill();
    const Status status = pack_conv_int8(weight.data(), packed.data(), scales.data(), s.in_channels,
                                         s.out_channels, 9);
    if (!status.ok()) return state.SkipWithError(status.message);
  }
  const Int8Range range{1.0f / 127, 0};
  const bool ok = measure(state, [&] {
    return conv2d_3x3_int8(x.data(), packed.data(), scales.data(), out.data(), s, range, {},
                           scratch.data(), 1);
  });
  if (!ok) return;
  state.counters["GFLOP/s"] = conv2d_rate(state, s);
}

}  // namespace
}  // namespace mobilevd::kernels

int main(int argc, char** argv) {
  using namespace mobilevd::kernels;
  return bench_main(argc, argv, "conv2d", ScalarReference::kLeftOut,
                    conv2d_cases("conv2d_3x3_int8", run));
}
