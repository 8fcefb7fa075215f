// The scalar reference: portable C++, no intrinsics. It is also what runs on a CPU without a
// variant of its own, so its inner loops are such that a compiler can vectorise them without
// changing a sum's order, and keys come in blocks as they do elsewhere: any number of them fits.
#include <algorithm>
#include <cmath>
#include <limits>

#include "simd/scalar_storage.h"
#include "spatial_attention/spatial_attention_internal.h"

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

/// A query's softmax so far: weights are relative to the largest score.
struct Running {
  float largest = -std::numeric_limits<float>::infinity();
  float total = 0;
  float sums[kSpatialMaxHeadDim] = {};

  /// Adds a block of keys' scores and values.
  void add(const float* scores, const float* v, int keys, int width) {
    float most = largest;
    for (int j = 0; j < keys; ++j) most = std::max(most, scores[j]);
    // While every score is -Inf there is nothing to be relative to, and no weight.
    const float base = most == -std::numeric_limits<float>::infinity() ? 0 : most;
    const float factor = std::exp(largest - base);
    // A block's sums first: one running sum over thousands of keys would lose digits.
    float weights = 0, block[kSpatialMaxHeadDim] = {};
    for (int j = 0; j < keys; ++j, v += width) {
      const float weight = std::exp(scores[j] - base);
      weights += weight;
      for (int c = 0; c < width; ++c) block[c] += weight * v[c];
    }
    total = total * factor + weights;
    for (int c = 0; c < width; ++c) sums[c] = sums[c] * factor + block[c];
    largest = most;
  }
};

/// The queries [first, last) of one head.
template <typename T>
void queries(const SpatialAttentionTask<T>& t, std::ptrdiff_t head, std::ptrdiff_t first,
             std::ptrdiff_t last) {
  const int d_qk = t.head_dim_qk, d_v = t.head_dim_v;
  const std::ptrdiff_t row_qk = t.num_heads * d_qk, row_v = t.num_heads * d_v;
  const std::ptrdiff_t entry = head / t.num_heads, h = head % t.num_heads;
  const T* const all_k = t.k + entry * t.key_tokens * row_qk + h * d_qk;
  const T* const all_v = t.v + entry * t.key_tokens * row_v + h * d_v;
  constexpr int kKeys = 64;
  float k[kKeys * kSpatialMaxHeadDim], v[kKeys * kSpatialMaxHeadDim];
  float q[kTileQueries * kSpatialMaxHeadDim], scores[kKeys];
  Running running[kTileQueries];
  const int count = static_cast<int>(last - first);
  load_rows(t.q + (entry * t.tokens + first) * row_qk + h * d_qk, row_qk, count, d_qk, q);
  for (std::ptrdiff_t j = 0; j < t.key_tokens; j += kKeys) {
    const int keys = static_cast<int>(std::min<std::ptrdiff_t>(t.key_tokens - j, kKeys));
    load_rows(all_k + j * row_qk, row_qk, keys, d_qk, k);
    load_rows(all_v + j * row_v, row_v, keys, d_v, v);
    for (int i = 0; i < count; ++i) {
      for (int n = 0; n < keys; ++n) scores[n] = t.scale * dot(q + i * d_qk, k + n * d_qk, d_qk);
      running[i].add(scores, v, keys, d_v);
    }
  }
  T* out = t.out + (entry * t.tokens + first) * row_v + h * d_v;
  for (int i = 0; i < count; ++i, out += row_v) {
    for (int c = 0; c < d_v; ++c) narrow(running[i].sums[c] / running[i].total, out + c);
  }
}

template <typename T>
void units(const SpatialAttentionTask<T>& t, std::ptrdiff_t begin, std::ptrdiff_t end,
           float* /*scratch*/) {
  for (std::ptrdiff_t unit = begin; unit < end; ++unit) {
    const std::ptrdiff_t start = unit % t.chunks * kChunkQueries;
    const std::ptrdiff_t stop = std::min<std::ptrdiff_t>(start + kChunkQueries, t.tokens);
    for (std::ptrdiff_t i = start; i < stop; i += kTileQueries) {
      queries(t, unit / t.chunks, i, std::min<std::ptrdiff_t>(i + kTileQueries, stop));
    }
  }
}

}  // namespace

const SpatialAttentionVariant kSpatialAttentionScalar = {units<float>, units<Half>};

}  // namespace mobilevd::kernels
