#pragma once

#include "gemm_int8/gemm_int8_inl.h"
#include "gemm_int8/gemm_int8_internal.h"

// gemm_int8(): some rows of x quantised, multiplied, and stored with the bias.
namespace mobilevd::kernels {
namespace {

template <typename D>
struct AddBias {
  using Vec = typename D::Vec;
  float* out;
  std::ptrdiff_t row;
  const float* bias;  ///< or null
  int columns;        ///< that exist from here on

  template <int kRows, int kVecs>
  void operator()(Vec (&sums)[kRows][kVecs]) const {
    for (int v = 0; v < kVecs; ++v) {
      const int c = v * D::kLanes, n = smaller(columns - c, D::kLanes);
      if (n <= 0) return;
      const Vec b = bias == nullptr ? D::zero() : D::load_partial(bias + c, n);
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) {
        const Vec y = bias == nullptr ? sums[i][v] : D::add(sums[i][v], b);
        if (n == D::kLanes) {
          D::store(out + i * row + c, y);
        } else {
          D::store_partial(out + i * row + c, y, n);
        }
      }
    }
  }
};

template <typename D, typename I>
void gemm_int8_rows(const GemmInt8Task& t, const GemmInt8Part& part, float* row_scales,
                    std::int8_t* packed) {
  const float* x = t.x + part.first * static_cast<std::size_t>(t.inputs);
  float* const out = t.out + part.first * static_cast<std::size_t>(t.outputs);
  const std::ptrdiff_t stride = int8_block_stride<I>(t.inputs);
  for (int r = 0; r < part.rows; ++r, x += t.inputs) {
    row_scales[r] = quantise_row<D, I>(x, t.inputs, r % I::kRows, packed + r / I::kRows * stride);
  }
  const std::ptrdiff_t panel = part_count(t.inputs, kInt8Group) * kInt8Group * kPanelColumns;
  const int first = part.panel_begin * kPanelColumns;
  gemm_int8_panels<D, I>(
      part.rows, packed, row_scales, t.packed + part.panel_begin * panel, t.scales + first,
      part.panel_end - part.panel_begin, t.inputs, [&](int r, int c) {
        const int column = first + c;
        return AddBias<D>{out + static_cast<std::ptrdiff_t>(r) * t.outputs + column, t.outputs,
                          t.bias == nullptr ? nullptr : t.bias + column, t.outputs - column};
      });
}

}  // namespace
}  // namespace mobilevd::kernels
