#pragma once

#include <cstddef>
#include <cstdint>

#include "conv_int8/conv_int8_internal.h"
#include "simd/unroll.h"

namespace mobilevd::kernels {
namespace {

/// Features to 8 bits; D and I as in gemm_int8_inl.h.
template <typename D, typename I>
void quantise_pixels(const float* x, std::ptrdiff_t pixels, std::ptrdiff_t channels,
                     const Int8Range& range, std::int8_t* q) {
  using Vec = typename D::Vec;
  constexpr int kLanes = D::kLanes, kVecs = kInt8Pixel / kLanes;
  const Vec factor = D::set(1.0f / range.scale);
  const Vec zero = D::set(static_cast<float>(range.zero_point));
  const Vec high = D::set(127.0f), low = D::set(-128.0f);
  const auto one = [&](auto&& load) {
    Vec v[kVecs];
#pragma GCC unroll 4
    for (int i = 0; i < kVecs; ++i) {
      v[i] = D::max(D::min(D::fma(load(i * kLanes), factor, zero), high), low);
    }
    I::quantise16(v, q);
    q += kInt8Pixel;
  };
  // Where nothing is rounded up, the pixels are one.
  if (channels % kInt8Pixel == 0) channels *= pixels, pixels = 1;
  for (std::ptrdiff_t p = 0; p < pixels; ++p, x += channels) {
    std::ptrdiff_t c = 0;
    for (; c + kInt8Pixel <= channels; c += kInt8Pixel) {
      one([&](int i) { return D::load(x + c + i); });
    }
    if (c < channels) {
      const int left = static_cast<int>(channels - c);
      one([&](int i) {
        return D::load_partial(x + c + smaller(i, left), larger(0, smaller(left - i, kLanes)));
      });
    }
  }
}

}  // namespace
}  // namespace mobilevd::kernels
