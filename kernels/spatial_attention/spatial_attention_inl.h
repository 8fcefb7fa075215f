#pragma once

#include <cstddef>

#include "simd/exp.h"
#include "simd/unroll.h"
#include "spatial_attention/blocks_inl.h"
#include "spatial_attention/pack_inl.h"
#include "spatial_attention/row_prefetcher_inl.h"
#include "spatial_attention/spatial_attention_internal.h"

// The algorithm, written once for every ISA D (simd/). A head's keys and values are packed once
// (into float32): read in place, their rows lie C elements apart, in more pages than the
// first-level TLB holds, and the hardware prefetches what lies between them. Then, for each chunk
// of 128 queries, tiles of 32 take each block of about 100 keys in turn:
//   1. scores: keys' elements are broadcast and multiplied into vectors whose lanes are queries, so
//      that the softmax runs down the keys and needs no horizontal operation;
//   2. the tile's maximum grows, scores become weights, the sum of weights is corrected;
//   3. P V runs with lanes along head_dim and corrects the sums of values as it adds to them.
namespace mobilevd::kernels {
namespace {

template <typename D, typename T>
class SpatialAttentionKernel {
  using Vec = typename D::Vec;
  using Blocks = SpatialAttentionBlocks<D>;
  static constexpr int kLanes = D::kLanes;
  static constexpr int kVecs = Blocks::kVecs;
  /// Columns of a panel of values.
  static constexpr int kPanel = kVecs * kLanes;
  /// Below every finite score: a maximum that is still this met nothing but -Inf.
  static constexpr float kLowest = -3.402823466e38f;

 public:
  SpatialAttentionKernel(const SpatialAttentionTask<T>& task, float* scratch)
      : t_(task),
        row_qk_(task.num_heads * task.head_dim_qk),
        row_v_(task.num_heads * task.head_dim_v),
        row_sums_(part_count(task.head_dim_v, kLanes) * kLanes) {
    const SpatialAttentionScratch size(t_.key_tokens, t_.head_dim_qk, t_.head_dim_v);
    k_ = scratch;
    v_ = k_ + size.keys;
    p_ = v_ + size.values;
    for (int i = 0; i < kChunkTiles; ++i) {
      tiles_[i].q = p_ + size.scores + i * size.tile;
      tiles_[i].sums = tiles_[i].q + t_.head_dim_qk * kTileQueries;
    }
  }

  void run(std::ptrdiff_t begin, std::ptrdiff_t end) {
    std::ptrdiff_t packed = -1;
    for (std::ptrdiff_t unit = begin; unit < end; ++unit) {
      const std::ptrdiff_t head = unit / t_.chunks;
      if (head != packed) pack(head);
      packed = head;
      start_prefetch(unit, end);
      chunk(head, unit % t_.chunks * kChunkQueries);
    }
  }

 private:
  struct Tile {
    float* q;     // [d_qk][query]
    float* sums;  // [query][d_v]: of values, each times its weight relative to `largest`
    std::ptrdiff_t first;
    int queries, vecs;
    alignas(64) float largest[kTileQueries];
    alignas(64) float total[kTileQueries];  // of weights
  };

  struct Place {
    std::ptrdiff_t head;   ///< within its batch entry
    std::ptrdiff_t token;  ///< first of the chunk, counted over all batch entries
    std::ptrdiff_t key;    ///< first of the batch entry
    int queries;
  };
  Place place(std::ptrdiff_t unit) const {
    const std::ptrdiff_t head = unit / t_.chunks, entry = head / t_.num_heads;
    const std::ptrdiff_t first = unit % t_.chunks * kChunkQueries;
    return {head % t_.num_heads, entry * t_.tokens + first, entry * t_.key_tokens,
            static_cast<int>(smaller<std::ptrdiff_t>(t_.tokens - first, kChunkQueries))};
  }

  /// While this unit is computed: the lines of its own output, and what the next one reads.
  void start_prefetch(std::ptrdiff_t unit, std::ptrdiff_t end) {
    prefetch_.clear();
    const Place now = place(unit);
    prefetch_.add(t_.out + now.token * row_v_ + now.head * t_.head_dim_v, row_v_, now.queries,
                  t_.head_dim_v);
    if (unit + 1 < end) {
      const Place next = place(unit + 1);
      prefetch_.add(t_.q + next.token * row_qk_ + next.head * t_.head_dim_qk, row_qk_, next.queries,
                    t_.head_dim_qk);
      if (next.head != now.head || next.key != now.key) {
        prefetch_.add(t_.k + next.key * row_qk_ + next.head * t_.head_dim_qk, row_qk_,
                      t_.key_tokens, t_.head_dim_qk);
        prefetch_.add(t_.v + next.key * row_v_ + next.head * t_.head_dim_v, row_v_, t_.key_tokens,
                      t_.head_dim_v);
      }
    }
    // A step before each block of scores and of values.
    const std::ptrdiff_t panels = (t_.key_tokens - 1) / Blocks::kKeyPanel + 1;
    const std::ptrdiff_t key_blocks = (t_.key_tokens - 1) / Blocks::kKeyBlock + 1;
    std::ptrdiff_t steps = 0;
    for (int i = 0; i < now.queries; i += kTileQueries) {
      const int queries = smaller(now.queries - i, kTileQueries);
      steps +=
          panels * part_count(queries, kVecs * kLanes) +
          key_blocks * part_count(t_.head_dim_v, kPanel) * part_count(queries, Blocks::kMaxRows);
    }
    prefetch_.start(steps);
  }

  /// `head` counts those of all batch entries.
  void pack(std::ptrdiff_t head) {
    const std::ptrdiff_t token = head / t_.num_heads * t_.key_tokens, h = head % t_.num_heads;
    pack_keys<D, Blocks::kKeyPanel>(t_.k + token * row_qk_ + h * t_.head_dim_qk, row_qk_,
                                    t_.key_tokens, t_.head_dim_qk, k_);
    pack_values<D, kPanel>(t_.v + token * row_v_ + h * t_.head_dim_v, row_v_, t_.key_tokens,
                           t_.head_dim_v, v_);
  }

  void chunk(std::ptrdiff_t head, std::ptrdiff_t first) {
    const std::ptrdiff_t token = head / t_.num_heads * t_.tokens, h = head % t_.num_heads;
    const int queries = static_cast<int>(smaller<std::ptrdiff_t>(t_.tokens - first, kChunkQueries));
    const int tiles = part_count(queries, kTileQueries);
    for (int i = 0; i < tiles; ++i) {
      tiles_[i].first = token + first + i * kTileQueries;
      tiles_[i].queries = smaller(queries - i * kTileQueries, kTileQueries);
      tiles_[i].vecs = part_count(tiles_[i].queries, kLanes);
      start(tiles_[i], h);
    }
    for (std::ptrdiff_t j = 0; j < t_.key_tokens; j += Blocks::kKeyBlock) {
      const int keys =
          static_cast<int>(smaller<std::ptrdiff_t>(t_.key_tokens - j, Blocks::kKeyBlock));
      for (int i = 0; i < tiles; ++i) {
        scores(tiles_[i], k_ + j * t_.head_dim_qk, keys);
        softmax(tiles_[i], keys);
        values(tiles_[i], j, keys);
      }
    }
    for (int i = 0; i < tiles; ++i) finish(tiles_[i], h);
  }

  /// Scores are exponents of 2: q comes times scale * log2(e). Lanes past the last query repeat it;
  /// their results are not stored.
  void start(Tile& tile, std::ptrdiff_t h) const {
    const T* q = t_.q + tile.first * row_qk_ + h * t_.head_dim_qk;
    const Vec scale = D::set(t_.scale * 1.44269504088896341f);
    for (int v = 0; v < tile.vecs; ++v) {
      transpose_rows<D>(q + v * kLanes * row_qk_, row_qk_, tile.queries - v * kLanes,
                        t_.head_dim_qk, scale, tile.q + v * kLanes, kTileQueries);
    }
    for (int i = 0; i < kTileQueries; i += kLanes) {
      D::store(tile.largest + i, D::set(kLowest));
      D::store(tile.total + i, D::zero());
    }
  }

  void scores(const Tile& tile, const float* k, int keys) {
    for (int i = 0; i < kTileQueries; i += kLanes) {
      D::store(largest_ + i, D::load(tile.largest + i));
    }
    constexpr int kKeys = Blocks::kKeyPanel;
    for (int j = 0; j < keys; j += kKeys, k += kKeys * t_.head_dim_qk) {
      const int steps = part_count(smaller(keys - j, kKeys), Blocks::kRowStep);
      with_count<Blocks::kMaxSteps>(steps, [&](auto n) {
        for (int v = 0; v < tile.vecs; v += kVecs) {
          prefetch_.template step<D>();
          with_count<kVecs>(smaller(tile.vecs - v, kVecs), [&](auto m) {
            Blocks::template scores<decltype(n)::value, decltype(m)::value>(
                k, tile.q + v * kLanes, t_.head_dim_qk, p_ + j * kTileQueries + v * kLanes,
                largest_ + v * kLanes);
          });
        }
      });
    }
  }

  /// p_ <- 2^(p_ - maximum), factor_ <- what the new maximum makes of the sums so far.
  void softmax(Tile& tile, int keys) {
    // NEON's vectors are short and its exponentials independent: more of them at once.
    constexpr int kAtOnce = kLanes == 4 ? 4 : 2;
    for (int v = 0; v < tile.vecs; v += kAtOnce) {
      with_count<kAtOnce>(smaller(tile.vecs - v, kAtOnce), [&](auto n) {
        softmax_lanes<decltype(n)::value>(tile, v * kLanes, keys);
      });
    }
  }

  template <int kCount>
  [[gnu::noinline]] void softmax_lanes(Tile& tile, int lane, int keys) {
    Vec most[kCount], sum[kCount];
#pragma GCC unroll 4
    for (int v = 0; v < kCount; ++v) {
      most[v] = D::load(largest_ + lane + v * kLanes);
      sum[v] = D::zero();
    }
    float* p = p_ + lane;
#pragma GCC unroll 2
    for (int j = 0; j < keys; ++j, p += kTileQueries) {
#pragma GCC unroll 4
      for (int v = 0; v < kCount; ++v) {
        const Vec weight = exp2_nonpositive<D>(D::sub(D::load(p + v * kLanes), most[v]));
        sum[v] = D::add(sum[v], weight);
        D::store(p + v * kLanes, weight);
      }
    }
#pragma GCC unroll 4
    for (int v = 0; v < kCount; ++v) {
      float* const largest = tile.largest + lane + v * kLanes;
      float* const total = tile.total + lane + v * kLanes;
      const Vec factor = exp2_nonpositive<D>(D::sub(D::load(largest), most[v]));
      D::store(factor_ + lane + v * kLanes, factor);
      D::store(total, D::fma(D::load(total), factor, sum[v]));
      D::store(largest, most[v]);
    }
  }

  void values(Tile& tile, std::ptrdiff_t first, int keys) {
    const int steps = part_count(tile.queries, Blocks::kRowStep);
    const int parts = part_count(steps, Blocks::kMaxSteps);
    for (int column = 0; column < t_.head_dim_v; column += kPanel) {
      const int vecs = part_count(smaller(t_.head_dim_v - column, kPanel), kLanes);
      const float* v = v_ + column * t_.key_tokens + first * vecs * kLanes;
      with_count<kVecs>(vecs, [&](auto m) {
        for (int b = 0; b < parts; ++b) {
          prefetch_.template step<D>();
          const int s = part_begin(steps, parts, b), i = s * Blocks::kRowStep;
          with_count<Blocks::kMaxSteps>(part_begin(steps, parts, b + 1) - s, [&](auto n) {
            Blocks::template values<decltype(n)::value, decltype(m)::value>(
                p_ + i, v, keys, first == 0, factor_ + i, tile.sums + i * row_sums_ + column,
                row_sums_);
          });
        }
      });
    }
  }

  /// out = sums / total, or NaN where every score was -Inf (or NaN: the total says so already).
  void finish(Tile& tile, std::ptrdiff_t h) const {
    const Vec zero = D::zero(), one = D::set(1.0f);
    for (int i = 0; i < kTileQueries; i += kLanes) {
      const Vec none = D::zero_where_less(D::set(kLowest), D::load(tile.largest + i), one);
      const Vec nan_or_zero = D::div(zero, D::sub(one, none));
      D::store(tile.total + i, D::add(D::div(one, D::load(tile.total + i)), nan_or_zero));
    }
    const int width = t_.head_dim_v;
    T* out = t_.out + tile.first * row_v_ + h * width;
    const float* sums = tile.sums;
    for (int i = 0; i < tile.queries; ++i, out += row_v_, sums += row_sums_) {
      const Vec scale = D::broadcast(tile.total + i);
      for (int c = 0; c < width; c += kLanes) {
        store_columns<D>(out + c, D::mul(scale, D::load(sums + c)), width - c);
      }
    }
  }

  const SpatialAttentionTask<T> t_;
  const std::ptrdiff_t row_qk_, row_v_, row_sums_;  ///< elements from token to token
  float *k_, *v_, *p_;                              ///< see SpatialAttentionScratch
  RowPrefetcher prefetch_;
  Tile tiles_[kChunkTiles];
  alignas(64) float largest_[kTileQueries];
  alignas(64) float factor_[kTileQueries];
};

template <typename D, typename T>
void spatial_attention_units(const SpatialAttentionTask<T>& task, std::ptrdiff_t begin,
                             std::ptrdiff_t end, float* scratch) {
  SpatialAttentionKernel<D, T>(task, scratch).run(begin, end);
}

}  // namespace
}  // namespace mobilevd::kernels
