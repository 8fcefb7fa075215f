#pragma once

#include <cstddef>

#include "gemm/lane_part.h"
#include "mobilevd/kernels/temporal_conv.h"

namespace mobilevd::kernels {

/// A temporal convolution, checked. T stores x and out, W the weights.
template <typename T, typename W>
struct TemporalConvTask {
  const T* x;
  const W* weight;
  T* out;
  ConvEpilogue<T> epilogue;
  std::ptrdiff_t frames, positions, in_channels, out_channels;
  std::ptrdiff_t blocks;  ///< blocks of positions that each batch entry is cut into
};

/// Units of a LanePart are blocks of positions.
template <typename T, typename W>
using TemporalConvFn = void (*)(const TemporalConvTask<T, W>&, const LanePart&);

/// What each ISA's translation unit offers: activations and weights float32 or float16.
struct TemporalConvVariant {
  int block_positions;  ///< positions of a block, at most
  TemporalConvFn<float, float> f32;
  TemporalConvFn<float, Half> f32_f16;
  TemporalConvFn<Half, Half> f16;
};

/// The largest block of any ISA: it bounds the scratch.
constexpr int kTemporalConvPositions = 14;

extern const TemporalConvVariant kTemporalConvScalar;
extern const TemporalConvVariant kTemporalConvAvx2;
extern const TemporalConvVariant kTemporalConvAvx512;
extern const TemporalConvVariant kTemporalConvNeon;

}  // namespace mobilevd::kernels
