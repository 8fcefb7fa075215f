#pragma once

#include <cstddef>

namespace mobilevd {

/// Resizes one plane [in_height, in_width] to [out_height, out_width], row-major floats.
/// Separable Catmull-Rom cubic (a = -0.5) whose support grows with the reduction, so shrinking is
/// antialiased; weights are normalised at the borders. Pixel centres at half-integers. This is
/// Pillow's BICUBIC on mode "F" (the tests hold them together), so Python can prepare equal data.
void resize_plane(const float* in, std::size_t in_height, std::size_t in_width, float* out,
                  std::size_t out_height, std::size_t out_width);

}  // namespace mobilevd
