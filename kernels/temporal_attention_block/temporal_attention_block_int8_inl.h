#pragma once

#include <cstddef>
#include <cstdint>

#include "gemm_int8/gemm_int8_inl.h"
#include "temporal_attention_block/layer_norm_inl.h"
#include "temporal_attention_block/tile_inl.h"

// One tile with int8 weights, for float operations D and int8 operations I (gemm_int8/). Rows are
// quantised twice: normalised x for q, k and v, and what was attended, all heads of a row together,
// for the output projection. In between everything is float32.
namespace mobilevd::kernels {
namespace {

template <typename D, typename I>
class Int8Tile : TileBase<D, TemporalAttentionBlockInt8Weights> {
  using Base = TileBase<D, TemporalAttentionBlockInt8Weights>;
  using Base::attended_;
  using Base::offsets_;
  using Base::rows_;
  using Base::t_;

 public:
  Int8Tile(const TemporalAttentionBlockTask<TemporalAttentionBlockInt8Weights>& task,
           std::size_t first, int positions, float* scratch)
      : Base(task, first, positions, scratch),
        packed_(reinterpret_cast<std::int8_t*>(scratch)),
        scales_(scratch + task.scales_at),
        row_(scratch + task.row_at) {}

  void run() {
    for (int r = 0; r < rows_; ++r) {
      normalise_row<D>(t_.x + offsets_[r], t_.weights.norm_weight, t_.weights.norm_bias,
                       t_.channels, t_.eps, row_);
      quantise(row_, t_.channels, r);
    }
    for (int h = 0; h < t_.num_heads; h += t_.group_heads) {
      const int heads = smaller(t_.group_heads, t_.num_heads - h);
      project(h, heads);
      this->attend(heads, t_.attended_columns, [&](int p, int g, float*) {
        return attended_ + static_cast<std::ptrdiff_t>(p) * t_.frames * t_.attended_columns +
               (h + g) * t_.head_dim_v;
      });
    }
    for (int r = 0; r < rows_; ++r) {
      quantise(attended_ + static_cast<std::ptrdiff_t>(r) * t_.attended_columns,
               t_.attended_columns, r);
    }
    project_out();
    if (t_.stream) D::stream_fence();
  }

 private:
  void quantise(const float* row, int k, int r) {
    scales_[r] =
        quantise_row<D, I>(row, k, r % I::kRows, packed_ + r / I::kRows * int8_block_stride<I>(k));
  }

  void project(int head, int heads) {
    const std::ptrdiff_t first = static_cast<std::ptrdiff_t>(head) * t_.head_columns;
    const std::ptrdiff_t inputs = part_count(t_.channels, kInt8Group) * kInt8Group;
    gemm_int8_panels<D, I>(rows_, packed_, scales_, t_.weights.to_qkv + first * inputs,
                           t_.weights.to_qkv_scale + first,
                           part_count(heads * t_.head_columns, kPanelColumns), t_.channels,
                           [&](int r, int column) { return this->to_qkv(r, column); });
  }

  void project_out() {
    gemm_int8_panels<D, I>(
        rows_, packed_, scales_, t_.weights.to_out, t_.weights.to_out_scale,
        part_count(t_.channels, kPanelColumns), t_.attended_columns,
        [&](int r, int column) { return this->to_out(r, I::kRows, column, kPanelColumns); });
  }

  std::int8_t* const packed_;
  float *const scales_, *const row_;
};

template <typename D, typename I>
void int8_tile(const TemporalAttentionBlockTask<TemporalAttentionBlockInt8Weights>& task,
               std::size_t first, int positions, float* scratch) {
  Int8Tile<D, I>(task, first, positions, scratch).run();
}

}  // namespace
}  // namespace mobilevd::kernels
