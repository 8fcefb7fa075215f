// AVX-512. Compiled with its flags (CMakeLists.txt); called only where the CPU has it.
#include "simd/avx512.h"

#include "spatial_attention/spatial_attention_inl.h"

namespace mobilevd::kernels {

const SpatialAttentionVariant kSpatialAttentionAvx512 = {spatial_attention_units<Avx512, float>,
                                                         spatial_attention_units<Avx512, Half>};

}  // namespace mobilevd::kernels
