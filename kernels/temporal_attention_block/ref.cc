// The scalar reference: portable C++, no intrinsics, the definition read aloud on the packed
// weights. It also runs on a CPU without a variant of its own, so its inner loops are such that a
// compiler can vectorise them without changing a sum's order.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "gemm_int8/scalar_int8.h"
#include "temporal_attention_block/temporal_attention_block_internal.h"

namespace mobilevd::kernels {
namespace {

/// Eight partial sums, then their sum: more accurate than one running sum.
template <typename Term>
float total(int n, Term&& term) {
  float sum[8] = {};
  for (int c = 0; c < n; ++c) sum[c % 8] += term(c);
  return ((sum[0] + sum[4]) + (sum[1] + sum[5])) + ((sum[2] + sum[6]) + (sum[3] + sum[7]));
}

using Float32Task = TemporalAttentionBlockTask<TemporalAttentionBlockWeights>;
using Int8Task = TemporalAttentionBlockTask<TemporalAttentionBlockInt8Weights>;

template <typename Task>
void layer_norm(const float* x, const Task& t, float* y) {
  const int n = t.channels;
  const float mean = total(n, [&](int c) { return x[c]; }) / static_cast<float>(n);
  const float squares = total(n, [&](int c) { return (x[c] - mean) * (x[c] - mean); });
  const float factor = 1.0f / std::sqrt(squares / static_cast<float>(n) + t.eps);
  for (int c = 0; c < n; ++c) {
    y[c] = (x[c] - mean) * factor * t.weights.norm_weight[c] + t.weights.norm_bias[c];
  }
}

/// p <- softmax(p), the largest subtracted first.
void softmax(float* p, int n) {
  float largest = p[0];
  for (int j = 1; j < n; ++j) largest = std::max(largest, p[j]);
  float sum = 0;
  for (int j = 0; j < n; ++j) sum += p[j] = std::exp(p[j] - largest);
  for (int j = 0; j < n; ++j) p[j] /= sum;
}

/// One head of one position; q, k and v of frame f lie at qkv + f * row.
template <typename Task>
void attend(const Task& t, const float* qkv, float* out) {
  const std::ptrdiff_t row = t.group_columns;
  float p[32];
  for (int i = 0; i < t.frames; ++i, out += t.attended_columns) {
    const float* q = qkv + i * row;
    for (int j = 0; j < t.frames; ++j) {
      const float* k = qkv + j * row + t.head_dim_qk;
      p[j] = t.scale * total(t.head_dim_qk, [&](int c) { return q[c] * k[c]; });
    }
    softmax(p, t.frames);
    std::fill(out, out + t.head_dim_v, 0.0f);
    for (int j = 0; j < t.frames; ++j) {
      const float* v = qkv + j * row + 2 * t.head_dim_qk;
      for (int c = 0; c < t.head_dim_v; ++c) out[c] += p[j] * v[c];
    }
  }
}

/// The products of a row (of `k` columns) with panels of float32 weights.
class Float32Row {
 public:
  Float32Row(const float* a, int k, const Float32Task&, float* /*scratch*/) : a_(a), k_(k) {}

  void times(const float* weights, const float* /*scales*/, std::ptrdiff_t panel, float* y) const {
    const float* b = weights + panel * kPanelColumns * k_;
    std::fill(y, y + kPanelColumns, 0.0f);
    for (int c = 0; c < k_; ++c, b += kPanelColumns) {
      for (int j = 0; j < kPanelColumns; ++j) y[j] += a_[c] * b[j];
    }
  }

 private:
  const float* a_;
  int k_;
};

/// The same for int8 weights: the row is quantised, into the beginning of the scratch.
class Int8Row {
 public:
  Int8Row(const float* a, int k, const Int8Task&, float* scratch)
      : q_(reinterpret_cast<std::int8_t*>(scratch)), k_(k), scale_(scalar_quantise_row(a, k, q_)) {}

  void times(const std::int8_t* weights, const float* scales, std::ptrdiff_t panel,
             float* y) const {
    const std::ptrdiff_t groups = (k_ + kInt8Group - 1) / kInt8Group;
    scalar_times_panel(q_, scale_, weights + panel * groups * kPanelColumns * kInt8Group,
                       scales + panel * kPanelColumns, k_, y);
  }

 private:
  std::int8_t* q_;
  int k_;
  float scale_;
};

const float* qkv_scale(const Float32Task&) { return nullptr; }
const float* qkv_scale(const Int8Task& t) { return t.weights.to_qkv_scale; }
const float* out_scale(const Float32Task&) { return nullptr; }
const float* out_scale(const Int8Task& t) { return t.weights.to_out_scale; }

/// A position at a time. The scratch holds one normalised row, the attended rows and the group's
/// q, k and v (row by row, not packed); the row is normalised again for each group of heads.
template <typename Row, typename Task>
void tile(const Task& t, std::size_t first, int positions, float* scratch) {
  float *const attended = scratch + t.attended_at, *const qkv = scratch + t.qkv_at;
  float* const y = scratch + t.row_at;
  for (int p = 0; p < positions; ++p) {
    const auto offset = [&](int f) {
      return f * t.frame_stride + (static_cast<std::ptrdiff_t>(first) + p) * t.channels;
    };
    for (int h = 0; h < t.num_heads; h += t.group_heads) {
      const int heads = std::min(t.group_heads, t.num_heads - h);
      const std::ptrdiff_t panel = h * t.head_columns / kPanelColumns;
      for (int f = 0; f < t.frames; ++f) {
        layer_norm(t.x + offset(f), t, y);
        const Row row(y, t.channels, t, scratch);
        float* const to = qkv + static_cast<std::ptrdiff_t>(f) * t.group_columns;
        for (int c = 0; c < heads * t.head_columns; c += kPanelColumns) {
          row.times(t.weights.to_qkv, qkv_scale(t), panel + c / kPanelColumns, to + c);
        }
      }
      for (int g = 0; g < heads; ++g) {
        attend(t, qkv + g * t.head_columns, attended + (h + g) * t.head_dim_v);
      }
    }
    for (int f = 0; f < t.frames; ++f) {
      const Row row(attended + static_cast<std::ptrdiff_t>(f) * t.attended_columns,
                    t.attended_columns, t, scratch);
      for (int c = 0; c < t.channels; c += kPanelColumns) {
        float sums[kPanelColumns];
        row.times(t.weights.to_out, out_scale(t), c / kPanelColumns, sums);
        const std::ptrdiff_t at = offset(f) + c;
        for (int j = 0; j < kPanelColumns && c + j < t.channels; ++j) {
          t.out[at + j] = sums[j] + t.weights.out_bias[c + j] + t.x[at + j];
        }
      }
    }
  }
}

}  // namespace

const TemporalAttentionBlockVariant kTemporalAttentionBlockScalar = {tile<Float32Row, Float32Task>};
const TemporalAttentionBlockInt8Variant kTemporalAttentionBlockInt8Scalar = {
    tile<Int8Row, Int8Task>};

}  // namespace mobilevd::kernels
