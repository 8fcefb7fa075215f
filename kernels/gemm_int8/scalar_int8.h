#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "gemm_int8/panels_int8.h"

// The scalar reference of the int8 product; included by ref.cc files only.
namespace mobilevd::kernels {
namespace {

/// One row to int8, [ceil(k/8)*8] with zeros at the end; returns its scale.
inline float scalar_quantise_row(const float* x, int k, std::int8_t* q) {
  float maximum = 0, probe = 0;
  for (int c = 0; c < k; ++c) {
    maximum = std::max(maximum, std::fabs(x[c]));
    probe += x[c] - x[c];  // NaN where x is NaN or Inf
  }
  float inverse = 127.0f / maximum;
  if (maximum < kLeastRowMaximum) maximum = inverse = 0.0f;
  for (int c = 0; c < (k + kInt8Group - 1) / kInt8Group * kInt8Group; ++c) {
    const float y = c < k ? x[c] * inverse : 0.0f;
    // In this order NaN becomes a number, too: the row's scale is NaN already.
    q[c] = static_cast<std::int8_t>(std::nearbyint(std::max(-127.0f, std::min(127.0f, y))));
  }
  return maximum / 127.0f + probe;
}

/// y = a row's products with a panel of 16 columns.
inline void scalar_times_panel(const std::int8_t* q, float row_scale, const std::int8_t* panel,
                               const float* scales, int k, float* y) {
  std::int32_t sums[kPanelColumns] = {};
  for (int c = 0; c < k; c += kInt8Group, q += kInt8Group) {
    for (int j = 0; j < kPanelColumns; ++j, panel += kInt8Group) {
      for (int i = 0; i < kInt8Group; ++i) sums[j] += q[i] * panel[i];
    }
  }
  for (int j = 0; j < kPanelColumns; ++j) {
    y[j] = static_cast<float>(sums[j]) * (row_scale * scales[j]);
  }
}

}  // namespace
}  // namespace mobilevd::kernels
