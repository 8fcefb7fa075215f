#include "mobilevd/kernels/linear.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "dispatch/arguments.h"
#include "dispatch/variants.h"
#include "gemm/lane_cut.h"
#include "linear/linear_internal.h"

namespace mobilevd::kernels {
namespace {

/// Outputs from this size on go past the caches: no second-level cache would still hold them when
/// the next layer reads, and their lines need not be fetched before they are written.
constexpr std::int64_t kStreamBytes = std::int64_t{8} << 20;

/// About 20 microseconds of arithmetic: less is not worth waking a thread.
constexpr double kLaneFlops = 1e6;

/// Rows of a tile, at most: more would spare no memory traffic that matters.
constexpr std::ptrdiff_t kMostRows = 224;

/// Where there are several lanes: tiles for each, so that they end together, but so many groups in
/// a tile at least, since its rows may be packed for it alone.
constexpr std::ptrdiff_t kTilesPerLane = 4;
constexpr std::ptrdiff_t kFewestGroups = 5;

constexpr Variants<LinearVariant> kVariants = {
    &kLinearScalar, MOBILEVD_IF_AVX2(&kLinearAvx2), MOBILEVD_IF_AVX512(&kLinearAvx512),
    nullptr,        MOBILEVD_IF_NEON(&kLinearNeon),
};

std::ptrdiff_t panels_of(std::int64_t out_features, Activation activation) {
  return static_cast<std::ptrdiff_t>(ceil_div(out_features, kPanelColumns) *
                                     (activation == Activation::kGeglu ? 2 : 1));
}

/// How out is cut into tiles: a grid, whose tiles are worked on row by row of the grid. The result
/// does not depend on it.
struct Grid {
  std::ptrdiff_t rows, groups;  ///< of the whole
  std::ptrdiff_t tile_rows, tile_groups;
  std::ptrdiff_t row_tiles, column_tiles;

  Grid(std::ptrdiff_t rows, std::ptrdiff_t groups, std::ptrdiff_t k, int lanes,
       const LinearVariant& v)
      : rows(rows), groups(groups) {
    const std::ptrdiff_t blocks = ceil_div(rows, v.block_rows);
    const std::ptrdiff_t block_floats = std::max<std::ptrdiff_t>(1, linear_depth(k) * v.block_rows);
    const std::ptrdiff_t most =
        std::clamp<std::ptrdiff_t>(v.tile_floats / block_floats, 1, kMostRows / v.block_rows);
    tile_rows = ceil_div(blocks, ceil_div(blocks, most)) * v.block_rows;
    row_tiles = ceil_div(rows, tile_rows);
    std::ptrdiff_t tiles = 1;
    if (lanes > 1 && row_tiles < kTilesPerLane * lanes) {
      tiles = std::min(ceil_div(kTilesPerLane * lanes, row_tiles), ceil_div(groups, kFewestGroups));
    }
    if (linear_passes(k) > 1) {  // the sums take no more scratch than the rows
      const std::ptrdiff_t fit = v.tile_floats / (tile_rows * kGroupColumns);
      tiles = std::max<std::ptrdiff_t>(tiles, ceil_div(groups, std::max<std::ptrdiff_t>(1, fit)));
    }
    tile_groups = ceil_div(groups, tiles);
    column_tiles = ceil_div(groups, tile_groups);
  }

  std::ptrdiff_t tiles() const { return row_tiles * column_tiles; }
  LinearTile tile(std::ptrdiff_t index) const {
    const std::ptrdiff_t row = index / column_tiles * tile_rows;
    const std::ptrdiff_t group = index % column_tiles * tile_groups;
    return {row, std::min(tile_rows, rows - row), group, std::min(tile_groups, groups - group)};
  }
};

Status check(const LinearShape& s, int lanes) {
  if (s.rows < 0) return invalid_argument("linear: rows must be >= 0");
  if (s.in_features < 0) return invalid_argument("linear: in_features must be >= 0");
  if (s.out_features < 0) return invalid_argument("linear: out_features must be >= 0");
  if (lanes < 1 || lanes > kMaxLanes) return invalid_argument("linear: lanes must be 1..1024");
  std::int64_t bytes;
  if (packed_linear_size(s, Activation::kGeglu) < 0 ||
      !array_bytes({s.rows, s.in_features}, sizeof(float), &bytes) ||
      !array_bytes({s.rows, s.out_features}, sizeof(float), &bytes)) {
    return invalid_argument("linear: sizes overflow 64 bits");
  }
  return ok_status();
}

template <typename T, typename W>
Status check(const LinearTask<T, W>& t, const LinearShape& s, const void* scratch) {
  if (t.out == nullptr || (s.in_features > 0 && (t.x == nullptr || t.weight == nullptr))) {
    return invalid_argument("linear: x, packed_weight and out must not be null");
  }
  if (scratch == nullptr || !aligned_scratch(scratch)) {
    return invalid_argument("linear: scratch must not be null and 64-byte aligned");
  }
  constexpr auto kElement = static_cast<std::int64_t>(sizeof(T));
  const std::int64_t out_bytes = s.rows * s.out_features * kElement;
  const std::int64_t weight_bytes =
      packed_linear_size(s, t.activation) * static_cast<std::int64_t>(sizeof(W));
  const std::int64_t bias_bytes = (t.activation == Activation::kGeglu ? 2 : 1) * s.out_features *
                                  static_cast<std::int64_t>(sizeof(float));
  if (overlap(t.out, out_bytes, t.x, s.rows * s.in_features * kElement) ||
      overlap(t.out, out_bytes, t.weight, weight_bytes) ||
      (t.bias != nullptr && overlap(t.out, out_bytes, t.bias, bias_bytes))) {
    return invalid_argument("linear: out must not overlap x, packed_weight or bias");
  }
  if (t.residual != nullptr && t.residual != t.out &&
      overlap(t.out, out_bytes, t.residual, out_bytes)) {
    return invalid_argument("linear: residual must be out itself or not overlap it");
  }
  return ok_status();
}

/// Floats of scratch of one lane.
std::size_t lane_scratch(const Grid& grid, std::ptrdiff_t k, const LinearVariant& v) {
  return static_cast<std::size_t>(
      linear_tile_scratch(v.block_rows, grid.tile_rows, grid.tile_groups, k));
}

template <typename T, typename W>
Status run(LinearTask<T, W> task, const LinearShape& s, void* scratch, int lanes,
           ParallelFor parallel_for) {
  const Status startup = startup_status();
  if (!startup.ok()) return startup;
  if (const Status status = check(s, lanes); !status.ok()) return status;
  const bool gated = task.activation == Activation::kGeglu;
  if (!gated && task.activation != Activation::kNone && task.activation != Activation::kSilu) {
    return invalid_argument("linear: unknown activation");
  }
  if (s.rows == 0 || s.out_features == 0) return ok_status();
  if (const Status status = check(task, s, scratch); !status.ok()) return status;

  task.rows = static_cast<std::ptrdiff_t>(s.rows);
  task.k = static_cast<std::ptrdiff_t>(s.in_features);
  task.columns = static_cast<std::ptrdiff_t>(s.out_features);
  task.panels = panels_of(s.out_features, task.activation);
  // Whole lines only: half a line past the caches costs more than it saves. GEGLU writes one panel
  // of columns at a time, the others two.
  const std::size_t piece = (gated ? kPanelColumns : kGroupColumns) * sizeof(T);
  task.stream = s.rows * s.out_features * static_cast<std::int64_t>(sizeof(T)) >= kStreamBytes &&
                reinterpret_cast<std::uintptr_t>(task.out) % 64 == 0 && piece % 64 == 0 &&
                task.columns * sizeof(T) % 64 == 0;

  const LinearVariant& variant = kVariants.chosen();
  const auto fn = for_storage<T, W>(variant);
  const Grid grid(task.rows, ceil_div(task.panels, 2), task.k, lanes, variant);
  const std::size_t floats = lane_scratch(grid, task.k, variant);
  const double flops = 2.0 * task.rows * task.panels * kPanelColumns * task.k;
  const auto used = std::min<std::ptrdiff_t>(
      {lanes, grid.tiles(), 1 + static_cast<std::ptrdiff_t>(std::min(flops / kLaneFlops, 1e4))});
  parallel_for(static_cast<std::size_t>(used), 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t lane = begin; lane < end; ++lane) {
      const auto part = static_cast<std::ptrdiff_t>(lane);
      const std::ptrdiff_t first = grid.tiles() * part / used;
      const std::ptrdiff_t last = grid.tiles() * (part + 1) / used;
      for (std::ptrdiff_t i = first; i < last; ++i) {
        const LinearTile tile = grid.tile(i);
        const bool packed = i > first && tile.group > 0 && linear_passes(task.k) == 1;
        fn(task, tile, packed, static_cast<float*>(scratch) + lane * floats);
      }
    }
  });
  return ok_status();
}

}  // namespace

std::size_t linear_scratch_bytes(const LinearShape& shape, int lanes) {
  if (!check(shape, lanes).ok() || shape.rows == 0 || shape.out_features == 0) return 0;
  std::size_t most = 0;
  for (const LinearVariant* v :
       {kVariants.scalar, kVariants.avx2, kVariants.avx512, kVariants.neon}) {
    if (v == nullptr) continue;
    for (const Activation activation : {Activation::kNone, Activation::kGeglu}) {
      const auto k = static_cast<std::ptrdiff_t>(shape.in_features);
      const Grid grid(static_cast<std::ptrdiff_t>(shape.rows),
                      ceil_div(panels_of(shape.out_features, activation), 2), k, lanes, *v);
      most = std::max(most, lane_scratch(grid, k, *v));
    }
  }
  return static_cast<std::size_t>(lanes) * most * sizeof(float);
}

Status linear(const float* x, const float* packed_weight, const float* bias, const float* residual,
              float* out, const LinearShape& shape, Activation activation, void* scratch, int lanes,
              ParallelFor parallel_for) {
  const LinearTask<float, float> task = {x, packed_weight, bias, residual, out, activation};
  return run(task, shape, scratch, lanes, parallel_for);
}

Status linear(const float* x, const Half* packed_weight, const float* bias, const float* residual,
              float* out, const LinearShape& shape, Activation activation, void* scratch, int lanes,
              ParallelFor parallel_for) {
  const LinearTask<float, Half> task = {x, packed_weight, bias, residual, out, activation};
  return run(task, shape, scratch, lanes, parallel_for);
}

Status linear(const Half* x, const Half* packed_weight, const float* bias, const Half* residual,
              Half* out, const LinearShape& shape, Activation activation, void* scratch, int lanes,
              ParallelFor parallel_for) {
  const LinearTask<Half, Half> task = {x, packed_weight, bias, residual, out, activation};
  return run(task, shape, scratch, lanes, parallel_for);
}

}  // namespace mobilevd::kernels
