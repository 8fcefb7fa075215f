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

/// `count` <= kLanes elements of a row; those that do not exist are 0.
template <typename D>
typename D::Vec normalised(const float* x, const RowMoments& moments, const float* weight,
                           const float* bias, int count) {
  const auto part = [&](const float* p) {
    return count == D::kLanes ? D::load(p) : D::load_partial(p, count);
  };
  const auto deviation = D::sub(part(x), D::set(moments.mean));
  return D::fma(D::mul(deviation, D::set(moments.inverse_deviation)), part(weight), part(bias));
}

template <typename D>
void normalise_row(const float* x, const float* weight, const float* bias, int channels, float eps,
                   float* y) {
  const RowMoments moments = row_moments<D>(x, channels, eps);
  for (int c = 0; c < channels; c += D::kLanes) {
    const int count = smaller(channels - c, D::kLanes);
    const auto row = normalised<D>(x + c, moments, weight + c, bias + c, count);
    if (count == D::kLanes) {
      D::store(y + c, row);
    } else {
      D::store_partial(y + c, row, count);
    }
  }
}

}  // namespace
}  // namespace mobilevd::kernels
