// NEON, part of every AArch64 CPU.
#include "gemm_int8/neon_int8.h"
#include "temporal_attention_block/temporal_attention_block_inl.h"
#include "temporal_attention_block/temporal_attention_block_int8_inl.h"

namespace mobilevd::kernels {

const TemporalAttentionBlockVariant kTemporalAttentionBlockNeon = {float32_tile<Neon>};
const TemporalAttentionBlockInt8Variant kTemporalAttentionBlockInt8Neon = {
    int8_tile<Neon, NeonInt8>};

}  // namespace mobilevd::kernels
