#pragma once

#include <cstddef>

#include "mobilevd/kernels/conv2d.h"

namespace mobilevd::kernels {

/// A convolution, checked. T stores x and out, W the weights.
template <typename T, typename W>
struct Conv2dTask {
  const T* x;
  const W* weight;
  T* out;
  ConvEpilogue<T> epilogue;
  std::ptrdiff_t height, width;          ///< of x
  std::ptrdiff_t out_height, out_width;  ///< of out
  std::ptrdiff_t in_channels, out_channels;
  int stride;
};

/// The part of the work of one lane: some units (Winograd: tiles of 4x4 outputs; direct: single
/// outputs; counted over the whole batch, row by row) times some panels of 16 output channels.
struct Conv2dPart {
  std::ptrdiff_t unit_begin, unit_end;
  std::ptrdiff_t panel_begin, panel_end;
  float* scratch;
};

/// Units worked on at once, so that what is kept of them stays in the second-level cache.
constexpr int kConvChunk = 56;
/// Most rows that a chunk takes when it is cut into blocks of any ISA (56 = 10 blocks of 6), and
/// what packing writes past each.
constexpr int kConvChunkRows = 60;
constexpr int kConvChunkPad = 16 * 10;

template <typename T, typename W>
using Conv2dFn = void (*)(const Conv2dTask<T, W>&, const Conv2dPart&);

template <typename T, typename W>
struct Conv2dMethods {
  Conv2dFn<T, W> winograd, direct;
};

/// What each ISA's translation unit offers: activations and weights float32 or float16.
struct Conv2dVariant {
  Conv2dMethods<float, float> f32;
  Conv2dMethods<float, Half> f32_f16;
  Conv2dMethods<Half, Half> f16;
};

/// Floats of scratch of one lane.
std::size_t winograd_scratch(std::size_t in_channels);
std::size_t direct_scratch(std::size_t in_channels);

extern const Conv2dVariant kConv2dScalar;
extern const Conv2dVariant kConv2dAvx2;
extern const Conv2dVariant kConv2dAvx512;
extern const Conv2dVariant kConv2dNeon;

}  // namespace mobilevd::kernels
