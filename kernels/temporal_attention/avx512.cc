// AVX-512. Compiled with its flags (CMakeLists.txt); called only where the CPU has it.
#include "simd/avx512.h"

#include "temporal_attention/temporal_attention_inl.h"

namespace mobilevd::kernels {

const TemporalAttentionVariant kTemporalAttentionAvx512 = {temporal_attention_items<Avx512, float>,
                                                           temporal_attention_items<Avx512, Half>};

}  // namespace mobilevd::kernels
