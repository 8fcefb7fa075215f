// The scalar reference: portable C++, no intrinsics; sums over the taps of each output.
#include <algorithm>
#include <cmath>

#include "conv/epilogue_ref.h"
#include "conv_int8/conv_int8_internal.h"

namespace mobilevd::kernels {
namespace {

void quantise(const float* x, std::ptrdiff_t pixels, std::ptrdiff_t channels,
              const Int8Range& range, std::int8_t* q) {
  const float factor = 1.0f / range.scale, zero = static_cast<float>(range.zero_point);
  for (std::ptrdiff_t p = 0; p < pixels; ++p, x += channels) {
    for (std::ptrdiff_t c = 0; c < (channels + kInt8Pixel - 1) / kInt8Pixel * kInt8Pixel; ++c) {
      const float y = c < channels ? std::fma(x[c], factor, zero) : zero;
      // In this order NaN becomes a number, too.
      *q++ = static_cast<std::int8_t>(std::nearbyint(std::max(-128.0f, std::min(127.0f, y))));
    }
  }
}

void direct(const ConvInt8Task& t, const LanePart& part) {
  for (std::ptrdiff_t output = part.unit_begin; output < part.unit_end; ++output) {
    const std::ptrdiff_t line = output / t.out_width, picture = line / t.out_height;
    const std::ptrdiff_t top = line % t.out_height * t.stride - 1;
    const std::ptrdiff_t left = output % t.out_width * t.stride - t.filter_width / 2;
    const std::ptrdiff_t end = std::min(part.panel_end * kPanelColumns, t.out_channels);
    for (std::ptrdiff_t o = part.panel_begin * kPanelColumns; o < end; ++o) {
      std::int64_t sum = 0;  // with the zero points taken off, 32 bits end at 7368 channels
      for (int tap = 0; tap < t.taps(); ++tap) {
        const std::ptrdiff_t y = top + tap / t.filter_width, x = left + tap % t.filter_width;
        if (y < 0 || y >= t.height || x < 0 || x >= t.width) continue;
        const std::int8_t* q = t.q + ((picture * t.height + y) * t.width + x) * t.pixel_bytes;
        const std::int8_t* weight = t.weight + o / kPanelColumns * t.panel_bytes() +
                                    o % kPanelColumns * kInt8Group +
                                    tap * t.groups() * kInt8Group * kPanelColumns;
        for (std::ptrdiff_t c = 0; c < t.in_channels; ++c) {
          const std::ptrdiff_t at = c / kInt8Group * kInt8Group * kPanelColumns + c % kInt8Group;
          sum += (q[c] - t.range.zero_point) * weight[at];
        }
      }
      finish(t.epilogue, static_cast<float>(sum) * (t.range.scale * t.scales[o]), o,
             t.out_pixel(output) * t.out_channels + o, t.out);
    }
  }
}

}  // namespace

const ConvInt8Variant kConvInt8Scalar = {quantise, direct, nullptr};

}  // namespace mobilevd::kernels
