#pragma once

#include <cstddef>

#include "gemm/lane_part.h"
#include "gemm/panels.h"
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

/// Units of a LanePart (tiles of outputs; direct: single outputs, row by row) worked
/// on at once, so that what is kept of them stays in the second-level cache.
constexpr int kConvChunk = 56;
/// Most rows that a chunk takes when it is cut into blocks of any ISA (56 = 10 blocks of 6), and
/// what packing writes past each.
constexpr int kConvChunkRows = 60;
constexpr int kConvChunkPad = 16 * 10;

constexpr int kTileOut = 4;  ///< rows and columns of outputs of one of Winograd's tiles
constexpr int kTileIn = 6;   ///< rows and columns of inputs it depends on
constexpr int kFrequencies = kTileIn * kTileIn;
/// Panels of a group and input channels of a piece: 0.6 MB of transformed weights.
constexpr int kGroupPanels = 4, kPieceChannels = 64;
/// From frequency to frequency, in floats: a line more than a power of two, or all 36 would share
/// sets of the first-level cache.
constexpr std::ptrdiff_t kWeightStride = kGroupPanels * kPieceChannels * kPanelColumns + 16;
constexpr std::ptrdiff_t kSumStride = kConvChunkRows * kGroupPanels * kPanelColumns + 16;

// Of the stride-2 method (strided_conv_inl.h): its tiles, and the sums of taps it multiplies with.
constexpr int kStridedOut = 2, kStridedIn = 5, kStridedTapSums = 7;

template <typename T, typename W>
using Conv2dFn = void (*)(const Conv2dTask<T, W>&, const LanePart&);

template <typename T, typename W>
struct Conv2dMethods {
  Conv2dFn<T, W> winograd, strided, direct;
};

/// What each ISA's translation unit offers: activations and weights float32 or float16.
struct Conv2dVariant {
  Conv2dMethods<float, float> f32;
  Conv2dMethods<float, Half> f32_f16;
  Conv2dMethods<Half, Half> f16;
};

extern const Conv2dVariant kConv2dScalar;
extern const Conv2dVariant kConv2dAvx2;
extern const Conv2dVariant kConv2dAvx512;
extern const Conv2dVariant kConv2dNeon;

}  // namespace mobilevd::kernels
