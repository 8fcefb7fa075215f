#pragma once

#include <cstddef>

#include "mobilevd/kernels/half.h"

namespace mobilevd::kernels {

constexpr int kSpatialMaxHeadDim = 128;

/// Queries of a tile: what one block of scores in the first-level cache serves.
constexpr int kTileQueries = 32;
/// Tiles of a chunk, the unit of work: they take each block of keys in turn.
constexpr int kChunkTiles = 4;
constexpr int kChunkQueries = kChunkTiles * kTileQueries;
/// Most keys of a block, the running maximum is looked at once per block; most keys of a panel.
constexpr int kMaxKeyBlock = 104;
constexpr int kMaxKeyPanel = 16;

/// Widest vector, and so what the parts of a lane's scratch are rounded to, in floats.
constexpr int kMaxLanesOfVector = 16;
constexpr std::ptrdiff_t round_up(std::ptrdiff_t n) {
  return (n + kMaxLanesOfVector - 1) / kMaxLanesOfVector * kMaxLanesOfVector;
}

/// A lane's scratch, in floats.
struct SpatialAttentionScratch {
  std::ptrdiff_t keys;    ///< [panel][d_qk][key in panel], the last store goes half a vector past
  std::ptrdiff_t values;  ///< [panel of columns][key][column in panel]
  std::ptrdiff_t tile;    ///< q [d_qk][query], then sums [query][d_v]; times kChunkTiles
  std::ptrdiff_t scores;  ///< [key][query]

  SpatialAttentionScratch(std::ptrdiff_t key_tokens, int head_dim_qk, int head_dim_v)
      : keys(round_up((key_tokens + kMaxKeyPanel) * head_dim_qk + kMaxLanesOfVector)),
        values(round_up(key_tokens * round_up(head_dim_v))),
        tile((head_dim_qk + round_up(head_dim_v)) * kTileQueries),
        scores(kMaxKeyBlock * kTileQueries) {}
  std::ptrdiff_t floats() const { return keys + values + kChunkTiles * tile + scores; }
};

template <typename T>
struct SpatialAttentionTask {
  const T* q;
  const T* k;
  const T* v;
  T* out;
  std::ptrdiff_t tokens;
  std::ptrdiff_t key_tokens;
  std::ptrdiff_t num_heads;
  int head_dim_qk;
  int head_dim_v;
  float scale;
  std::ptrdiff_t chunks;  ///< of a head: tokens in pieces of kChunkQueries
};

/// Computes the units [begin, end) of batch x heads x chunks; `scratch` is a lane's, 64-byte
/// aligned (the scalar reference needs none).
template <typename T>
using SpatialAttentionFn = void (*)(const SpatialAttentionTask<T>&, std::ptrdiff_t begin,
                                    std::ptrdiff_t end, float* scratch);

/// What each ISA's translation unit offers.
struct SpatialAttentionVariant {
  SpatialAttentionFn<float> f32;
  SpatialAttentionFn<Half> f16;
};

extern const SpatialAttentionVariant kSpatialAttentionScalar;
extern const SpatialAttentionVariant kSpatialAttentionAvx2;
extern const SpatialAttentionVariant kSpatialAttentionAvx512;
extern const SpatialAttentionVariant kSpatialAttentionNeon;

}  // namespace mobilevd::kernels
