// The scalar reference: portable C++, no intrinsics, the definition read aloud. It is also what
// runs on a CPU without a variant of its own.
#include <algorithm>
#include <cmath>

#include "group_norm_silu/group_norm_silu_internal.h"
#include "simd/half_convert.h"

namespace mobilevd::kernels {
namespace {

float widen(float x) { return x; }
float widen(Half x) { return half_to_float(x); }
void narrow(float x, float* to) { *to = x; }
void narrow(float x, Half* to) { *to = float_to_half(x); }

/// The mean, then the squared deviations from it.
template <typename T>
Moments rectangle_moments(const T* x, std::ptrdiff_t row, std::ptrdiff_t rows,
                          std::ptrdiff_t width) {
  const double count = static_cast<double>(rows) * static_cast<double>(width);
  double sum = 0, m2 = 0;
  for (std::ptrdiff_t r = 0; r < rows; ++r) {
    for (std::ptrdiff_t c = 0; c < width; ++c) sum += widen(x[r * row + c]);
  }
  const double mean = sum / count;
  for (std::ptrdiff_t r = 0; r < rows; ++r) {
    for (std::ptrdiff_t c = 0; c < width; ++c) {
      const double d = widen(x[r * row + c]) - mean;
      m2 += d * d;
    }
  }
  return {count, mean, m2};
}

template <typename T>
Moments moments(const T* x, std::ptrdiff_t count) {
  return rectangle_moments(x, count, 1, count);
}

template <typename T>
void column_moments(const T* x, std::ptrdiff_t row, std::ptrdiff_t rows, std::ptrdiff_t group,
                    int groups, Moments* result) {
  for (int g = 0; g < groups; ++g) result[g] = rectangle_moments(x + g * group, row, rows, group);
}

/// -88: the quotient of -Inf by a finite number would be -Inf, and there it is less than 1e-36.
float silu(float x) { return x < -88 ? -0.0f : x / (1 + std::exp(-x)); }

template <typename T, bool kPerRow>
void normalise(const GroupNormSiluRectangle<T>& t) {
  for (std::ptrdiff_t r = 0; r < t.rows; ++r) {
    for (std::ptrdiff_t c = 0; c < t.width; ++c) {
      const std::ptrdiff_t i = kPerRow ? r : c;
      const float y = (widen(t.x[r * t.row + c]) - t.mean[i]) * t.scale[i] + t.shift[i];
      narrow(t.silu ? silu(y) : y, t.out + r * t.row + c);
    }
  }
}

template <typename P>
void coefficients(const P* weight, const P* bias, std::ptrdiff_t count,
                  const GroupStatistics& group, float* mean, float* scale, float* shift) {
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    mean[i] = group.mean;
    scale[i] = weight == nullptr ? group.rstd : widen(weight[i]) * group.rstd;
    shift[i] = (bias == nullptr ? 0.0f : widen(bias[i])) - group.rest * scale[i];
  }
}

template <typename T>
constexpr GroupNormSiluFunctions<T> functions() {
  return {moments<T>, column_moments<T>, normalise<T, true>, normalise<T, false>};
}

}  // namespace

const GroupNormSiluVariant kGroupNormSiluScalar = {functions<float>(), functions<Half>(),
                                                   coefficients<float>, coefficients<Half>};

}  // namespace mobilevd::kernels
