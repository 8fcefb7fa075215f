// NEON, part of every AArch64 CPU.
#include "simd/neon.h"

#include "temporal_attention_block/temporal_attention_block_inl.h"

namespace mobilevd::kernels {

const TemporalAttentionBlockVariant kTemporalAttentionBlockNeon = {
    temporal_attention_block_tile<Neon>};

}  // namespace mobilevd::kernels
