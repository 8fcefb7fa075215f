#pragma once

#include <cstddef>

#include "simd/unroll.h"

// Include only after an ISA's header, in that ISA's translation unit.
namespace mobilevd::kernels {
namespace {

/// A row's rounded mean, and what turns deviations from it into normalised values:
/// (x - mean) * factor + shift.
struct RowMoments {
  float mean, factor, shift;
};

/// In two passes, the second over the deviations: no cancellation where the mean is large. The
/// mean's own rounding, of the size of the deviations where those are tiny, is what the
/// deviations sum to: `shift` takes it off again.
template <typename D>
RowMoments row_moments(const float* x, int channels, float eps) {
  using Vec = typename D::Vec;
  constexpr int kLanes = D::kLanes, kSums = 4;
  const float n = static_cast<float>(channels);

  Vec sums[kSums] = {D::zero(), D::zero(), D::zero(), D::zero()};
  int c = 0;
  for (; c + kSums * kLanes <= channels; c += kSums * kLanes) {
#pragma GCC unroll 4
    for (int i = 0; i < kSums; ++i) sums[i] = D::add(sums[i], D::load(x + c + i * kLanes));
  }
  for (; c + kLanes <= channels; c += kLanes) sums[0] = D::add(sums[0], D::load(x + c));
  float sum = D::reduce_add(D::add(D::add(sums[0], sums[1]), D::add(sums[2], sums[3])));
  for (; c < channels; ++c) sum += x[c];
  const float mean = sum / n;

  const Vec means = D::set(mean);
  Vec squares[kSums] = {D::zero(), D::zero(), D::zero(), D::zero()};
  Vec rests[kSums] = {D::zero(), D::zero(), D::zero(), D::zero()};
  const auto add = [&](int i, Vec v) {
    const Vec d = D::sub(v, means);
    squares[i] = D::fma(d, d, squares[i]);
    rests[i] = D::add(rests[i], d);
  };
  c = 0;
  for (; c + kSums * kLanes <= channels; c += kSums * kLanes) {
#pragma GCC unroll 4
    for (int i = 0; i < kSums; ++i) add(i, D::load(x + c + i * kLanes));
  }
  for (; c + kLanes <= channels; c += kLanes) add(0, D::load(x + c));
  float square =
      D::reduce_add(D::add(D::add(squares[0], squares[1]), D::add(squares[2], squares[3])));
  float rest = D::reduce_add(D::add(D::add(rests[0], rests[1]), D::add(rests[2], rests[3])));
  for (; c < channels; ++c) {
    const float d = x[c] - mean;
    square += d * d;
    rest += d;
  }
  rest /= n;
  const float variance = square / n - rest * rest;
  const float factor = 1.0f / __builtin_sqrtf((variance > 0 ? variance : 0) + eps);
  return {mean, factor, -rest * factor};
}

/// `count` <= kLanes elements of a row; those that do not exist are 0.
template <typename D>
typename D::Vec normalised(const float* x, const RowMoments& moments, const float* weight,
                           const float* bias, int count) {
  const auto part = [&](const float* p) {
    return count == D::kLanes ? D::load(p) : D::load_partial(p, count);
  };
  const auto deviation = D::sub(part(x), D::set(moments.mean));
  const auto row = D::fma(deviation, D::set(moments.factor), D::set(moments.shift));
  return D::fma(row, part(weight), part(bias));
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
