// AVX-512 with VNNI: the int8 products. Float32 is that of avx512.cc.
#include "gemm_int8/avx512_vnni_int8.h"
#include "temporal_attention_block/temporal_attention_block_int8_inl.h"

namespace mobilevd::kernels {

const TemporalAttentionBlockInt8Variant kTemporalAttentionBlockInt8Avx512Vnni = {
    int8_tile<Avx512, VnniInt8>};

}  // namespace mobilevd::kernels
