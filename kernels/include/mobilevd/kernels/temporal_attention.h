#pragma once

#include <cstdint>

#include "mobilevd/kernels/export.h"
#include "mobilevd/kernels/half.h"
#include "mobilevd/kernels/parallel.h"
#include "mobilevd/kernels/status.h"

namespace mobilevd::kernels {

/// Sizes of temporal attention, in elements.
struct TemporalAttentionShape {
  std::int64_t batch = 1;        ///< B >= 0
  std::int64_t frames = 0;       ///< F, 1..32
  std::int64_t positions = 0;    ///< S = height * width >= 0
  std::int64_t num_heads = 0;    ///< H >= 1
  std::int64_t head_dim_qk = 0;  ///< d_qk, 8..128 in steps of 8
  std::int64_t head_dim_v = 0;   ///< d_v, 8..128 in steps of 8
};

/// Attention over the frames of each position:
///   out[b,:,s,h] = softmax(scale * q[b,:,s,h] k[b,:,s,h]^T) v[b,:,s,h]
/// the core of a video UNet's temporal self-attention (arXiv 2311.15127, section 3), read and
/// written in the layout the projections leave, without permuted copies.
///
/// Layout: q, k [B, F, S, H*d_qk]; v, out [B, F, S, H*d_v]; contiguous, last dimension fastest.
/// Alignment: that of one element. Reads and writes stay within the arrays.
/// Aliasing: out must not overlap q, k or v (checked); q, k and v may be the same array.
/// Numbers: float32 arithmetic for both storage types; the softmax subtracts the row maximum, so
///   large finite logits do not overflow. NaN or Inf in q, k or v reaches only the outputs of its
///   own batch entry, position and head.
/// Threads: work goes through `parallel_for`; any cut gives the same bits. Stateless, allocates
///   nothing, at most 64 KiB of stack per thread. May be called from many threads at once.
/// B = 0 or S = 0 is a no-op and needs no pointers.
/// Errors: kInvalidArgument (size out of range, null pointer, overlap), kUnsupported (see
///   dispatch.h, startup_status()); out is then untouched.
///
/// `scale` is usually d_qk^-0.5.
MOBILEVD_KERNELS_API Status temporal_attention(const float* q, const float* k, const float* v,
                                               float* out, const TemporalAttentionShape& shape,
                                               float scale, ParallelFor parallel_for = serial_for);

/// The same with float16 storage (round to nearest even at the store).
MOBILEVD_KERNELS_API Status temporal_attention(const Half* q, const Half* k, const Half* v,
                                               Half* out, const TemporalAttentionShape& shape,
                                               float scale, ParallelFor parallel_for = serial_for);

}  // namespace mobilevd::kernels
