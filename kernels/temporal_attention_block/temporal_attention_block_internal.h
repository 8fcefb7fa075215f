#pragma once

#include <cstddef>

#include "mobilevd/kernels/temporal_attention_block.h"

namespace mobilevd::kernels {

/// Most rows of a tile: bounds what a tile keeps on the stack, and more gain nothing.
constexpr int kMaxTileRows = 168;

/// One batch entry and how its work is cut (temporal_attention_block.cc chooses); Weights is
/// TemporalAttentionBlockWeights or TemporalAttentionBlockInt8Weights.
///
/// A tile is a few positions with all their frames: its row i is frame i % frames of its position
/// i / frames. Within a tile, heads are projected and attended a group at a time, so that of q, k
/// and v only a group's columns exist at once.
template <typename Weights>
struct TemporalAttentionBlockTask {
  const float* x;
  float* out;
  Weights weights;
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

  /// Where in a tile's scratch, in floats. It begins with x, normalised and packed; with int8
  /// weights, the attended rows are packed there, too.
  std::size_t attended_at;  ///< attended rows: packed; with int8 weights [rows][H * d_v]
  std::size_t qkv_at;       ///< [rows][group_columns]
  std::size_t scales_at;    ///< int8: of each row
  std::size_t row_at;       ///< int8: one normalised row
};

/// Computes `positions` positions from `first` on; `scratch` is 64-byte aligned.
template <typename Weights>
using TemporalAttentionBlockFn = void (*)(const TemporalAttentionBlockTask<Weights>&,
                                          std::size_t first, int positions, float* scratch);

struct TemporalAttentionBlockVariant {
  TemporalAttentionBlockFn<TemporalAttentionBlockWeights> tile;
};
extern const TemporalAttentionBlockVariant kTemporalAttentionBlockScalar;
extern const TemporalAttentionBlockVariant kTemporalAttentionBlockAvx2;
extern const TemporalAttentionBlockVariant kTemporalAttentionBlockAvx512;
extern const TemporalAttentionBlockVariant kTemporalAttentionBlockNeon;

struct TemporalAttentionBlockInt8Variant {
  TemporalAttentionBlockFn<TemporalAttentionBlockInt8Weights> tile;
};
extern const TemporalAttentionBlockInt8Variant kTemporalAttentionBlockInt8Scalar;
extern const TemporalAttentionBlockInt8Variant kTemporalAttentionBlockInt8Avx2;
extern const TemporalAttentionBlockInt8Variant kTemporalAttentionBlockInt8Avx512Vnni;
extern const TemporalAttentionBlockInt8Variant kTemporalAttentionBlockInt8Neon;
extern const TemporalAttentionBlockInt8Variant kTemporalAttentionBlockInt8NeonDotprod;
extern const TemporalAttentionBlockInt8Variant kTemporalAttentionBlockInt8NeonI8mm;

}  // namespace mobilevd::kernels
