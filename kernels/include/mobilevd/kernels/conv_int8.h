#pragma once

#include <cstddef>
#include <cstdint>

#include "mobilevd/kernels/conv2d.h"
#include "mobilevd/kernels/temporal_conv.h"

namespace mobilevd::kernels {

/// How float features are held in 8 bits, affine and per tensor:
///   q(x) = x / scale + zero_point, rounded to nearest even, within -128..127
/// (PyTorch rounds before it adds: halves may differ by a step.)
///   x ~ scale (q - zero_point)
struct Int8Range {
  float scale = 1;              ///< finite, at least 2^-100
  std::int32_t zero_point = 0;  ///< -128..127
};

/// Elements of packed weights; zeros for sizes that are out of range.
struct ConvInt8Sizes {
  std::size_t packed = 0;  ///< bytes
  std::size_t scales = 0;  ///< floats
};
MOBILEVD_KERNELS_API ConvInt8Sizes conv_int8_sizes(std::int64_t in_channels,
                                                   std::int64_t out_channels, int taps);

/// Quantises and packs weight [C_out, C_in, taps] (torch's layout, contiguous), once; symmetric,
/// per output channel: scale = max|w| / 127, q = w / scale rounded to nearest even, -127..127.
///
/// Layout: packed [ceil(C_out / 16)][taps][ceil(C_in / 8)][16][8], scales [ceil(C_out / 16) * 16],
/// padded with zeros; the same for every ISA. `taps` is 9 for conv2d_3x3_int8, 3 for
/// temporal_conv_int8.
/// Errors: kInvalidArgument (size out of range, null pointer, a weight that is NaN or Inf).
MOBILEVD_KERNELS_API Status pack_conv_int8(const float* weight, std::int8_t* packed, float* scales,
                                           std::int64_t in_channels, std::int64_t out_channels,
                                           int taps);

/// Bytes of scratch to use `lanes` threads: a byte for each element of x, its channels rounded up
/// to 16, of as many pictures as fit in 8 MiB, but one at least (temporal: of a strip of the
/// positions that does); then per lane 3.1 KiB for each input channel (in 64s), 4 bytes for each
/// output channel and 0.6 MiB. 0 for a shape that is refused.
MOBILEVD_KERNELS_API std::size_t conv2d_3x3_int8_scratch_bytes(const Conv2dShape& shape, int lanes);
MOBILEVD_KERNELS_API std::size_t temporal_conv_int8_scratch_bytes(const TemporalConvShape& shape,
                                                                  int lanes);

/// conv2d_3x3 with weights in 8 bits and features taken to 8 bits on their way in, in a range that
/// is known beforehand (static quantisation):
///   out = activation(scale scales[o] sum (q(x) - zero_point) weight + bias + residual)
///
/// Layout, aliasing, threads, errors: as conv2d_3x3; in_channels <= 8192, `scales` and `range` are
///   as above. All but the weights is float32.
/// Method: every product is one of integers, and sums are exact in int32. Stride 1 and at least 16
///   input channels, AVX2: Winograd's F(2x2, 3x3) in 16 bits, exact as well, 4 of 9
///   multiplications. Else an implicit product of 8-bit numbers (VNNI, SDOT, SMMLA).
/// Numbers: against the definition, float32's rounding of each sum, relative 2e-7; without
///   Winograd, relative to the largest sum of absolute products, those of q and of zero_point
///   apart: they meet in float32. A NaN becomes some number of the range: it is not seen in out.
MOBILEVD_KERNELS_API Status conv2d_3x3_int8(const float* x, const std::int8_t* weight,
                                            const float* scales, float* out,
                                            const Conv2dShape& shape, const Int8Range& range,
                                            const ConvEpilogue<float>& epilogue, void* scratch,
                                            int lanes, ParallelFor parallel_for = serial_for);

/// The same for temporal_conv.
MOBILEVD_KERNELS_API Status temporal_conv_int8(const float* x, const std::int8_t* weight,
                                               const float* scales, float* out,
                                               const TemporalConvShape& shape,
                                               const Int8Range& range,
                                               const ConvEpilogue<float>& epilogue, void* scratch,
                                               int lanes, ParallelFor parallel_for = serial_for);

}  // namespace mobilevd::kernels
