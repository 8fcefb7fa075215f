// The scalar reference: the definition read aloud, sums in float64. All methods are the same here.
#include "conv/epilogue_ref.h"
#include "conv2d/conv2d_internal.h"

namespace mobilevd::kernels {
namespace {

template <typename T, typename W>
float sum_at(const Conv2dTask<T, W>& t, std::ptrdiff_t row, std::ptrdiff_t column,
             std::ptrdiff_t channel) {
  const std::ptrdiff_t picture = row / t.out_height;
  const W* panel = t.weight + channel / 16 * 9 * t.in_channels * 16 + channel % 16;
  double sum = 0;
  for (int tap = 0; tap < 9; ++tap) {
    const std::ptrdiff_t y = row % t.out_height * t.stride + tap / 3 - 1;
    const std::ptrdiff_t x = column * t.stride + tap % 3 - 1;
    if (y < 0 || y >= t.height || x < 0 || x >= t.width) continue;
    const T* pixel = t.x + ((picture * t.height + y) * t.width + x) * t.in_channels;
    const W* weight = panel + tap * t.in_channels * 16;
    for (std::ptrdiff_t c = 0; c < t.in_channels; ++c) {
      sum += static_cast<double>(widen(pixel[c])) * widen(weight[c * 16]);
    }
  }
  return static_cast<float>(sum);
}

/// One unit is a square of `side` x `side` outputs.
template <int side, typename T, typename W>
void squares(const Conv2dTask<T, W>& t, const LanePart& part) {
  const std::ptrdiff_t across = (t.out_width + side - 1) / side;
  const std::ptrdiff_t down = (t.out_height + side - 1) / side;
  for (std::ptrdiff_t unit = part.unit_begin; unit < part.unit_end; ++unit) {
    const std::ptrdiff_t picture = unit / across / down, top = unit / across % down * side;
    for (int i = 0; i < side * side; ++i) {
      const std::ptrdiff_t y = top + i / side, x = unit % across * side + i % side;
      if (y >= t.out_height || x >= t.out_width) continue;
      const std::ptrdiff_t row = picture * t.out_height + y;
      for (std::ptrdiff_t c = part.panel_begin * 16; c < part.panel_end * 16 && c < t.out_channels;
           ++c) {
        const std::ptrdiff_t offset = (row * t.out_width + x) * t.out_channels + c;
        finish(t.epilogue, sum_at(t, row, x, c), c, offset, t.out);
      }
    }
  }
}

template <typename T, typename W>
constexpr Conv2dMethods<T, W> kMethods = {squares<kTileOut, T, W>, squares<kStridedOut, T, W>,
                                          squares<1, T, W>};

}  // namespace

const Conv2dVariant kConv2dScalar = {kMethods<float, float>, kMethods<float, Half>,
                                     kMethods<Half, Half>};

}  // namespace mobilevd::kernels
