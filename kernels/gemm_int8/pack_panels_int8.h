#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "gemm_int8/panels_int8.h"

// Included by code for any CPU only, never by an ISA's unit.
namespace mobilevd::kernels {

/// Quantises the k weights of one output and writes them as column `column` of packed panels, its
/// scale to scales[column]. False, and nothing written, if a weight is NaN or Inf.
inline bool pack_int8_column(const float* row, std::size_t k, std::size_t column,
                             std::int8_t* packed, float* scales) {
  float largest = 0;
  for (std::size_t c = 0; c < k; ++c) {
    if (!std::isfinite(row[c])) return false;
    largest = std::max(largest, std::fabs(row[c]));
  }
  // In float64, where the quotients of the least and the largest float32 exist.
  const double inverse = largest > 0 ? 127.0 / static_cast<double>(largest) : 0.0;
  const std::size_t groups = (k + kInt8Group - 1) / kInt8Group;
  std::int8_t* panel = packed + column / kPanelColumns * groups * kPanelColumns * kInt8Group +
                       column % kPanelColumns * kInt8Group;
  for (std::size_t c = 0; c < groups * kInt8Group; ++c) {
    const double q = c < k ? std::nearbyint(static_cast<double>(row[c]) * inverse) : 0.0;
    panel[c / kInt8Group * kPanelColumns * kInt8Group + c % kInt8Group] =
        static_cast<std::int8_t>(std::clamp(q, -127.0, 127.0));
  }
  scales[column] = largest / 127.0f;
  return true;
}

/// Zeros in the columns from `columns` to the end of their panel.
inline void pad_last_int8_panel(std::size_t columns, std::size_t k, std::int8_t* packed,
                                float* scales) {
  const std::size_t groups = (k + kInt8Group - 1) / kInt8Group;
  for (std::size_t column = columns; column % kPanelColumns != 0; ++column) {
    std::int8_t* panel = packed + column / kPanelColumns * groups * kPanelColumns * kInt8Group +
                         column % kPanelColumns * kInt8Group;
    for (std::size_t g = 0; g < groups; ++g) {
      std::fill_n(panel + g * kPanelColumns * kInt8Group, kInt8Group, std::int8_t{0});
    }
    scales[column] = 0.0f;
  }
}

}  // namespace mobilevd::kernels
