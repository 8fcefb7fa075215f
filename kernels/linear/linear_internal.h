#pragma once

#include <cstddef>

#include "gemm/panels.h"
#include "mobilevd/kernels/half.h"
#include "mobilevd/kernels/linear.h"

namespace mobilevd::kernels {

/// `total` in the fewest even shares of at most `most`: how many, at least one, and how large.
constexpr std::ptrdiff_t share_count(std::ptrdiff_t total, std::ptrdiff_t most) {
  return total <= most ? 1 : (total + most - 1) / most;
}
constexpr std::ptrdiff_t share_size(std::ptrdiff_t total, std::ptrdiff_t most) {
  const std::ptrdiff_t count = share_count(total, most);
  return (total + count - 1) / count;
}

/// A pass over the inputs: what a tile packs of its rows at a time. Within it sums run over a share
/// of the inputs, then are added up: shorter sums are more accurate. Both are part of the result's
/// bits, hence the same for every ISA and cut.
constexpr std::ptrdiff_t kPassInputs = 1280;
constexpr std::ptrdiff_t kSumInputs = 384;
constexpr std::ptrdiff_t linear_passes(std::ptrdiff_t k) { return share_count(k, kPassInputs); }
constexpr std::ptrdiff_t linear_depth(std::ptrdiff_t k) { return share_size(k, kPassInputs); }

/// Panels are worked on in pairs, groups: what AVX-512 holds in registers; a value and its gate.
constexpr std::ptrdiff_t kGroupColumns = 2 * kPanelColumns;

/// One call. Null bias and residual mean none.
template <typename T, typename W>
struct LinearTask {
  const T* x;
  const W* weight;
  const float* bias;
  const T* residual;
  T* out;
  Activation activation;
  std::ptrdiff_t rows = 0;
  std::ptrdiff_t k = 0;
  std::ptrdiff_t columns = 0;  ///< of out
  std::ptrdiff_t panels = 0;
  bool stream = false;  ///< store past the caches (a hint; out's rows are then 64-byte aligned)
};

/// A part of out: rows [row, row + rows), groups [group, group + groups).
struct LinearTile {
  std::ptrdiff_t row, rows;
  std::ptrdiff_t group, groups;
};

/// Computes one tile with linear_tile_scratch() floats of scratch, 64-byte aligned. `packed`: the
/// scratch holds these rows from the call before (only where there is one pass).
template <typename T, typename W>
using LinearFn = void (*)(const LinearTask<T, W>&, const LinearTile&, bool packed, float* scratch);

/// What each ISA's translation unit offers.
struct LinearVariant {
  int block_rows;              ///< tiles are multiples of it, but for the last
  std::ptrdiff_t tile_floats;  ///< packed rows of a tile: what the second-level cache holds easily
  LinearFn<float, float> f32;
  LinearFn<float, Half> f32_f16;  ///< float16 weights
  LinearFn<Half, Half> f16;
};

/// Floats for the packed rows of a tile. pack_rows() writes up to 16 past the last.
constexpr std::ptrdiff_t linear_packed_floats(int block_rows, std::ptrdiff_t rows,
                                              std::ptrdiff_t k) {
  const std::ptrdiff_t whole = (rows + block_rows - 1) / block_rows * block_rows;
  return (whole * linear_depth(k) + 31) / 16 * 16;
}

/// All scratch of a tile: a group of float16 weights as float32, the rows, and with several passes
/// their sums.
constexpr std::ptrdiff_t linear_tile_scratch(int block_rows, std::ptrdiff_t rows,
                                             std::ptrdiff_t groups, std::ptrdiff_t k) {
  const std::ptrdiff_t whole = (rows + block_rows - 1) / block_rows * block_rows;
  return linear_depth(k) * kGroupColumns + linear_packed_floats(block_rows, rows, k) +
         (linear_passes(k) > 1 ? whole * groups * kGroupColumns : 0);
}

extern const LinearVariant kLinearScalar;
extern const LinearVariant kLinearAvx2;
extern const LinearVariant kLinearAvx512;
extern const LinearVariant kLinearNeon;

}  // namespace mobilevd::kernels
