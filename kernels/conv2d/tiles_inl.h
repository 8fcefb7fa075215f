#pragma once

#include <cstddef>

#include "conv2d/conv2d_internal.h"

namespace mobilevd::kernels {
namespace {

struct TilePlace {
  std::ptrdiff_t picture, y, x;  ///< y and x of the first output
};

/// Tiles of kSide x kSide outputs, row by row, picture by picture.
template <int kSide>
class Tiles {
 public:
  Tiles(std::ptrdiff_t out_height, std::ptrdiff_t out_width)
      : down_((out_height + kSide - 1) / kSide), across_((out_width + kSide - 1) / kSide) {}

  TilePlace place(std::ptrdiff_t index) const {
    const std::ptrdiff_t row = index / across_;
    return {row / down_, row % down_ * kSide, index % across_ * kSide};
  }

 private:
  std::ptrdiff_t down_, across_;
};

/// n <= kLanes channels of an input pixel from `channel` on; zeros beside the picture.
template <typename D, typename T, typename W>
[[gnu::always_inline]] inline typename D::Vec load_pixel(const Conv2dTask<T, W>& t,
                                                         std::ptrdiff_t picture, std::ptrdiff_t y,
                                                         std::ptrdiff_t x, std::ptrdiff_t channel,
                                                         int n) {
  if (y < 0 || y >= t.height || x < 0 || x >= t.width) return D::zero();
  const T* p = t.x + ((picture * t.height + y) * t.width + x) * t.in_channels + channel;
  // Of the channels after the next ones: a tile's pixels are too far apart for the hardware.
  D::prefetch_near(reinterpret_cast<const char*>(p + 2 * D::kLanes));
  return n == D::kLanes ? D::load(p) : D::load_partial(p, n);
}

}  // namespace
}  // namespace mobilevd::kernels
