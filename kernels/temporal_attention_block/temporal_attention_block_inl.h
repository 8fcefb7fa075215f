#pragma once

#include <cstddef>

#include "gemm/gemm_inl.h"
#include "temporal_attention_block/layer_norm_inl.h"
#include "temporal_attention_block/tile_inl.h"

// One tile with float32 weights. The rows of x are normalised straight into the packed form that
// the matrix product reads; a group of heads is projected, attended while it lies in the
// second-level cache (each head of a position in the first), and packed again, column by column,
// for the output projection, which adds bias and x on the way to memory.
namespace mobilevd::kernels {
namespace {

template <typename D>
class Float32Tile : TileBase<D, TemporalAttentionBlockWeights> {
  using Base = TileBase<D, TemporalAttentionBlockWeights>;
  using Vec = typename D::Vec;
  using Base::attended_;
  using Base::offsets_;
  using Base::qkv_;
  using Base::rows_;
  using Base::t_;
  static constexpr int kRows = GemmTile<D>::kRows, kLanes = D::kLanes;
  /// Rows that pack_block() asks for: up to whole vectors.
  static constexpr int kLoadedRows = (kRows + kLanes - 1) / kLanes * kLanes;

 public:
  Float32Tile(const TemporalAttentionBlockTask<TemporalAttentionBlockWeights>& task,
              std::size_t first, int positions, float* scratch)
      : Base(task, first, positions, scratch), x_(scratch) {}

  void run() {
    for (int r = 0; r < rows_; r += kRows) normalise(r);
    for (int h = 0; h < t_.num_heads; h += t_.group_heads) {
      const int heads = smaller(t_.group_heads, t_.num_heads - h);
      project(h, heads);
      this->attend(heads, t_.group_columns, [](int, int, float* v) { return v; });
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
    const auto load = [&](int i, std::ptrdiff_t c, int left) {
      return normalised<D>(from[i] + c, moments[i], t_.weights.norm_weight + c,
                           t_.weights.norm_bias + c, left);
    };
    pack_block<D>(load, t_.channels, x_ + r / kRows * block_stride(t_.channels));
  }

  void project(int head, int heads) {
    const float* b =
        t_.weights.to_qkv + static_cast<std::ptrdiff_t>(head) * t_.head_columns * t_.channels;
    gemm_panels<D>(rows_, x_, block_stride(t_.channels), b,
                   part_count(heads * t_.head_columns, kPanelColumns), t_.channels,
                   [&](int r, int column) { return this->to_qkv(r, column); });
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
                     return this->to_out(r, kRows, column, GemmTile<D>::kPanels * kPanelColumns);
                   });
  }

  float* const x_;
};

template <typename D>
void float32_tile(const TemporalAttentionBlockTask<TemporalAttentionBlockWeights>& task,
                  std::size_t first, int positions, float* scratch) {
  Float32Tile<D>(task, first, positions, scratch).run();
}

}  // namespace
}  // namespace mobilevd::kernels
