#pragma once

#include <cstddef>

#include "simd/unroll.h"

// From rows of tensors to what the blocks multiply, and back. Include only after an ISA's header,
// in that ISA's translation unit.
namespace mobilevd::kernels {
namespace {

/// The next kLanes columns of a row, or the `left` that are there and zeros (a head_dim is a
/// multiple of 8 only).
template <typename D, typename T>
inline typename D::Vec load_columns(const T* from, int left) {
  if constexpr (D::kLanes > 8) {
    if (left < D::kLanes) return D::load_partial(from, left);
  }
  return D::load(from);
}

template <typename D, typename T>
inline void store_columns(T* to, typename D::Vec x, int left) {
  if constexpr (D::kLanes > 8) {
    if (left < D::kLanes) return D::store_partial(to, x, left);
  }
  D::store(to, x);
}

/// to[c][i] = scale * from[i][c] for kLanes rows of `width`; rows past the `count`th repeat it. In
/// `to` rows lie `row_to` apart and are written from the first to the last, kLanes each: what one
/// of fewer lanes writes too much is written again by the next.
template <typename D, typename T>
inline void transpose_rows(const T* from, std::ptrdiff_t row, int count, int width,
                           typename D::Vec scale, float* to, int row_to) {
  constexpr int kLanes = D::kLanes;
  const T* rows[kLanes];
  for (int i = 0; i < kLanes; ++i) rows[i] = from + smaller(i, count - 1) * row;
  for (int c = 0; c < width; c += kLanes) {
    typename D::Vec block[kLanes];
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) {
      block[i] = D::mul(scale, load_columns<D>(rows[i] + c, width - c));
    }
    D::transpose(block);
    if (width - c < kLanes) {
#pragma GCC unroll 8
      for (int i = 0; i < (kLanes > 8 ? 8 : kLanes); ++i, to += row_to) D::store(to, block[i]);
    } else {
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i, to += row_to) D::store(to, block[i]);
    }
  }
}

/// Keys [count][width] into panels [width][kPanel]; keys past the last repeat it. Writes up to
/// kLanes - 1 elements past the last panel.
template <typename D, int kPanel, typename T>
inline void pack_keys(const T* from, std::ptrdiff_t row, std::ptrdiff_t count, int width,
                      float* to) {
  const auto one = D::set(1.0f);
  for (std::ptrdiff_t j = 0; j < count; j += kPanel, to += kPanel * width) {
    const int keys = static_cast<int>(smaller<std::ptrdiff_t>(count - j, kPanel));
    for (int i = 0; i < kPanel; i += D::kLanes) {
      const int first = smaller(i, keys - 1);
      transpose_rows<D>(from + (j + first) * row, row, keys - first, width, one, to + i, kPanel);
    }
  }
}

/// Values [count][width] into panels [count][kPanel] of columns; the last one is as many vectors
/// wide as it needs, filled up with zeros.
template <typename D, int kPanel, typename T>
inline void pack_values(const T* from, std::ptrdiff_t row, std::ptrdiff_t count, int width,
                        float* to) {
  for (std::ptrdiff_t j = 0; j < count; ++j, from += row) {
    for (int column = 0; column < width; column += kPanel) {
      const int left = smaller(width - column, kPanel);
      const int panel = part_count(left, D::kLanes) * D::kLanes;
      float* const line = to + column * count + j * panel;
      for (int c = 0; c < left; c += D::kLanes) {
        D::store(line + c, load_columns<D>(from + column + c, left - c));
      }
    }
  }
}

}  // namespace
}  // namespace mobilevd::kernels
