#pragma once

#include <cstddef>

#include "mobilevd/kernels/half.h"

namespace mobilevd::kernels {

/// Most frames and widest head: they bound the scratch arrays on the stack.
constexpr int kMaxFrames = 32;
constexpr int kMaxHeadDim = 128;

/// One batch entry of temporal attention. An item is one head of one position: items lie one
/// behind the other in each frame's row, so an item's number times its width is its offset.
template <typename T>
struct TemporalAttentionTask {
  const T* q;
  const T* k;
  const T* v;
  T* out;
  std::ptrdiff_t row_qk;  ///< elements from frame to frame in q and k
  std::ptrdiff_t row_v;   ///< the same in v
  std::ptrdiff_t row_out;
  int frames;
  int head_dim_qk;
  int head_dim_v;
  float scale;
  bool stream;  ///< store past the caches (a hint; out is then 64-byte aligned)
};

/// Computes the items [begin, end).
template <typename T>
using TemporalAttentionFn = void (*)(const TemporalAttentionTask<T>&, std::size_t begin,
                                     std::size_t end);

/// What each ISA's translation unit offers.
struct TemporalAttentionVariant {
  TemporalAttentionFn<float> f32;
  TemporalAttentionFn<Half> f16;
};

extern const TemporalAttentionVariant kTemporalAttentionScalar;
extern const TemporalAttentionVariant kTemporalAttentionAvx2;
extern const TemporalAttentionVariant kTemporalAttentionAvx512;
extern const TemporalAttentionVariant kTemporalAttentionNeon;

}  // namespace mobilevd::kernels
