#include "mobilevd/kernels/linear.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "dispatch/variants.h"
#include "gemm/thread_scratch.h"
#include "linear/linear_internal.h"

namespace mobilevd::kernels {
namespace {

/// Outputs from this size on go past the caches: no second-level cache would still hold them when
/// the next layer reads, and their lines need not be fetched before they are written.
constexpr std::int64_t kStreamBytes = std::int64_t{8} << 20;

/// About 20 microseconds of arithmetic: less is not worth waking a thread.
constexpr std::ptrdiff_t kGrainFlops = 1'000'000;

/// Blocks of a tile, at most: more would spare no memory traffic that matters.
constexpr std::ptrdiff_t kMostBlocks = 16;

/// Tiles there should be, so that a few threads end together; and the fewest groups in one, since
/// its rows are packed for it.
constexpr std::ptrdiff_t kFewestTiles = 8;
constexpr std::ptrdiff_t kFewestGroups = 5;

constexpr Variants<LinearVariant> kVariants = {
    &kLinearScalar, MOBILEVD_IF_AVX2(&kLinearAvx2), MOBILEVD_IF_AVX512(&kLinearAvx512),
    nullptr,        MOBILEVD_IF_NEON(&kLinearNeon),
};

template <typename T, typename W>
LinearFn<T, W> function_of(const LinearVariant& variant) {
  constexpr bool kFloatX = std::is_same_v<T, float>, kFloatWeight = std::is_same_v<W, float>;
  if constexpr (kFloatX && kFloatWeight) return variant.f32_w32;
  if constexpr (kFloatX && !kFloatWeight) return variant.f32_w16;
  if constexpr (!kFloatX && kFloatWeight) return variant.f16_w32;
  if constexpr (!kFloatX && !kFloatWeight) return variant.f16_w16;
}

std::ptrdiff_t divide_up(std::ptrdiff_t a, std::ptrdiff_t b) { return (a + b - 1) / b; }

/// How out is cut into tiles: a grid, whose tiles are worked on row by row of the grid.
struct Grid {
  std::ptrdiff_t rows, groups;  ///< of the whole
  std::ptrdiff_t tile_rows, tile_groups;
  std::ptrdiff_t row_tiles, column_tiles;

  Grid(std::ptrdiff_t rows, std::ptrdiff_t groups, std::ptrdiff_t k, const LinearVariant& v)
      : rows(rows), groups(groups) {
    const std::ptrdiff_t blocks = divide_up(rows, v.block_rows);
    const std::ptrdiff_t block_floats = std::max<std::ptrdiff_t>(1, linear_depth(k) * v.block_rows);
    const std::ptrdiff_t most =
        std::clamp<std::ptrdiff_t>(v.tile_floats / block_floats, 1, kMostBlocks);
    tile_rows = divide_up(blocks, divide_up(blocks, most)) * v.block_rows;
    row_tiles = divide_up(rows, tile_rows);
    std::ptrdiff_t tiles = 1;
    if (row_tiles < kFewestTiles) {
      tiles = std::min(divide_up(kFewestTiles, row_tiles), divide_up(groups, kFewestGroups));
    }
    if (linear_passes(k) > 1) {  // the sums take as much scratch as the rows
      const std::ptrdiff_t fit = v.tile_floats / (tile_rows * kGroupColumns);
      tiles = std::max(tiles, divide_up(groups, std::max<std::ptrdiff_t>(1, fit)));
    }
    tile_groups = divide_up(groups, tiles);
    column_tiles = divide_up(groups, tile_groups);
  }

  LinearTile tile(std::ptrdiff_t index) const {
    const std::ptrdiff_t row = index / column_tiles * tile_rows;
    const std::ptrdiff_t group = index % column_tiles * tile_groups;
    return {row, std::min(tile_rows, rows - row), group, std::min(tile_groups, groups - group)};
  }
};

/// A tile where there is no memory for its scratch: group by group of each block, on the stack.
template <typename T, typename W>
void tile_in_pieces(LinearFn<T, W> fn, int block_rows, const LinearTask<T, W>& task,
                    const LinearTile& tile) {
  constexpr int kWidestBlock = 14;
  constexpr LinearTile kPiece{0, kWidestBlock, 0, 1};
  // Two passes of the largest size need the most.
  alignas(64) float scratch[linear_scratch(kWidestBlock, kPiece, 2 * kPassInputs)];
  const std::ptrdiff_t end = tile.row + tile.rows;
  for (std::ptrdiff_t row = tile.row; row < end; row += block_rows) {
    const std::ptrdiff_t rows = std::min<std::ptrdiff_t>(block_rows, end - row);
    for (std::ptrdiff_t g = 0; g < tile.groups; ++g) {
      fn(task, {row, rows, tile.group + g, 1}, false, scratch);
    }
  }
}

bool overlap(const void* a, std::int64_t a_bytes, const void* b, std::int64_t b_bytes) {
  const auto x = reinterpret_cast<std::uintptr_t>(a), y = reinterpret_cast<std::uintptr_t>(b);
  return x < y + static_cast<std::uintptr_t>(b_bytes) &&
         y < x + static_cast<std::uintptr_t>(a_bytes);
}

template <typename T, typename W>
Status check(const LinearTask<T, W>& t, const LinearShape& s) {
  if (s.rows < 0) return invalid_argument("linear: rows must be >= 0");
  if (s.in_features < 0) return invalid_argument("linear: in_features must be >= 0");
  if (s.out_features < 0) return invalid_argument("linear: out_features must be >= 0");
  if (t.activation < Activation::kNone || t.activation > Activation::kGeglu) {
    return invalid_argument("linear: unknown activation");
  }
  if (s.rows == 0 || s.out_features == 0) return ok_status();

  const std::int64_t weights = packed_linear_size(s, t.activation);
  const std::int64_t most = std::numeric_limits<std::int64_t>::max() / 8;  // in bytes, too
  if (weights < 0 || s.out_features > most / s.rows || s.in_features > most / s.rows) {
    return invalid_argument("linear: sizes overflow 64 bits");
  }
  if (t.out == nullptr || (s.in_features > 0 && (t.x == nullptr || t.weight == nullptr))) {
    return invalid_argument("linear: x, packed_weight and out must not be null");
  }
  const std::int64_t out_bytes = s.rows * s.out_features * static_cast<std::int64_t>(sizeof(T));
  const std::int64_t x_bytes = s.rows * s.in_features * static_cast<std::int64_t>(sizeof(T));
  const std::int64_t bias_bytes = (t.activation == Activation::kGeglu ? 2 : 1) * s.out_features *
                                  static_cast<std::int64_t>(sizeof(float));
  if (overlap(t.out, out_bytes, t.x, x_bytes) ||
      overlap(t.out, out_bytes, t.weight, weights * static_cast<std::int64_t>(sizeof(W))) ||
      (t.bias != nullptr && overlap(t.out, out_bytes, t.bias, bias_bytes))) {
    return invalid_argument("linear: out must not overlap x, packed_weight or bias");
  }
  if (t.residual != nullptr && t.residual != t.out &&
      overlap(t.out, out_bytes, t.residual, out_bytes)) {
    return invalid_argument("linear: residual must be out itself or not overlap it");
  }
  return ok_status();
}

template <typename T, typename W>
Status run(const T* x, const W* weight, const float* bias, const T* residual, T* out,
           const LinearShape& s, Activation activation, ParallelFor parallel_for) {
  const Status startup = startup_status();
  if (!startup.ok()) return startup;
  LinearTask<T, W> task{};
  task.x = x;
  task.weight = weight;
  task.bias = bias;
  task.residual = residual;
  task.out = out;
  task.activation = activation;
  const Status checked = check(task, s);
  if (!checked.ok() || s.rows == 0 || s.out_features == 0) return checked;

  task.rows = static_cast<std::ptrdiff_t>(s.rows);
  task.k = static_cast<std::ptrdiff_t>(s.in_features);
  task.columns = static_cast<std::ptrdiff_t>(s.out_features);
  const bool gated = activation == Activation::kGeglu;
  task.panels = divide_up(task.columns, kPanelColumns) * (gated ? 2 : 1);
  // Whole lines only: half a line past the caches costs more than it saves. GEGLU writes one panel
  // of columns at a time, the others two.
  const std::size_t piece = (gated ? kPanelColumns : kGroupColumns) * sizeof(T);
  task.stream = s.rows * s.out_features * static_cast<std::int64_t>(sizeof(T)) >= kStreamBytes &&
                reinterpret_cast<std::uintptr_t>(out) % 64 == 0 && piece % 64 == 0 &&
                task.columns * sizeof(T) % 64 == 0;

  const LinearVariant& variant = kVariants.chosen();
  const LinearFn<T, W> fn = function_of<T, W>(variant);
  const Grid grid(task.rows, divide_up(task.panels, 2), task.k, variant);
  const auto floats = static_cast<std::size_t>(
      linear_scratch(variant.block_rows, {0, grid.tile_rows, 0, grid.tile_groups}, task.k));
  const std::ptrdiff_t flops =
      2 * grid.tile_rows * grid.tile_groups * kGroupColumns * std::max<std::ptrdiff_t>(1, task.k);
  parallel_for(static_cast<std::size_t>(grid.row_tiles * grid.column_tiles),
               static_cast<std::size_t>(1 + kGrainFlops / flops),
               [&](std::size_t begin, std::size_t end) {
                 float* const scratch = thread_scratch(floats);
                 for (std::size_t i = begin; i < end; ++i) {
                   const LinearTile tile = grid.tile(static_cast<std::ptrdiff_t>(i));
                   if (scratch == nullptr) {
                     tile_in_pieces(fn, variant.block_rows, task, tile);
                     continue;
                   }
                   const bool packed = i > begin && tile.group > 0 && linear_passes(task.k) == 1;
                   fn(task, tile, packed, scratch);
                 }
               });
  return ok_status();
}

}  // namespace

Status linear(const float* x, const float* packed_weight, const float* bias, const float* residual,
              float* out, const LinearShape& shape, Activation activation,
              ParallelFor parallel_for) {
  return run(x, packed_weight, bias, residual, out, shape, activation, parallel_for);
}

Status linear(const float* x, const Half* packed_weight, const float* bias, const float* residual,
              float* out, const LinearShape& shape, Activation activation,
              ParallelFor parallel_for) {
  return run(x, packed_weight, bias, residual, out, shape, activation, parallel_for);
}

Status linear(const Half* x, const float* packed_weight, const float* bias, const Half* residual,
              Half* out, const LinearShape& shape, Activation activation,
              ParallelFor parallel_for) {
  return run(x, packed_weight, bias, residual, out, shape, activation, parallel_for);
}

Status linear(const Half* x, const Half* packed_weight, const float* bias, const Half* residual,
              Half* out, const LinearShape& shape, Activation activation,
              ParallelFor parallel_for) {
  return run(x, packed_weight, bias, residual, out, shape, activation, parallel_for);
}

}  // namespace mobilevd::kernels
