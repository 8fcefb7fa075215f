#pragma once

#include <cstddef>
#include <cstdint>

#include "mobilevd/kernels/export.h"
#include "mobilevd/kernels/half.h"
#include "mobilevd/kernels/parallel.h"
#include "mobilevd/kernels/status.h"

namespace mobilevd::kernels {

/// Sizes of spatial attention, in elements.
struct SpatialAttentionShape {
  std::int64_t batch = 1;        ///< N >= 0 (frames count here: each is a batch entry)
  std::int64_t tokens = 0;       ///< S = height * width of the queries, >= 0
  std::int64_t key_tokens = 0;   ///< S_k of the keys and values, >= 1; S in self-attention
  std::int64_t num_heads = 0;    ///< H >= 1
  std::int64_t head_dim_qk = 0;  ///< d_qk, 8..128 in steps of 8
  std::int64_t head_dim_v = 0;   ///< d_v, 8..128 in steps of 8
};

/// Bytes of scratch that spatial_attention needs to use `lanes` threads: 4 for each key and column
/// of d_qk + d_v, and up to 150 KiB, per lane (1.1 MiB for 2048 keys of head_dim 64); 0 for a shape
/// that is refused.
MOBILEVD_KERNELS_API std::size_t spatial_attention_scratch_bytes(const SpatialAttentionShape& shape,
                                                                 int lanes);

/// Attention over the tokens of each picture:
///   out[n,:,h] = softmax(scale * q[n,:,h] k[n,:,h]^T) v[n,:,h]
/// without the S x S_k scores ever in memory: the softmax is corrected as it meets larger scores,
/// block of keys by block of keys (arXiv 2205.14135). Read and written in the layout the
/// projections leave, without permuted copies of whole tensors: a head's keys and values are packed
/// when its turn comes.
///
/// Layout: q [N, S, H*d_qk]; k [N, S_k, H*d_qk]; v [N, S_k, H*d_v]; out [N, S, H*d_v]; contiguous,
///   last dimension fastest.
/// Alignment: that of one element. Reads and writes stay within the arrays.
/// Aliasing: out must not overlap q, k or v (checked); q, k and v may be the same array.
/// Numbers: float32 arithmetic for both storage types; scores are taken relative to the largest so
///   far, so large finite logits do not overflow. Weights below 2^-126 of a row's largest count as
///   2^-126. NaN or Inf in q reaches only the outputs of its own query and head, in k or v only
///   those of its own batch entry and head. A score of -Inf has no weight; a query whose scores
///   are all -Inf gives NaN, as the definition does.
/// Threads: the work is cut into at most `lanes` (1..1024) parts for `parallel_for`; any number
///   gives the same bits. Scratch: spatial_attention_scratch_bytes(shape, lanes), 64-byte aligned.
///   No allocation; stateless, may be called from many threads at once.
/// N = 0 or S = 0 is a no-op and needs no pointers.
/// Errors: kInvalidArgument (size out of range, null pointer, overlap), kUnsupported (see
///   dispatch.h, startup_status()); out is then untouched.
///
/// `scale` is usually d_qk^-0.5.
MOBILEVD_KERNELS_API Status spatial_attention(const float* q, const float* k, const float* v,
                                              float* out, const SpatialAttentionShape& shape,
                                              float scale, void* scratch, int lanes,
                                              ParallelFor parallel_for = serial_for);

/// The same with float16 storage (round to nearest even at the store).
MOBILEVD_KERNELS_API Status spatial_attention(const Half* q, const Half* k, const Half* v,
                                              Half* out, const SpatialAttentionShape& shape,
                                              float scale, void* scratch, int lanes,
                                              ParallelFor parallel_for = serial_for);

}  // namespace mobilevd::kernels
