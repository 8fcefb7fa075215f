#pragma once

#include <cstddef>

#include "simd/unroll.h"

// Include only after an ISA's header, in that ISA's translation unit.
namespace mobilevd::kernels {
namespace {

/// Mean of a row, and the reciprocal of its standard deviation.
struct RowMoments {
  float mean, inverse_deviation;
};

/// In two passes, the second over the deviations: no cancellation where the mean is large.
template <typename D>
RowMoments row_moments(const float* x, int channels, float eps) {
  constexpr int kLanes = D::kLanes, kSums = 4;
  const auto total = [&](auto&& term, auto&& rest) {
    typename D::Vec sums[kSums] = {D::zero(), D::zero(), D::zero(), D::zero()};
    int c = 0;
    for (; c + kSums * kLanes <= channels; c += kSums * kLanes) {
#pragma GCC unroll 4
      for (int i = 0; i < kSums; ++i) sums[i] = term(sums[i], D::load(x + c + i * kLanes));
    }
    for (; c + kLanes <= channels; c += kLanes) sums[0] = term(sums[0], D::load(x + c));
    float sum = D::reduce_add(D::add(D::add(sums[0], sums[1]), D::add(sums[2], sums[3])));
    for (; c < channels; ++c) sum += rest(x[c]);
    return sum;
  };
  using Vec = typename D::Vec;
  const float mean =
      total([](Vec sum, Vec v) { return D::add(sum, v); }, [](float v) { return v; }) /
      static_cast<float>(channels);
  const Vec means = D::set(mean);
  const float squares = total(
      [&](Vec sum, Vec v) {
        const Vec d = D::sub(v, means);
        return D::fma(d, d, sum);
      },
      [&](float v) { return (v - mean) * (v - mean); });
  return {mean, 1.0f / __builtin_sqrtf(squares / static_cast<float>(channels) + eps)};
}

}  // namespace
}  // namespace mobilevd::kernels
