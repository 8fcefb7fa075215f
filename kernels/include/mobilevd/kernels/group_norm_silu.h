#pragma once

#include <cstdint>

#include "mobilevd/kernels/export.h"
#include "mobilevd/kernels/half.h"
#include "mobilevd/kernels/parallel.h"
#include "mobilevd/kernels/status.h"

namespace mobilevd::kernels {

/// Sizes, in elements, and layout of a group normalisation.
struct GroupNormSiluShape {
  std::int64_t batch = 1;       ///< N >= 0: samples with statistics of their own
  std::int64_t channels = 0;    ///< C >= 1
  std::int64_t positions = 0;   ///< P >= 0: everything that is neither N nor C
  std::int64_t num_groups = 0;  ///< G >= 1, a divisor of C; group g is channels [g C/G, (g+1) C/G)
  bool channels_last = false;   ///< x, out are [N, P, C] instead of [N, C, P]
};

/// Group normalisation (arXiv 1803.08494), optionally followed by SiLU:
///   y = (x - mean) / sqrt(var + eps) * weight[c] + bias[c];  out = silu ? y / (1 + exp(-y)) : y
/// mean and var (biased) over the C/G channels and all positions of each sample's group.
///
/// A video UNet's spatial blocks have N = batch * frames and P = height * width; its temporal
/// blocks take the statistics over the frames, too: N = batch, P = frames * height * width, with x
/// [B, C, F, H*W] or, channels last, [B, F, H*W, C].
///
/// Layout: x, out [N, C, P], or [N, P, C] with `channels_last`; contiguous, last dimension fastest.
///   weight, bias [C]; either may be null: 1, 0.
/// Alignment: that of one element. Reads and writes stay within the arrays.
/// Aliasing: out may be x (in place). Any other overlap of out with x, weight or bias is an error.
/// Numbers: float32 arithmetic for all storage types. The statistics come from sums of deviations
///   from a nearby value, in blocks that are combined in float64 (Chan, Golub, LeVeque), so a mean
///   that is large beside the deviation costs nothing. Deviations up to 1e37 do not overflow.
///   NaN or Inf in x makes its own sample's group NaN and nothing else.
/// Threads: work goes through `parallel_for`; any cut gives the same bits. Stateless, allocates
///   nothing, at most 64 KiB of stack per thread. May be called from many threads at once.
/// N = 0 or P = 0 is a no-op and needs no pointers.
/// Errors: kInvalidArgument (size out of range, eps not positive and finite, null x or out,
/// overlap),
///   kUnsupported (see dispatch.h, startup_status()); out is then untouched.
MOBILEVD_KERNELS_API Status group_norm_silu(const float* x, const float* weight, const float* bias,
                                            float* out, const GroupNormSiluShape& shape, float eps,
                                            bool silu = true,
                                            ParallelFor parallel_for = serial_for);

/// The same with x and out in float16 (round to nearest even at the store).
MOBILEVD_KERNELS_API Status group_norm_silu(const Half* x, const float* weight, const float* bias,
                                            Half* out, const GroupNormSiluShape& shape, float eps,
                                            bool silu = true,
                                            ParallelFor parallel_for = serial_for);

/// The same with everything in float16.
MOBILEVD_KERNELS_API Status group_norm_silu(const Half* x, const Half* weight, const Half* bias,
                                            Half* out, const GroupNormSiluShape& shape, float eps,
                                            bool silu = true,
                                            ParallelFor parallel_for = serial_for);

}  // namespace mobilevd::kernels
