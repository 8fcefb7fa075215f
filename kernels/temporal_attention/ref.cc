// The scalar reference: portable C++, no intrinsics, the definition read aloud. It is also what
// runs on a CPU without a variant of its own, so its inner loops are such that a compiler can
// vectorise them without changing a sum's order.
#include <algorithm>
#include <cmath>

#include "simd/scalar_storage.h"
#include "temporal_attention/temporal_attention_internal.h"

namespace mobilevd::kernels {
namespace {

/// Eight partial sums, then their sum: as fast as the compiler's vectors are wide, and more
/// accurate than one running sum.
float dot(const float* a, const float* b, int n) {
  float sum[8] = {};
  for (int c = 0; c < n; c += 8) {
    for (int i = 0; i < 8; ++i) sum[i] += a[c + i] * b[c + i];
  }
  return ((sum[0] + sum[4]) + (sum[1] + sum[5])) + ((sum[2] + sum[6]) + (sum[3] + sum[7]));
}

template <typename T>
void load_rows(const T* from, std::ptrdiff_t row, int rows, int width, float* to) {
  for (int j = 0; j < rows; ++j) {
    for (int c = 0; c < width; ++c) to[j * width + c] = widen(from[j * row + c]);
  }
}

/// p <- softmax(p), the largest subtracted first.
void softmax(float* p, int n) {
  float largest = p[0];
  for (int j = 1; j < n; ++j) largest = std::max(largest, p[j]);
  float sum = 0;
  for (int j = 0; j < n; ++j) {
    p[j] = std::exp(p[j] - largest);
    sum += p[j];
  }
  for (int j = 0; j < n; ++j) p[j] /= sum;
}

template <typename T>
void items(const TemporalAttentionTask<T>& t, std::size_t begin, std::size_t end) {
  const int frames = t.frames, d_qk = t.head_dim_qk, d_v = t.head_dim_v;
  float k[kMaxFrames * kMaxHeadDim], v[kMaxFrames * kMaxHeadDim];
  float q[kMaxHeadDim], p[kMaxFrames], sum[kMaxHeadDim];
  for (std::size_t item = begin; item < end; ++item) {
    load_rows(t.k + item * d_qk, t.row_qk, frames, d_qk, k);
    load_rows(t.v + item * d_v, t.row_v, frames, d_v, v);
    for (int i = 0; i < frames; ++i) {
      load_rows(t.q + item * d_qk + i * t.row_qk, t.row_qk, 1, d_qk, q);
      for (int j = 0; j < frames; ++j) p[j] = t.scale * dot(q, k + j * d_qk, d_qk);
      softmax(p, frames);
      std::fill(sum, sum + d_v, 0.0f);
      for (int j = 0; j < frames; ++j) {
        for (int c = 0; c < d_v; ++c) sum[c] += p[j] * v[j * d_v + c];
      }
      T* out = t.out + item * d_v + i * t.row_out;
      for (int c = 0; c < d_v; ++c) narrow(sum[c], out + c);
    }
  }
}

}  // namespace

const TemporalAttentionVariant kTemporalAttentionScalar = {items<float>, items<Half>};

}  // namespace mobilevd::kernels
