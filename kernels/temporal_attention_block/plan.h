#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "gemm_int8/panels_int8.h"
#include "temporal_attention_block/temporal_attention_block_internal.h"

// How the work is cut and where in a tile's scratch things lie: the same for every ISA and any
// number of threads. Included by temporal_attention_block.cc only.
namespace mobilevd::kernels {
namespace {

using Float32Weights = TemporalAttentionBlockWeights;
using Int8Weights = TemporalAttentionBlockInt8Weights;

/// Scratch of a tile. It should stay in the second-level cache beside a panel of weights: 2 MB on
/// the servers this was tuned on, 256 KB to 1 MB on phones.
#if defined(__aarch64__)
constexpr std::int64_t kTileBytes = 384 << 10;
#else
constexpr std::int64_t kTileBytes = 1 << 20;
#endif
/// Every weight fetched from memory serves the rows of a tile: fewer would be bound by memory.
constexpr std::int64_t kLeastTileRows = 28;

/// Heads of a group: a whole number of panels, and of pairs of panels as AVX-512 likes them. Head
/// widths being multiples of 8, four heads always are.
int group_heads(int head_columns, int num_heads) {
  int heads = 1;
  while (heads * head_columns % (2 * kPanelColumns) != 0) heads *= 2;
  return std::min(heads, num_heads);
}

template <typename Weights>
struct Plan {
  TemporalAttentionBlockTask<Weights> task = {};  ///< without pointers
  std::int64_t positions = 0;
  std::int64_t unit = 1;  ///< positions that are not parted
  std::int64_t tiles_per_entry = 0;
  std::int64_t tiles = 0;
  std::size_t share_bytes = 0;  ///< scratch of a tile, a multiple of 64

  /// First position of a batch entry's tile. Tiles differ by a unit at most: a small last one would
  /// fetch all the weights for a few rows, and keep other threads waiting.
  std::int64_t tile_begin(std::int64_t tile) const {
    const std::int64_t units = (positions + unit - 1) / unit;
    const std::int64_t each = units / tiles_per_entry, longer = units % tiles_per_entry;
    return std::min(positions, unit * (tile * each + std::min(tile, longer)));
  }
};

/// Most positions whose scratch fits, but for a few, so that blocks of rows (14 of them with
/// AVX-512, 6 with AVX2 and NEON) are not left half empty.
std::int64_t tile_positions(std::int64_t frames, std::int64_t row_bytes) {
  const std::int64_t rows =
      std::clamp<std::int64_t>(kTileBytes / row_bytes, kLeastTileRows, kMaxTileRows);
  const std::int64_t most = std::max<std::int64_t>(1, rows / frames);
  const auto padded = [&](std::int64_t positions, std::int64_t block) {
    const std::int64_t n = positions * frames;
    return static_cast<double>((n + block - 1) / block * block) / static_cast<double>(n);
  };
  std::int64_t best = most;
  for (std::int64_t p = most; p > most * 2 / 3; --p) {
    if (padded(p, 14) + padded(p, 6) < padded(best, 14) + padded(best, 6)) best = p;
  }
  return best;
}

constexpr std::size_t to_whole_lines(std::size_t floats) { return (floats + 15) / 16 * 16; }
constexpr std::size_t to_whole_groups(std::size_t inputs) {
  return (inputs + kInt8Group - 1) / kInt8Group * kInt8Group;
}

/// Most rows by which a tile's last block is filled up: blocks are of up to 14 rows.
constexpr std::size_t kPaddingRows = 13;

/// Bytes of scratch that a row of a tile takes, but for padding.
template <typename Weights>
std::int64_t row_bytes(const TemporalAttentionBlockTask<Weights>& t) {
  const std::int64_t floats = sizeof(float), channels = t.channels;
  if constexpr (std::is_same_v<Weights, Float32Weights>) {
    return (channels + t.attended_columns + t.group_columns) * floats;
  } else {
    return std::max<std::int64_t>(channels, t.attended_columns) +
           (t.attended_columns + t.group_columns) * floats;
  }
}

/// Lays out the scratch of a tile of `rows` rows; returns its size in floats.
std::size_t lay_out_scratch(TemporalAttentionBlockTask<Float32Weights>* t, std::size_t rows) {
  const auto packed = [&](int columns) {  // by any ISA: with a gap behind each block
    return to_whole_lines((rows + kPaddingRows) * static_cast<std::size_t>(columns) +
                          (rows / 4 + 1) * 16);
  };
  t->attended_at = packed(t->channels);
  t->qkv_at = t->attended_at + packed(t->attended_columns);
  return to_whole_lines(t->qkv_at + rows * static_cast<std::size_t>(t->group_columns));
}

std::size_t lay_out_scratch(TemporalAttentionBlockTask<Int8Weights>* t, std::size_t rows) {
  const auto channels = static_cast<std::size_t>(t->channels);
  const auto attended = static_cast<std::size_t>(t->attended_columns);
  const std::size_t packed_row = to_whole_groups(std::max(channels, attended));
  t->scales_at = to_whole_lines((rows + kPaddingRows) * packed_row / sizeof(float) + 1);
  t->row_at = t->scales_at + to_whole_lines(rows + kPaddingRows);
  t->attended_at = t->row_at + to_whole_lines(channels);
  t->qkv_at = t->attended_at + to_whole_lines(rows * attended);
  return to_whole_lines(t->qkv_at + rows * static_cast<std::size_t>(t->group_columns));
}

template <typename Weights>
Plan<Weights> make_plan(const TemporalAttentionBlockShape& s) {
  Plan<Weights> plan;
  auto& t = plan.task;
  t.frames = static_cast<int>(s.frames);
  t.channels = static_cast<int>(s.channels);
  t.num_heads = static_cast<int>(s.num_heads);
  t.head_dim_qk = static_cast<int>(s.head_dim_qk);
  t.head_dim_v = static_cast<int>(s.head_dim_v);
  t.frame_stride = static_cast<std::ptrdiff_t>(s.positions * s.channels);
  t.head_columns = 2 * t.head_dim_qk + t.head_dim_v;
  t.attended_columns = t.num_heads * t.head_dim_v;
  t.group_heads = group_heads(t.head_columns, t.num_heads);
  t.group_columns =
      static_cast<int>(panel_count(static_cast<std::size_t>(t.group_heads * t.head_columns))) *
      kPanelColumns;
  std::int64_t most =
      std::min(tile_positions(s.frames, row_bytes(t)), std::max<std::int64_t>(1, s.positions));
  // Two positions of 7 frames are a whole block with AVX-512.
  plan.unit = s.frames % 14 == 7 && most >= 2 ? 2 : 1;
  most -= most % plan.unit;
  plan.positions = s.positions;
  plan.tiles_per_entry = (s.positions + most - 1) / most;
  plan.tiles = s.batch * plan.tiles_per_entry;
  plan.share_bytes = lay_out_scratch(&t, static_cast<std::size_t>(most * s.frames)) * sizeof(float);
  return plan;
}

}  // namespace
}  // namespace mobilevd::kernels
