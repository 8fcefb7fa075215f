#pragma once

#include <cstddef>
#include <cstdint>

#include "mobilevd/kernels/conv.h"
#include "mobilevd/kernels/parallel.h"

namespace mobilevd::kernels {

/// Sizes of a 3x3 convolution with one row and column of zeros around the input.
struct Conv2dShape {
  std::int64_t batch = 0;         ///< N >= 0
  std::int64_t height = 0;        ///< H >= 1, of the input
  std::int64_t width = 0;         ///< W >= 1, of the input
  std::int64_t in_channels = 0;   ///< C_in >= 1
  std::int64_t out_channels = 0;  ///< C_out >= 1
  std::int64_t stride = 1;        ///< 1 or 2; out is [N, ceil(H / stride), ceil(W / stride), C_out]
};

/// Bytes of scratch that conv2d_3x3 needs to use `lanes` threads: about 9 KiB per lane and input
/// channel, and 1.3 MiB a lane; 0 for a shape that is refused.
MOBILEVD_KERNELS_API std::size_t conv2d_3x3_scratch_bytes(const Conv2dShape& shape, int lanes);

/// 3x3 convolution over channels-last pictures, the ResBlocks' (arXiv 2311.15127, 2112.10752).
///
/// Layout: x [N, H, W, C_in], out and residual [N, H', W', C_out], contiguous, channels fastest;
/// weight as pack_conv_weight() leaves it.
/// Method: at least 16 input channels, stride 1: Winograd's F(4x4, 3x3), a quarter of the
///   multiplications; stride 2: F(2x2, 2x2) of the inputs' odd rows and columns, 25 of 36. The
///   weights are transformed piece by piece as they are used, so packed weights stay as large as
///   plain ones and nothing is prepared at load. Fewer input channels: an implicit matrix product.
/// Numbers: float32 arithmetic. Relative L2 error against float64 about 2e-6 (Winograd), 4e-7
/// (else).
///   A NaN or Inf reaches the 4x4 (stride 2: 2x2) tiles of outputs that read it, in all channels.
/// Threads: the work is cut into at most `lanes` parts for `parallel_for`; any number gives the
///   same bits. Scratch: conv2d_3x3_scratch_bytes(shape, lanes), 64-byte aligned. No allocation, at
///   most 48 KiB of stack per thread.
/// Aliasing: out must not overlap x, weight, bias or residual (checked), but may be the residual
///   itself. N = 0 is a no-op and needs no pointers.
/// Errors: kInvalidArgument (size out of range, null pointer, overlap, lanes < 1, scratch that is
///   null or not aligned), kUnsupported (dispatch.h, startup_status()); out is then untouched.
MOBILEVD_KERNELS_API Status conv2d_3x3(const float* x, const float* weight, float* out,
                                       const Conv2dShape& shape,
                                       const ConvEpilogue<float>& epilogue, void* scratch,
                                       int lanes, ParallelFor parallel_for = serial_for);

/// The same with weights stored as float16.
MOBILEVD_KERNELS_API Status conv2d_3x3(const float* x, const Half* weight, float* out,
                                       const Conv2dShape& shape,
                                       const ConvEpilogue<float>& epilogue, void* scratch,
                                       int lanes, ParallelFor parallel_for = serial_for);

/// The same with everything but the bias stored as float16.
MOBILEVD_KERNELS_API Status conv2d_3x3(const Half* x, const Half* weight, Half* out,
                                       const Conv2dShape& shape, const ConvEpilogue<Half>& epilogue,
                                       void* scratch, int lanes,
                                       ParallelFor parallel_for = serial_for);

}  // namespace mobilevd::kernels
