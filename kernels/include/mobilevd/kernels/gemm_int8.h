#pragma once

#include <cstddef>
#include <cstdint>

#include "mobilevd/kernels/export.h"
#include "mobilevd/kernels/parallel.h"
#include "mobilevd/kernels/status.h"

namespace mobilevd::kernels {

/// Sizes of a linear layer.
struct GemmInt8Shape {
  std::int64_t rows = 0;     ///< M >= 0
  std::int64_t inputs = 0;   ///< K, 1..65536: int32 sums then cannot overflow
  std::int64_t outputs = 0;  ///< N, 1..2^31-16
};

/// Elements of packed weights; zeros for sizes that are out of range.
struct GemmInt8Sizes {
  std::size_t packed = 0;  ///< bytes
  std::size_t scales = 0;  ///< floats
};
MOBILEVD_KERNELS_API GemmInt8Sizes gemm_int8_sizes(std::int64_t inputs, std::int64_t outputs);

/// Quantises and packs weights [N, K] (row-major, as torch.nn.Linear has them), once, into a layout
/// that is the same for every ISA, so that it can be stored and mapped. Symmetric, per output:
/// scale = max|w| / 127, q = w / scale rounded to nearest even, -127..127.
///
/// Layout: packed [ceil(N/16)][ceil(K/8)][16][8], scales [ceil(N/16)*16], padded with zeros.
/// Errors: kInvalidArgument (size out of range, null pointer, a weight that is NaN or Inf).
MOBILEVD_KERNELS_API Status pack_gemm_int8(const float* weights, std::int64_t inputs,
                                           std::int64_t outputs, std::int8_t* packed,
                                           float* scales);

/// Bytes of scratch for up to `threads` threads at once, at most 256 KiB each (more where K is
/// beyond 8192). 0 for sizes out of range.
MOBILEVD_KERNELS_API std::size_t gemm_int8_scratch_bytes(const GemmInt8Shape& shape,
                                                         std::size_t threads);

/// A linear layer with int8 weights and activations quantised on the fly:
///   out[m,n] = (sum_k q(x)[m,k] w[n,k]) * (row_scale[m] * scales[n]) (+ bias[n])
/// with row_scale = max|x[m,:]| / 127 and q(x) = x * (127 / max|x[m,:]|) rounded to nearest even
/// (a row below 2^-100 throughout counts as zero). The sums are exact in int32, and what follows
/// is the same few float32 operations everywhere: every ISA gives the same bits.
///
/// Layout: x [M, K], out [M, N], row-major, contiguous; bias [N] or null.
/// Alignment: that of one element. Aliasing: out must not overlap the inputs (checked).
/// Scratch: as in temporal_attention_block.h.
/// Numbers: a row with NaN or Inf gives NaN in that row of out only.
/// Threads: any cut gives the same bits; stateless, allocates nothing.
/// M = 0 is a no-op and needs no pointers.
/// Errors: kInvalidArgument, kUnsupported (see dispatch.h); out is then untouched.
MOBILEVD_KERNELS_API Status gemm_int8(const float* x, const std::int8_t* packed,
                                      const float* scales, const float* bias, float* out,
                                      const GemmInt8Shape& shape, void* scratch,
                                      std::size_t scratch_bytes,
                                      ParallelFor parallel_for = serial_for);

}  // namespace mobilevd::kernels
