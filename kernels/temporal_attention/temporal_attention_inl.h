#pragma once

#include <cstddef>
#include <type_traits>

#include "simd/exp.h"
#include "simd/prefetch.h"
#include "simd/unroll.h"
#include "temporal_attention/temporal_attention_internal.h"

// The algorithm, written once for every ISA D (simd/). For each head of each position:
//   1. Q is transposed into scratch, so that a vector's lanes are query frames (14 fill 16 lanes);
//   2. scores: a key's element is broadcast and multiplied into all query lanes; the softmax then
//      runs down the keys and needs no horizontal operation;
//   3. P V runs over head_dim with lanes along it, so the output needs no transposition.
// The blocks are functions of their own (noinline): merged into one body, GCC spills their loops.
// K is read once and straight from its rows. V is read once per block of queries, hence copied:
// its rows lie a multiple of 4 KiB apart and would evict each other from the first-level cache.
namespace mobilevd::kernels {
namespace {

/// Queries per group: what one pass over the keys serves.
constexpr int kGroupQueries = 16;

template <typename D, typename T>
class TemporalAttentionKernel {
  using Vec = typename D::Vec;
  using Task = TemporalAttentionTask<T>;
  static constexpr int kLanes = D::kLanes;
  static constexpr bool kConverts = !std::is_same_v<T, float>;
  /// Vectors in 16 elements, the width of an output block: one cache line of float32.
  static constexpr int kBlockVecs = 16 / kLanes;
  static constexpr int kQueryBlock = D::kAccumulators / kBlockVecs;

 public:
  explicit TemporalAttentionKernel(const Task& task) : t_(task) {}

  void run(std::size_t begin, std::size_t end) {
    const int widest = larger(t_.head_dim_qk, t_.head_dim_v);
    const std::size_t chunk =
        larger<std::size_t>(1, ChunkPrefetcher::kChunkBytes / (widest * sizeof(T)));
    for (std::size_t first = begin; first < end; first += chunk) {
      const std::size_t last = smaller(first + chunk, end);
      prefetch_.template finish<D>();
      if (last < end) start_prefetch(last, smaller(chunk, end - last));
      for (std::size_t item = first; item < last; ++item) one_head(item);
    }
    if (t_.stream) D::stream_fence();
  }

  /// One head of one position, whose frames lie a row apart. V is copied first, so `out` may be v.
  void one_head(const T* q, const T* k, const T* v, T* out) {
    copy_rows(v, t_.row_v, t_.head_dim_v, v_);
    const float* keys[kMaxFrames];
    if constexpr (kConverts) {
      copy_rows(k, t_.row_qk, t_.head_dim_qk, k_);
      for (int j = 0; j < t_.frames; ++j) keys[j] = k_ + j * t_.head_dim_qk;
    } else {
      for (int j = 0; j < t_.frames; ++j) keys[j] = k + j * t_.row_qk;
    }
    for (int i = 0; i < t_.frames; i += kGroupQueries) {
      const int queries = smaller(t_.frames - i, kGroupQueries);
      with_count<kBlockVecs>(part_count(queries, kLanes), [&](auto vecs) {
        constexpr int kVecs = decltype(vecs)::value;
        transpose_queries<kVecs>(q + i * t_.row_qk, queries);
        scores<kVecs>(keys);
        softmax<kVecs>();
        values<kVecs>(queries, out + i * t_.row_out);
      });
    }
  }

 private:
  void start_prefetch(std::size_t item, std::size_t items) {
    const auto array = [&](const T* data, std::ptrdiff_t row, int width) {
      return ChunkPrefetcher::Array{reinterpret_cast<const char*>(data + item * width),
                                    row * static_cast<std::ptrdiff_t>(sizeof(T)),
                                    static_cast<std::ptrdiff_t>(items * width * sizeof(T))};
    };
    prefetch_.start({array(t_.q, t_.row_qk, t_.head_dim_qk), array(t_.k, t_.row_qk, t_.head_dim_qk),
                     array(t_.v, t_.row_v, t_.head_dim_v)},
                    t_.frames);
  }

  void one_head(std::size_t item) {
    one_head(t_.q + item * t_.head_dim_qk, t_.k + item * t_.head_dim_qk,
             t_.v + item * t_.head_dim_v, t_.out + item * t_.head_dim_v);
  }

  void copy_rows(const T* from, std::ptrdiff_t row, int width, float* to) const {
    for (int j = 0; j < t_.frames; ++j, from += row, to += width) {
      int c = 0;
      for (; c + kLanes <= width; c += kLanes) D::store(to + c, D::load(from + c));
      if (c < width) D::store_partial(to + c, D::load_partial(from + c, width - c), width - c);
    }
  }

  /// q_[c][lane] = q[lane][c]. Lanes past the last query repeat it; their results are not stored.
  template <int kVecs>
  void transpose_queries(const T* q, int queries) {
    for (int v = 0; v < kVecs; ++v) {
      const T* rows[kLanes];
      for (int i = 0; i < kLanes; ++i) {
        rows[i] = q + smaller(v * kLanes + i, queries - 1) * t_.row_qk;
      }
      for (int c = 0; c < t_.head_dim_qk; c += kLanes) {
        Vec block[kLanes];
#pragma GCC unroll 16
        for (int i = 0; i < kLanes; ++i) block[i] = load_columns(rows[i] + c, t_.head_dim_qk - c);
        D::transpose(block);
#pragma GCC unroll 16
        for (int i = 0; i < kLanes; ++i) D::store(q_ + ((c + i) * kVecs + v) * kLanes, block[i]);
      }
    }
  }

  /// The next kLanes columns; zeros past the last (a head_dim is a multiple of 8 only).
  static Vec load_columns(const T* from, int left) {
    if constexpr (kLanes > 8) {
      if (left < kLanes) return D::load_partial(from, left);
    }
    return D::load(from);
  }

  /// p_[j][lane] = scale * <k[j], q[lane]>.
  template <int kVecs>
  void scores(const float* const* keys) {
    constexpr int kKeyBlock = D::kAccumulators / kVecs < 8 ? D::kAccumulators / kVecs : 8;
    const int parts = part_count(t_.frames, kKeyBlock);
    for (int b = 0; b < parts; ++b) {
      const int j = part_begin(t_.frames, parts, b);
      const int count = part_begin(t_.frames, parts, b + 1) - j;
      with_count<kKeyBlock>(count, [&](auto n) {
        score_block<kVecs, decltype(n)::value>(keys + j, p_ + j * kVecs * kLanes);
      });
    }
  }

  template <int kVecs, int kKeys>
  [[gnu::noinline]] void score_block(const float* const* keys, float* p) {
    const int width = t_.head_dim_qk;
    ChunkPrefetcher& prefetch = prefetch_;
    Vec acc[kKeys][kVecs];
    const float* key[kKeys];
#pragma GCC unroll 16
    for (int j = 0; j < kKeys; ++j) {
      key[j] = keys[j];
#pragma GCC unroll 16
      for (int v = 0; v < kVecs; ++v) acc[j][v] = D::zero();
    }
    const float* q = q_;
    for (int c8 = 0; c8 < width; c8 += 8) {
      prefetch.template step<D>();
#pragma GCC unroll 4
      for (int c = c8; c < c8 + 8; ++c, q += kVecs * kLanes) {
        Vec query[kVecs];
#pragma GCC unroll 16
        for (int v = 0; v < kVecs; ++v) query[v] = D::load(q + v * kLanes);
#pragma GCC unroll 16
        for (int j = 0; j < kKeys; ++j) {
          const Vec element = D::broadcast(key[j] + c);
#pragma GCC unroll 16
          for (int v = 0; v < kVecs; ++v) acc[j][v] = D::fma(element, query[v], acc[j][v]);
        }
      }
    }
    const Vec scale = D::set(t_.scale);
#pragma GCC unroll 16
    for (int j = 0; j < kKeys; ++j) {
#pragma GCC unroll 16
      for (int v = 0; v < kVecs; ++v) {
        D::store(p + (j * kVecs + v) * kLanes, D::mul(acc[j][v], scale));
      }
    }
  }

  /// p_[:, lane] <- softmax(p_[:, lane]). A NaN score makes its lane's sum NaN, as it should.
  template <int kVecs>
  void softmax() {
    constexpr int kRow = kVecs * kLanes;
    Vec largest[kVecs], sum[kVecs];
    for (int v = 0; v < kVecs; ++v) {
      largest[v] = D::load(p_ + v * kLanes);
      sum[v] = D::zero();
    }
    for (int j = 1; j < t_.frames; ++j) {
      for (int v = 0; v < kVecs; ++v) {
        largest[v] = D::max(largest[v], D::load(p_ + j * kRow + v * kLanes));
      }
    }
    for (int j = 0; j < t_.frames; ++j) {
      for (int v = 0; v < kVecs; ++v) {
        float* p = p_ + j * kRow + v * kLanes;
        const Vec e = exp_nonpositive<D>(D::sub(D::load(p), largest[v]));
        sum[v] = D::add(sum[v], e);
        D::store(p, e);
      }
    }
    for (int v = 0; v < kVecs; ++v) sum[v] = D::div(D::set(1.0f), sum[v]);
    for (int j = 0; j < t_.frames; ++j) {
      for (int v = 0; v < kVecs; ++v) {
        float* p = p_ + j * kRow + v * kLanes;
        D::store(p, D::mul(D::load(p), sum[v]));
      }
    }
  }

  /// out[i] = sum_j p_[j][i] v_[j], in blocks of a few queries by 16 columns.
  template <int kVecs>
  void values(int queries, T* out) {
    const int parts = part_count(queries, kQueryBlock);
    for (int b = 0; b < parts; ++b) {
      const int i = part_begin(queries, parts, b);
      const int count = part_begin(queries, parts, b + 1) - i;
      with_count<kQueryBlock>(count, [&](auto n) {
        constexpr int kQueries = decltype(n)::value;
        T* rows = out + i * t_.row_out;
        const float* p = p_ + i;
        int c = 0;
        for (; c + 16 <= t_.head_dim_v; c += 16) {
          prefetch_.template step<D>();
          value_block<kQueries, kBlockVecs>(p, kVecs * kLanes, c, rows);
        }
        if (c < t_.head_dim_v) {
          constexpr int kHalfBlock = kLanes > 8 ? 1 : 8 / kLanes;
          value_block<kQueries, kHalfBlock, (kLanes > 8)>(p, kVecs * kLanes, c, rows);
        }
      });
    }
  }

  /// kPartial: the block is the lower half of a vector too wide for it.
  template <int kQueries, int kCols, bool kPartial = false>
  [[gnu::noinline]] void value_block(const float* p, int row_p, int column, T* out) const {
    const int frames = t_.frames, width = t_.head_dim_v;
    const std::ptrdiff_t row = t_.row_out;
    Vec acc[kQueries][kCols];
#pragma GCC unroll 16
    for (int i = 0; i < kQueries; ++i) {
#pragma GCC unroll 16
      for (int c = 0; c < kCols; ++c) acc[i][c] = D::zero();
    }
    const float* v = v_ + column;
    for (int j = 0; j < frames; ++j, p += row_p, v += width) {
      Vec value[kCols];
#pragma GCC unroll 16
      for (int c = 0; c < kCols; ++c) value[c] = D::load(v + c * kLanes);
#pragma GCC unroll 16
      for (int i = 0; i < kQueries; ++i) {
        const Vec weight = D::broadcast(p + i);
#pragma GCC unroll 16
        for (int c = 0; c < kCols; ++c) acc[i][c] = D::fma(weight, value[c], acc[i][c]);
      }
    }
    out += column;
    if constexpr (kPartial) {
#pragma GCC unroll 16
      for (int i = 0; i < kQueries; ++i) D::store_partial(out + i * row, acc[i][0], 8);
      return;
    }
    if (t_.stream) {
#pragma GCC unroll 16
      for (int i = 0; i < kQueries; ++i) {
#pragma GCC unroll 16
        for (int c = 0; c < kCols; ++c) D::stream(out + i * row + c * kLanes, acc[i][c]);
      }
    } else {
#pragma GCC unroll 16
      for (int i = 0; i < kQueries; ++i) {
#pragma GCC unroll 16
        for (int c = 0; c < kCols; ++c) D::store(out + i * row + c * kLanes, acc[i][c]);
      }
    }
  }

  const Task t_;
  ChunkPrefetcher prefetch_;
  alignas(64) float q_[kMaxHeadDim * kGroupQueries];        // [d_qk][query]
  alignas(64) float p_[kMaxFrames * kGroupQueries];         // [key][query]
  alignas(64) float v_[kMaxFrames * kMaxHeadDim + kLanes];  // [key][d_v], read past the last row
  alignas(64) float k_[kConverts ? kMaxFrames * kMaxHeadDim : 1];
};

template <typename D, typename T>
void temporal_attention_items(const TemporalAttentionTask<T>& task, std::size_t begin,
                              std::size_t end) {
  TemporalAttentionKernel<D, T>(task).run(begin, end);
}

}  // namespace
}  // namespace mobilevd::kernels
