// AVX2 + FMA + F16C. Compiled with -mavx2 -mfma -mf16c; called only where the CPU has them.
#include "simd/avx2.h"

#include "temporal_attention/temporal_attention_inl.h"

namespace mobilevd::kernels {

const TemporalAttentionVariant kTemporalAttentionAvx2 = {temporal_attention_items<Avx2, float>,
                                                         temporal_attention_items<Avx2, Half>};

}  // namespace mobilevd::kernels
