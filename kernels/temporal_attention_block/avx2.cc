// AVX2 + FMA + F16C. Compiled with -mavx2 -mfma -mf16c; called only where the CPU has them.
#include "gemm_int8/avx2_int8.h"
#include "temporal_attention_block/temporal_attention_block_inl.h"
#include "temporal_attention_block/temporal_attention_block_int8_inl.h"

namespace mobilevd::kernels {

const TemporalAttentionBlockVariant kTemporalAttentionBlockAvx2 = {float32_tile<Avx2>};
const TemporalAttentionBlockInt8Variant kTemporalAttentionBlockInt8Avx2 = {
    int8_tile<Avx2, Avx2Int8>};

}  // namespace mobilevd::kernels
