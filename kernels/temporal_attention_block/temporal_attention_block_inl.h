#pragma once

#include <cstddef>

#include "gemm/gemm_inl.h"
#include "temporal_attention/temporal_attention_inl.h"
#include "temporal_attention_block/layer_norm_inl.h"
#include "temporal_attention_block/temporal_attention_block_internal.h"

// One tile, written once for every ISA D (simd/). The rows of x are normalised straight into the
// packed form that the matrix product reads; a group of heads is projected, attended while it lies
// in the second-level cache (each head of a position in the first), and packed again, column by
// column, for the output projection, which adds bias and x on the way to memory.
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

template <typename D>
class TemporalAttentionBlockTile {
  using Vec = typename D::Vec;
  static constexpr int kRows = GemmTile<D>::kRows, kLanes = D::kLanes;
  /// Rows that pack_block() asks for: up to whole vectors.
  static constexpr int kLoadedRows = (kRows + kLanes - 1) / kLanes * kLanes;

 public:
  TemporalAttentionBlockTile(const TemporalAttentionBlockTask& task, std::size_t first,
                             int positions, float* scratch)
      : t_(task),
        positions_(positions),
        rows_(positions * task.frames),
        x_(scratch),
        attended_(scratch + task.attended_at),
        qkv_(scratch + task.qkv_at) {
    for (int p = 0; p < positions; ++p) {
      for (int f = 0; f < t_.frames; ++f) {
        offsets_[p * t_.frames + f] =
            f * t_.frame_stride + (static_cast<std::ptrdiff_t>(first) + p) * t_.channels;
      }
    }
  }

  void run() {
    for (int r = 0; r < rows_; r += kRows) normalise(r);
    for (int h = 0; h < t_.num_heads; h += t_.group_heads) {
      const int heads = smaller(t_.group_heads, t_.num_heads - h);
      project(h, heads);
      attend(heads);
      pack_attended(h, heads);
    }
    project_out();
    if (t_.stream) D::stream_fence();
  }

 private:
  /// A gap behind each block: packing a few columns runs over by less than a vector, into what may
  /// be there already.
  static std::ptrdiff_t block_stride(int columns) {
    return static_cast<std::ptrdiff_t>(kRows) * columns + 16;
  }

  void normalise(int r) {
    const float* from[kLoadedRows];
    RowMoments moments[kLoadedRows];
    const int rows = smaller(kRows, rows_ - r);
    for (int i = 0; i < kLoadedRows; ++i) {
      if (i < rows) {
        from[i] = t_.x + offsets_[r + i];
        moments[i] = row_moments<D>(from[i], t_.channels, t_.eps);
      } else {
        from[i] = from[rows - 1];
        moments[i] = moments[rows - 1];
      }
    }
    const float *weight = t_.weights.norm_weight, *bias = t_.weights.norm_bias;
    const auto load = [&](int i, std::ptrdiff_t c, int left) {
      const auto part = [&](const float* p) {
        return left == kLanes ? D::load(p + c) : D::load_partial(p + c, left);
      };
      const Vec deviation = D::sub(part(from[i]), D::set(moments[i].mean));
      return D::fma(D::mul(deviation, D::set(moments[i].inverse_deviation)), part(weight),
                    part(bias));
    };
    pack_block<D>(load, t_.channels, x_ + r / kRows * block_stride(t_.channels));
  }

  void project(int head, int heads) {
    const int columns = heads * t_.head_columns;
    const std::ptrdiff_t row = t_.group_columns;
    const float* b =
        t_.weights.to_qkv + static_cast<std::ptrdiff_t>(head) * t_.head_columns * t_.channels;
    gemm_panels<D>(rows_, x_, block_stride(t_.channels), b, part_count(columns, kPanelColumns),
                   t_.channels,
                   [&](int r, int column) { return StoreRows<D>{qkv_ + r * row + column, row}; });
  }

  /// Every head of the group at every position; the result takes v's place.
  void attend(int heads) {
    const std::ptrdiff_t row = t_.group_columns;
    TemporalAttentionTask<float> task = {};
    task.row_qk = task.row_v = task.row_out = row;
    task.frames = t_.frames;
    task.head_dim_qk = t_.head_dim_qk;
    task.head_dim_v = t_.head_dim_v;
    task.scale = t_.scale;
    TemporalAttentionKernel<D, float> kernel(task);
    for (int p = 0; p < positions_; ++p) {
      float* q = qkv_ + p * t_.frames * row;
      for (int h = 0; h < heads; ++h, q += t_.head_columns) {
        float* const v = q + 2 * t_.head_dim_qk;
        kernel.one_head(q, q + t_.head_dim_qk, v, v);
      }
    }
  }

  void pack_attended(int head, int heads) {
    const std::ptrdiff_t row = t_.group_columns;
    for (int r = 0; r < rows_; r += kRows) {
      float* to = attended_ + r / kRows * block_stride(t_.attended_columns) +
                  static_cast<std::ptrdiff_t>(head) * t_.head_dim_v * kRows;
      const float* v = qkv_ + r * row + 2 * t_.head_dim_qk;
      for (int h = 0; h < heads; ++h, v += t_.head_columns, to += t_.head_dim_v * kRows) {
        pack_rows<D>([&](int i) { return v + i * row; }, smaller(kRows, rows_ - r), t_.head_dim_v,
                     to);
      }
    }
  }

  void project_out() {
    gemm_panels<D>(rows_, attended_, block_stride(t_.attended_columns), t_.weights.to_out,
                   part_count(t_.channels, kPanelColumns), t_.attended_columns,
                   [&](int r, int column) {
                     prefetch_input(r, column);
                     return AddBiasAndInput<D>{
                         t_.x + column, t_.out + column,      t_.weights.out_bias + column,
                         offsets_ + r,  t_.channels - column, t_.stream};
                   });
  }

  /// What a block of the output adds at its end: x has left the second-level cache since it was
  /// normalised, driven out by the weights.
  void prefetch_input(int r, int column) const {
    constexpr int kLine = 64 / static_cast<int>(sizeof(float));
    for (int i = r; i < smaller(r + kRows, rows_); ++i) {
      const float* p = t_.x + offsets_[i] + column;
#pragma GCC unroll 2
      for (int c = 0; c < GemmTile<D>::kPanels * kPanelColumns; c += kLine) {
        D::prefetch_near(reinterpret_cast<const char*>(p + c));
      }
    }
  }

  const TemporalAttentionBlockTask& t_;
  const int positions_, rows_;
  float *const x_, *const attended_, *const qkv_;
  std::ptrdiff_t offsets_[kMaxTileRows];  // of each row, in x and out
};

template <typename D>
void temporal_attention_block_tile(const TemporalAttentionBlockTask& task, std::size_t first,
                                   int positions, float* scratch) {
  TemporalAttentionBlockTile<D>(task, first, positions, scratch).run();
}

}  // namespace
}  // namespace mobilevd::kernels
