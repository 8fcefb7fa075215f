#pragma once

#include <cstddef>
#include <cstdint>

#include "mobilevd/kernels/export.h"
#include "mobilevd/kernels/parallel.h"
#include "mobilevd/kernels/status.h"

namespace mobilevd::kernels {

/// Sizes of the temporal self-attention sub-block, in elements.
struct TemporalAttentionBlockShape {
  std::int64_t batch = 1;        ///< B >= 0
  std::int64_t frames = 0;       ///< F, 1..32
  std::int64_t positions = 0;    ///< S = height * width >= 0
  std::int64_t channels = 0;     ///< C, 1..65536
  std::int64_t num_heads = 0;    ///< H, 1..4096
  std::int64_t head_dim_qk = 0;  ///< d_qk, 8..128 in steps of 8
  std::int64_t head_dim_v = 0;   ///< d_v, 8..128 in steps of 8
};

/// Weights packed by pack_temporal_attention_block(); the arrays stay the caller's.
struct TemporalAttentionBlockWeights {
  const float* norm_weight;  ///< [C], of the LayerNorm
  const float* norm_bias;    ///< [C]
  const float* to_qkv;       ///< packed, temporal_attention_block_sizes().to_qkv elements
  const float* to_out;       ///< packed, temporal_attention_block_sizes().to_out elements
  const float* out_bias;     ///< [C]
};

/// The same with the projections in int8, per output channel (gemm_int8.h).
struct TemporalAttentionBlockInt8Weights {
  const float* norm_weight;   ///< [C]
  const float* norm_bias;     ///< [C]
  const std::int8_t* to_qkv;  ///< packed, as temporal_attention_block_int8_sizes() has it
  const float* to_qkv_scale;  ///< of each column of to_qkv
  const std::int8_t* to_out;  ///< packed
  const float* to_out_scale;  ///< of each column of to_out
  const float* out_bias;      ///< [C]
};

/// Elements of the packed weights of a shape (`batch`, `frames` and `positions` do not matter);
/// zeros for sizes that are out of range.
struct TemporalAttentionBlockSizes {
  std::size_t to_qkv = 0;
  std::size_t to_out = 0;
};
MOBILEVD_KERNELS_API TemporalAttentionBlockSizes
temporal_attention_block_sizes(const TemporalAttentionBlockShape& shape);

struct TemporalAttentionBlockInt8Sizes {
  std::size_t to_qkv = 0;        ///< bytes
  std::size_t to_qkv_scale = 0;  ///< floats
  std::size_t to_out = 0;        ///< bytes
  std::size_t to_out_scale = 0;  ///< floats
};
MOBILEVD_KERNELS_API TemporalAttentionBlockInt8Sizes
temporal_attention_block_int8_sizes(const TemporalAttentionBlockShape& shape);

/// The head widths of packed weights, from their sizes: `qkv_panels` panels of to_qkv and
/// `attended` = H*d_v inputs of to_out. Sets shape->head_dim_qk and head_dim_v; its num_heads must
/// be set. False, and zeros, for sizes that no head widths give.
MOBILEVD_KERNELS_API bool temporal_attention_block_head_dims(std::int64_t qkv_panels,
                                                             std::int64_t attended,
                                                             TemporalAttentionBlockShape* shape);

/// Packs the projections' weights, once, into a layout that is the same for every ISA, so that it
/// can be stored and mapped. to_q and to_k are [H*d_qk, C], to_v [H*d_v, C], to_out [C, H*d_v],
/// row-major, as torch.nn.Linear has them.
///
/// Layout: panels of 16 outputs, [ceil(n/16)][k][16], the last one padded with zeros. The outputs
/// of to_qkv are ordered head by head: q, k and v of head 0, then of head 1, ...
MOBILEVD_KERNELS_API Status pack_temporal_attention_block(const float* to_q, const float* to_k,
                                                          const float* to_v, const float* to_out,
                                                          const TemporalAttentionBlockShape& shape,
                                                          float* packed_qkv, float* packed_out);

/// The same, quantised per output as gemm_int8.h says: scale = max|w| / 127, -127..127.
/// Layout: panels of 16 outputs and 8 inputs, [ceil(n/16)][ceil(k/8)][16][8], scales
/// [ceil(n/16)*16]; the outputs in the same order, padded with zeros.
/// Errors: kInvalidArgument, also for a weight that is NaN or Inf.
MOBILEVD_KERNELS_API Status pack_temporal_attention_block_int8(
    const float* to_q, const float* to_k, const float* to_v, const float* to_out,
    const TemporalAttentionBlockShape& shape, std::int8_t* packed_qkv, float* qkv_scale,
    std::int8_t* packed_out, float* out_scale);

/// Bytes of scratch for up to `threads` threads at once, about 1 MiB each (384 KiB on ARM) whatever
/// the number of positions; less where the work is too small to share. 0 for sizes out of range.
MOBILEVD_KERNELS_API std::size_t temporal_attention_block_scratch_bytes(
    const TemporalAttentionBlockShape& shape, std::size_t threads);
MOBILEVD_KERNELS_API std::size_t temporal_attention_block_int8_scratch_bytes(
    const TemporalAttentionBlockShape& shape, std::size_t threads);

/// The temporal self-attention of a video UNet with what surrounds it (arXiv 2311.15127, section
/// 3), fused over tiles of positions, so that q, k and v never leave the second-level cache:
///   y = LayerNorm(x; norm_weight, norm_bias, eps) over the channels
///   q, k, v = y to_q^T, y to_k^T, y to_v^T
///   a[b,:,s,h] = softmax(scale * q[b,:,s,h] k[b,:,s,h]^T) v[b,:,s,h]   over the frames
///   out = x + a to_out^T + out_bias
///
/// Layout: x, out [B, F, S, C], contiguous, last dimension fastest. With merged funnels d_qk and
///   d_v differ from C / H; `scale` is then still that of the original head width.
/// Alignment: that of one element; 64 bytes are faster. Reads and writes stay within the arrays.
/// Aliasing: out may be x itself; else it must not overlap any input (checked).
/// Scratch: `scratch_bytes` bytes, any alignment, overwritten, the caller's; one thread's share
///   (temporal_attention_block_scratch_bytes(shape, 1)) is the least; every further share lets
///   one more thread work. It must not overlap the other arrays.
/// Numbers: float32. NaN or Inf in x reaches only the outputs of its own batch entry and position.
/// Threads: work goes through `parallel_for`, whose items are the shares of scratch; which of them
///   computes what, and how many there are, does not change a bit. Stateless, allocates nothing,
///   at most 64 KiB of stack per thread. May be called from many threads at once, each with its own
///   scratch.
/// B = 0 or S = 0 is a no-op and needs no pointers.
/// Errors: kInvalidArgument (size out of range, eps not positive and finite, null pointer, overlap,
///   too little scratch), kUnsupported (see dispatch.h, startup_status()); out is then untouched.
///
/// For inference: there is no backward pass.
MOBILEVD_KERNELS_API Status temporal_attention_block(
    const float* x, const TemporalAttentionBlockWeights& weights, float* out,
    const TemporalAttentionBlockShape& shape, float scale, float eps, void* scratch,
    std::size_t scratch_bytes, ParallelFor parallel_for = serial_for);

/// The same with int8 weights: y and a are quantised row by row as gemm_int8.h says (of a, all
/// heads of a row together), multiplied exactly in int32 and scaled to float32; LayerNorm,
/// attention, bias and residual are float32. Its scratch is
/// temporal_attention_block_int8_scratch_bytes(). Accuracy: on normally distributed data 1-2 %
/// (relative L2) of what is added to x; C <= 65536 and H*d_v <= 65536.
MOBILEVD_KERNELS_API Status temporal_attention_block(
    const float* x, const TemporalAttentionBlockInt8Weights& weights, float* out,
    const TemporalAttentionBlockShape& shape, float scale, float eps, void* scratch,
    std::size_t scratch_bytes, ParallelFor parallel_for = serial_for);

}  // namespace mobilevd::kernels
