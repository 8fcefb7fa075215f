// AVX2 + FMA + F16C. Compiled with -mavx2 -mfma -mf16c; called only where the CPU has them.
#include "simd/avx2.h"

#include "spatial_attention/spatial_attention_inl.h"

namespace mobilevd::kernels {

const SpatialAttentionVariant kSpatialAttentionAvx2 = {spatial_attention_units<Avx2, float>,
                                                       spatial_attention_units<Avx2, Half>};

}  // namespace mobilevd::kernels
