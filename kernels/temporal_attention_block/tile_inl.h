#pragma once

#include <cstddef>

#include "gemm/panels.h"
#include "temporal_attention/temporal_attention_inl.h"
#include "temporal_attention_block/temporal_attention_block_internal.h"

// What tiles with float32 and with int8 weights have in common: where rows lie, attention, and what
// becomes of the projections' sums. Written once for every ISA D (simd/).
namespace mobilevd::kernels {
namespace {

/// The sums of a block to rows of scratch, which are padded to whole panels.
template <typename D>
struct StoreRows {
  using Vec = typename D::Vec;
  float* to;
  std::ptrdiff_t row;

  template <int kRows, int kVecs>
  void operator()(Vec (&sums)[kRows][kVecs]) const {
#pragma GCC unroll 32
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 16
      for (int v = 0; v < kVecs; ++v) D::store(to + i * row + v * D::kLanes, sums[i][v]);
    }
  }
};

/// out = sums + bias + x for a block's rows, which lie at `offsets` in both x and out.
template <typename D>
struct AddBiasAndInput {
  using Vec = typename D::Vec;
  const float* x;
  float* out;
  const float* bias;
  const std::ptrdiff_t* offsets;
  int columns;  ///< that exist from here on
  bool stream;

  template <int kRows, int kVecs>
  void operator()(Vec (&sums)[kRows][kVecs]) const {
    if (columns < kVecs * D::kLanes) return partial(sums);
    Vec b[kVecs];
#pragma GCC unroll 16
    for (int v = 0; v < kVecs; ++v) b[v] = D::load(bias + v * D::kLanes);
#pragma GCC unroll 32
    for (int i = 0; i < kRows; ++i) {
      const float* from = x + offsets[i];
      float* to = out + offsets[i];
#pragma GCC unroll 16
      for (int v = 0; v < kVecs; ++v) {
        const Vec y = D::add(D::add(sums[i][v], b[v]), D::load(from + v * D::kLanes));
        if (stream) {
          D::stream(to + v * D::kLanes, y);
        } else {
          D::store(to + v * D::kLanes, y);
        }
      }
    }
  }

  template <int kRows, int kVecs>
  void partial(Vec (&sums)[kRows][kVecs]) const {
    for (int v = 0; v < kVecs; ++v) {
      const int n = smaller(columns - v * D::kLanes, D::kLanes);
      if (n <= 0) return;
      const Vec b = D::load_partial(bias + v * D::kLanes, n);
      for (int i = 0; i < kRows; ++i) {
        const std::ptrdiff_t at = offsets[i] + v * D::kLanes;
        const Vec y = D::add(D::add(sums[i][v], b), D::load_partial(x + at, n));
        D::store_partial(out + at, y, n);
      }
    }
  }
};

template <typename D, typename Weights>
class TileBase {
 protected:
  TileBase(const TemporalAttentionBlockTask<Weights>& task, std::size_t first, int positions,
           float* scratch)
      : t_(task),
        positions_(positions),
        rows_(positions * task.frames),
        attended_(scratch + task.attended_at),
        qkv_(scratch + task.qkv_at) {
    for (int p = 0; p < positions; ++p) {
      for (int f = 0; f < t_.frames; ++f) {
        offsets_[p * t_.frames + f] =
            f * t_.frame_stride + (static_cast<std::ptrdiff_t>(first) + p) * t_.channels;
      }
    }
  }

  /// `heads` heads of every position, whose q, k and v lie in qkv_. `to(position, head, v)` is
  /// where a head's result goes, rows `row_out` apart; it may be v.
  template <typename To>
  void attend(int heads, std::ptrdiff_t row_out, To&& to) {
    TemporalAttentionTask<float> task = {};
    task.row_qk = task.row_v = t_.group_columns;
    task.row_out = row_out;
    task.frames = t_.frames;
    task.head_dim_qk = t_.head_dim_qk;
    task.head_dim_v = t_.head_dim_v;
    task.scale = t_.scale;
    TemporalAttentionKernel<D, float> kernel(task);
    for (int p = 0; p < positions_; ++p) {
      float* q = qkv_ + static_cast<std::ptrdiff_t>(p) * t_.frames * t_.group_columns;
      for (int h = 0; h < heads; ++h, q += t_.head_columns) {
        float* const v = q + 2 * t_.head_dim_qk;
        kernel.one_head(q, q + t_.head_dim_qk, v, to(p, h, v));
      }
    }
  }

  StoreRows<D> to_qkv(int r, int column) const {
    return {qkv_ + static_cast<std::ptrdiff_t>(r) * t_.group_columns + column, t_.group_columns};
  }

  /// The output projection's epilogue for a block of up to `rows` rows and `columns` columns.
  /// Fetches what it will add at its end: x has left the second-level cache since it was
  /// normalised, driven out by the weights.
  AddBiasAndInput<D> to_out(int r, int rows, int column, int columns) const {
    constexpr int kLine = 64 / static_cast<int>(sizeof(float));
    for (int i = r; i < smaller(r + rows, rows_); ++i) {
      const float* p = t_.x + offsets_[i] + column;
      for (int c = 0; c < columns; c += kLine) {
        D::prefetch_near(reinterpret_cast<const char*>(p + c));
      }
    }
    return {t_.x + column, t_.out + column,      t_.weights.out_bias + column,
            offsets_ + r,  t_.channels - column, t_.stream};
  }

  const TemporalAttentionBlockTask<Weights>& t_;
  const int positions_, rows_;
  float *const attended_, *const qkv_;
  std::ptrdiff_t offsets_[kMaxTileRows];  // of each row, in x and out
};

}  // namespace
}  // namespace mobilevd::kernels
