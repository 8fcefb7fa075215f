#pragma once

#include <cstddef>
#include <cstdint>

#include "mobilevd/kernels/export.h"
#include "mobilevd/kernels/half.h"
#include "mobilevd/kernels/parallel.h"
#include "mobilevd/kernels/status.h"

namespace mobilevd::kernels {

/// What becomes of a linear layer's sums y before they are stored.
enum class Activation {
  kNone,   ///< y
  kSilu,   ///< y * sigmoid(y)
  kGeglu,  ///< value * gelu(gate), GELU by erf; value is the first half of y, gate the second
};

/// Sizes of a linear layer, in elements.
struct LinearShape {
  std::int64_t rows = 0;          ///< M >= 0
  std::int64_t in_features = 0;   ///< K >= 0
  std::int64_t out_features = 0;  ///< N >= 0 columns of out; GEGLU's weights have 2 N outputs
};

/// Bytes of scratch that linear() needs to use `lanes` threads, at most 1.5 MB each; 0 for sizes
/// that are refused. It does not depend on the ISA.
MOBILEVD_KERNELS_API std::size_t linear_scratch_bytes(const LinearShape& shape, int lanes);

/// A linear layer with what usually follows it, in one pass over its output:
///   out = residual + activation(x weight^T + bias)
/// GEGLU as in arXiv 2002.05202 and in diffusers.
///
/// Layout: x [M, K]; residual, out [M, N]; contiguous, last dimension fastest. packed_weight as
///   pack_linear_weight() makes it of [N, K], or of [2 N, K] for kGeglu. bias [N] or [2 N],
///   float32. bias and residual may be null.
/// Alignment: that of one element (64 bytes are faster); scratch 64 bytes. Reads and writes stay
///   within the arrays.
/// Aliasing: residual may be out itself; otherwise out must overlap nothing (checked).
/// Numbers: float32 arithmetic; sums of up to 384 products, then their sum, in a fixed order. A NaN
///   or Inf in a row of x reaches only that row of out, in the weight only its column.
/// Threads: the work is cut into at most `lanes` parts for `parallel_for`; any number gives equal
///   bits. Scratch: linear_scratch_bytes(shape, lanes). No allocation, 4 KiB of stack per thread.
/// M = 0 or N = 0 is a no-op and needs no pointers; K = 0 gives activation(bias).
/// Errors: kInvalidArgument (size out of range, null pointer, overlap, lanes outside 1..1024,
///   scratch that is null or not aligned), kUnsupported (dispatch.h, startup_status()); out is then
///   untouched.
MOBILEVD_KERNELS_API Status linear(const float* x, const float* packed_weight, const float* bias,
                                   const float* residual, float* out, const LinearShape& shape,
                                   Activation activation, void* scratch, int lanes,
                                   ParallelFor parallel_for = serial_for);

/// The same with weights stored as float16.
MOBILEVD_KERNELS_API Status linear(const float* x, const Half* packed_weight, const float* bias,
                                   const float* residual, float* out, const LinearShape& shape,
                                   Activation activation, void* scratch, int lanes,
                                   ParallelFor parallel_for = serial_for);

/// The same with everything but the bias stored as float16.
MOBILEVD_KERNELS_API Status linear(const Half* x, const Half* packed_weight, const float* bias,
                                   const Half* residual, Half* out, const LinearShape& shape,
                                   Activation activation, void* scratch, int lanes,
                                   ParallelFor parallel_for = serial_for);

/// Elements of the packed weights: [panels][K][16], where panels = ceil(N / 16), twice that for
/// kGeglu. -1 when the sizes are negative or leave 64 bits.
MOBILEVD_KERNELS_API std::int64_t packed_linear_size(const LinearShape& shape,
                                                     Activation activation = Activation::kNone);

/// Packs weights once, for every ISA alike (so that packed files can be shared and mapped). weight
/// is [N, K], or [2 N, K] for kGeglu, as torch.nn.Linear has it; packed has packed_linear_size()
/// elements and must not overlap it. Panel p holds outputs 16 p .. 16 p + 15, the last one padded
/// with zeros; for kGeglu panels 2 p and 2 p + 1 hold those outputs of value and of gate. `rows` is
/// not used. Errors: kInvalidArgument.
MOBILEVD_KERNELS_API Status pack_linear_weight(const float* weight, float* packed,
                                               const LinearShape& shape,
                                               Activation activation = Activation::kNone);
MOBILEVD_KERNELS_API Status pack_linear_weight(const Half* weight, Half* packed,
                                               const LinearShape& shape,
                                               Activation activation = Activation::kNone);

}  // namespace mobilevd::kernels
