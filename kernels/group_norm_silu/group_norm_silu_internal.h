#pragma once

#include <cstddef>

#include "group_norm_silu/moments.h"
#include "mobilevd/kernels/half.h"

namespace mobilevd::kernels {

/// A group's statistics, ready for float32: mean + rest is the mean in float64.
struct GroupStatistics {
  float mean;
  float rest;
  float rstd;
};

/// A rectangle of x to normalise: out = (x - mean) * scale + shift, then SiLU, with coefficients
/// per row (channels first: a row is a channel's positions) or per column (channels last).
template <typename T>
struct GroupNormSiluRectangle {
  const T* x;
  T* out;              ///< may be x
  std::ptrdiff_t row;  ///< elements from row to row
  std::ptrdiff_t rows;
  std::ptrdiff_t width;  ///< elements of a row
  const float* mean;     ///< these per row or per column
  const float* scale;
  const float* shift;
  std::ptrdiff_t ahead;  ///< elements from x to what is read next, worth a prefetch; 0: nothing
  bool silu;
  bool stream;  ///< store past the caches (then every row of out is whole, aligned lines)
};

/// What an ISA offers for a storage type.
template <typename T>
struct GroupNormSiluFunctions {
  /// Of `count` elements in a row.
  Moments (*moments)(const T* x, std::ptrdiff_t count);
  /// Of `groups` neighbouring groups of `group` columns each, over `rows`.
  void (*column_moments)(const T* x, std::ptrdiff_t row, std::ptrdiff_t rows, std::ptrdiff_t group,
                         int groups, Moments* result);
  void (*normalise_rows)(const GroupNormSiluRectangle<T>&);
  void (*normalise_columns)(const GroupNormSiluRectangle<T>&);
};

/// Coefficients of `count` channels of one group, to arrays that end with whole vectors: mean,
/// scale = weight * rstd, shift = bias - rest * scale. Null weight: 1; null bias: 0.
template <typename P>
using GroupNormCoefficients = void (*)(const P* weight, const P* bias, std::ptrdiff_t count,
                                       const GroupStatistics& group, float* mean, float* scale,
                                       float* shift);

struct GroupNormSiluVariant {
  GroupNormSiluFunctions<float> f32;
  GroupNormSiluFunctions<Half> f16;
  GroupNormCoefficients<float> coefficients_f32;
  GroupNormCoefficients<Half> coefficients_f16;
};

extern const GroupNormSiluVariant kGroupNormSiluScalar;
extern const GroupNormSiluVariant kGroupNormSiluAvx2;
extern const GroupNormSiluVariant kGroupNormSiluAvx512;
extern const GroupNormSiluVariant kGroupNormSiluNeon;

}  // namespace mobilevd::kernels
