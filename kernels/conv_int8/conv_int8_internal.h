#pragma once

#include <cstddef>
#include <cstdint>

#include "gemm/lane_part.h"
#include "gemm_int8/panels_int8.h"
#include "mobilevd/kernels/conv_int8.h"

namespace mobilevd::kernels {

/// Channels of a pixel in 8 bits are rounded up to this.
constexpr std::ptrdiff_t kInt8Pixel = 16;

/// Some pictures of a convolution, checked, their features in 8 bits. Over frames it is one whose
/// filter is a column: a clip is a picture, frames its rows and positions its columns, of which a
/// task may have a strip.
struct ConvInt8Task {
  const std::int8_t* q;        ///< pixels of the input, `pixel_bytes` from one to the next
  const std::int8_t* padding;  ///< a pixel of zero points
  const std::int8_t* weight;
  const float* scales;
  float* out;
  ConvEpilogue<float> epilogue;
  Int8Range range;
  std::ptrdiff_t pixel_bytes, in_channels, out_channels;
  std::ptrdiff_t height, width, out_height, out_width;
  std::ptrdiff_t out_line;   ///< pixels from line to line of out: out_width but for a strip
  int stride, filter_width;  ///< 3, or 1 over frames

  /// Where an output, counted line by line, lies in out, in pixels.
  std::ptrdiff_t out_pixel(std::ptrdiff_t output) const {
    return output / out_width * out_line + output % out_width;
  }

  int taps() const { return 3 * filter_width; }
  std::ptrdiff_t groups() const { return (in_channels + kInt8Group - 1) / kInt8Group; }
  /// Bytes of the weights of 16 output channels.
  std::ptrdiff_t panel_bytes() const { return taps() * groups() * kInt8Group * kPanelColumns; }
};

/// Features [pixels, channels] to 8 bits; channels are rounded up to kInt8Pixel.
using QuantiseFn = void (*)(const float* x, std::ptrdiff_t pixels, std::ptrdiff_t channels,
                            const Int8Range& range, std::int8_t* q);
/// Units of a LanePart are outputs, row by row, or Winograd's tiles.
using ConvInt8Fn = void (*)(const ConvInt8Task&, const LanePart&);

struct ConvInt8Variant {
  QuantiseFn quantise;
  ConvInt8Fn direct;
  ConvInt8Fn winograd;  ///< or null
};

constexpr std::int64_t kInt8MostChannels = 8192;  ///< of an input: sums stay within 32 bits

// Winograd's: outputs of a tile each way, inputs it reads; tiles, panels and channels that meet in
// the second-level cache.
constexpr int kInt8TileOut = 2, kInt8TileIn = 4, kInt8Frequencies = 16;
constexpr int kInt8Tiles = 96, kInt8GroupPanels = 4, kInt8PieceChannels = 64;
// From frequency to frequency, in elements: a cache line more than a power of two.
constexpr std::ptrdiff_t kInt8WeightStride =
    kInt8GroupPanels * kInt8PieceChannels * kPanelColumns + 32;
constexpr std::ptrdiff_t kInt8SumStride = kInt8GroupPanels * kInt8Tiles * kPanelColumns + 16;
constexpr std::ptrdiff_t kInt8InputStride = kInt8Tiles * kInt8PieceChannels + 32;

extern const ConvInt8Variant kConvInt8Scalar;
extern const ConvInt8Variant kConvInt8Avx2;
extern const ConvInt8Variant kConvInt8Avx512Vnni;
extern const ConvInt8Variant kConvInt8Neon;
extern const ConvInt8Variant kConvInt8NeonDotprod;
extern const ConvInt8Variant kConvInt8NeonI8mm;

}  // namespace mobilevd::kernels
