// AVX2 + FMA + F16C. Compiled with -mavx2 -mfma -mf16c; called only where the CPU has them.
#include "simd/avx2.h"

#include "group_norm_silu/group_norm_silu_inl.h"

namespace mobilevd::kernels {

const GroupNormSiluVariant kGroupNormSiluAvx2 = group_norm_silu_variant<Avx2>();

}  // namespace mobilevd::kernels
