#pragma once

#include <cstddef>

#include "gemm/panels.h"

// Included by code for any CPU only, never by an ISA's unit.
namespace mobilevd::kernels {

/// Writes row `row` (k weights of one output) as column `column` of packed panels, [.][k][16].
inline void pack_column(const float* row, std::size_t k, std::size_t column, float* panels) {
  float* to = panels + column / kPanelColumns * k * kPanelColumns + column % kPanelColumns;
  for (std::size_t c = 0; c < k; ++c) to[c * kPanelColumns] = row[c];
}

/// Zeros in the columns from `columns` to the end of their panel.
inline void pad_last_panel(std::size_t columns, std::size_t k, float* panels) {
  for (std::size_t column = columns; column % kPanelColumns != 0; ++column) {
    float* to = panels + column / kPanelColumns * k * kPanelColumns + column % kPanelColumns;
    for (std::size_t c = 0; c < k; ++c) to[c * kPanelColumns] = 0.0f;
  }
}

}  // namespace mobilevd::kernels
