// AVX2 + FMA + F16C. Compiled with -mavx2 -mfma -mf16c; called only where the CPU has them.
#include "simd/avx2.h"

#include "temporal_attention_block/temporal_attention_block_inl.h"

namespace mobilevd::kernels {

const TemporalAttentionBlockVariant kTemporalAttentionBlockAvx2 = {
    temporal_attention_block_tile<Avx2>};

}  // namespace mobilevd::kernels
