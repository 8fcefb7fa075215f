// NEON with I8MM: the int8 products. Float32 is that of neon.cc.
#include "gemm_int8/neon_int8.h"
#include "temporal_attention_block/temporal_attention_block_int8_inl.h"

namespace mobilevd::kernels {

const TemporalAttentionBlockInt8Variant kTemporalAttentionBlockInt8NeonI8mm = {
    int8_tile<Neon, NeonI8mmInt8>};

}  // namespace mobilevd::kernels
