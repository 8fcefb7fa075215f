// The scalar reference: portable C++, no intrinsics, the definition read aloud on the packed
// weights. It also runs on a CPU without a variant of its own, so its inner loops are such that a
// compiler can vectorise them without changing a sum's order.
#include <algorithm>
#include <cmath>

#include "gemm/panels.h"
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

void layer_norm(const float* x, const TemporalAttentionBlockTask& t, float* y) {
  const int n = t.channels;
  const float mean = total(n, [&](int c) { return x[c]; }) / static_cast<float>(n);
  const float squares = total(n, [&](int c) { return (x[c] - mean) * (x[c] - mean); });
  const float factor = 1.0f / std::sqrt(squares / static_cast<float>(n) + t.eps);
  for (int c = 0; c < n; ++c) {
    y[c] = (x[c] - mean) * factor * t.weights.norm_weight[c] + t.weights.norm_bias[c];
  }
}

/// y = a times a panel of 16 columns.
void times_panel(const float* a, const float* panel, int k, float* y) {
  std::fill(y, y + kPanelColumns, 0.0f);
  for (int c = 0; c < k; ++c, panel += kPanelColumns) {
    for (int j = 0; j < kPanelColumns; ++j) y[j] += a[c] * panel[j];
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
void attend(const TemporalAttentionBlockTask& t, const float* qkv, float* out) {
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

void tile(const TemporalAttentionBlockTask& t, std::size_t first, int positions, float* scratch) {
  const int rows = positions * t.frames;
  float *const y = scratch, *const attended = scratch + t.attended_at;
  float* const qkv = scratch + t.qkv_at;
  const auto offset = [&](int i) {
    return i % t.frames * t.frame_stride +
           (static_cast<std::ptrdiff_t>(first) + i / t.frames) * t.channels;
  };
  for (int i = 0; i < rows; ++i) {
    layer_norm(t.x + offset(i), t, y + static_cast<std::ptrdiff_t>(i) * t.channels);
  }
  for (int h = 0; h < t.num_heads; h += t.group_heads) {
    const int heads = std::min(t.group_heads, t.num_heads - h);
    const std::ptrdiff_t panel = static_cast<std::ptrdiff_t>(kPanelColumns) * t.channels;
    const int first_panel = h * t.head_columns / kPanelColumns;
    const int panels = static_cast<int>(panel_count(heads * t.head_columns));
    for (int n = 0; n < panels; ++n) {
      for (int i = 0; i < rows; ++i) {
        times_panel(y + static_cast<std::ptrdiff_t>(i) * t.channels,
                    t.weights.to_qkv + (first_panel + n) * panel, t.channels,
                    qkv + i * static_cast<std::ptrdiff_t>(t.group_columns) + n * kPanelColumns);
      }
    }
    for (int p = 0; p < positions; ++p) {
      const std::ptrdiff_t row = static_cast<std::ptrdiff_t>(p) * t.frames;
      for (int g = 0; g < heads; ++g) {
        attend(t, qkv + row * t.group_columns + g * t.head_columns,
               attended + row * t.attended_columns + (h + g) * t.head_dim_v);
      }
    }
  }
  for (int c = 0; c < t.channels; c += kPanelColumns) {
    for (int i = 0; i < rows; ++i) {
      float sums[kPanelColumns];
      times_panel(attended + static_cast<std::ptrdiff_t>(i) * t.attended_columns,
                  t.weights.to_out + static_cast<std::ptrdiff_t>(c) * t.attended_columns,
                  t.attended_columns, sums);
      const std::ptrdiff_t at = offset(i) + c;
      for (int j = 0; j < kPanelColumns && c + j < t.channels; ++j) {
        t.out[at + j] = sums[j] + t.weights.out_bias[c + j] + t.x[at + j];
      }
    }
  }
}

}  // namespace

const TemporalAttentionBlockVariant kTemporalAttentionBlockScalar = {tile};

}  // namespace mobilevd::kernels
