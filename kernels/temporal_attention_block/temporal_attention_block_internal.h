#pragma once

#include <cstddef>

#include "mobilevd/kernels/temporal_attention_block.h"

namespace mobilevd::kernels {

/// Most rows of a tile: bounds what a tile keeps on the stack.
constexpr int kMaxTileRows = 256;

/// One batch entry and how its work is cut (temporal_attention_block.cc chooses).
///
/// A tile is a few positions with all their frames: its row i is frame i % frames of its position
/// i / frames. Within a tile, heads are projected and attended a group at a time, so that of q, k
/// and v only a group's columns exist at once.
struct TemporalAttentionBlockTask {
  const float* x;
  float* out;
  TemporalAttentionBlockWeights weights;
  std::ptrdiff_t frame_stride;  ///< S * C
  int frames;
  int channels;
  int num_heads;
  int head_dim_qk;
  int head_dim_v;
  float scale;
  float eps;
  bool stream;  ///< store past the caches (a hint; out is then 64-byte aligned)

  int head_columns;      ///< 2 * d_qk + d_v
  int attended_columns;  ///< H * d_v
  int group_heads;       ///< a group begins at a whole panel of to_qkv
  int group_columns;     ///< of a group, padded to whole panels

  /// Where in a tile's scratch, in floats: first x, normalised and packed, then these.
  std::size_t attended_at;  ///< attended rows, packed
  std::size_t qkv_at;       ///< [rows][group_columns]
};

/// Computes `positions` positions from `first` on; `scratch` is 64-byte aligned.
using TemporalAttentionBlockFn = void (*)(const TemporalAttentionBlockTask&, std::size_t first,
                                          int positions, float* scratch);

struct TemporalAttentionBlockVariant {
  TemporalAttentionBlockFn f32;
};

extern const TemporalAttentionBlockVariant kTemporalAttentionBlockScalar;
extern const TemporalAttentionBlockVariant kTemporalAttentionBlockAvx2;
extern const TemporalAttentionBlockVariant kTemporalAttentionBlockAvx512;
extern const TemporalAttentionBlockVariant kTemporalAttentionBlockNeon;

}  // namespace mobilevd::kernels
