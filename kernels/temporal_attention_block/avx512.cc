// AVX-512. Compiled with its flags (CMakeLists.txt); called only where the CPU has it.
#include "simd/avx512.h"

#include "temporal_attention_block/temporal_attention_block_inl.h"

namespace mobilevd::kernels {

const TemporalAttentionBlockVariant kTemporalAttentionBlockAvx512 = {float32_tile<Avx512>};

}  // namespace mobilevd::kernels
