#pragma once

#include <cstddef>
#include <cstdint>

#include "mobilevd/kernels/conv.h"
#include "mobilevd/kernels/parallel.h"

namespace mobilevd::kernels {

/// Sizes of a convolution over three frames.
struct TemporalConvShape {
  std::int64_t batch = 0;         ///< B >= 0
  std::int64_t frames = 0;        ///< F >= 1
  std::int64_t positions = 0;     ///< S = height * width >= 0
  std::int64_t in_channels = 0;   ///< C_in >= 1
  std::int64_t out_channels = 0;  ///< C_out >= 1
};

/// Bytes of scratch that temporal_conv needs to use `lanes` threads: 56 bytes per lane, frame and
/// input channel; 0 for a shape that is refused.
MOBILEVD_KERNELS_API std::size_t temporal_conv_scratch_bytes(const TemporalConvShape& shape,
                                                             int lanes);

/// Convolution over the frames of each position, filter (3, 1, 1) with a frame of zeros before the
/// first and after the last: the temporal ResBlocks' (arXiv 2311.15127, section 3).
///   out[b, f, s] = activation(sum_t weight[t] x[b, f + t - 1, s] + bias + residual[b, f, s])
///
/// Layout: x [B, F, S, C_in], out and residual [B, F, S, C_out], contiguous, channels fastest;
/// weight as pack_conv_weight(..., taps = 3) leaves it.
/// Numbers: float32 arithmetic; relative L2 error against float64 about 4e-7. NaN or Inf in x
/// reaches
///   only the outputs of its own position in the frame before, its own and the next.
/// Threads: the work is cut into at most `lanes` parts for `parallel_for`; any number gives the
///   same bits. Scratch: temporal_conv_scratch_bytes(shape, lanes), 64-byte aligned. No allocation.
/// Aliasing: out must not overlap x, weight, bias or residual (checked), but may be the residual
///   itself. B = 0 or S = 0 is a no-op and needs no pointers.
/// Errors: as conv2d_3x3; out is then untouched.
MOBILEVD_KERNELS_API Status temporal_conv(const float* x, const float* weight, float* out,
                                          const TemporalConvShape& shape,
                                          const ConvEpilogue<float>& epilogue, void* scratch,
                                          int lanes, ParallelFor parallel_for = serial_for);

/// The same with weights stored as float16.
MOBILEVD_KERNELS_API Status temporal_conv(const float* x, const Half* weight, float* out,
                                          const TemporalConvShape& shape,
                                          const ConvEpilogue<float>& epilogue, void* scratch,
                                          int lanes, ParallelFor parallel_for = serial_for);

/// The same with everything but the bias stored as float16.
MOBILEVD_KERNELS_API Status temporal_conv(const Half* x, const Half* weight, Half* out,
                                          const TemporalConvShape& shape,
                                          const ConvEpilogue<Half>& epilogue, void* scratch,
                                          int lanes, ParallelFor parallel_for = serial_for);

}  // namespace mobilevd::kernels
