// AVX-512. Compiled with its flags (CMakeLists.txt); called only where the CPU has it.
#include "simd/avx512.h"

#include "group_norm_silu/group_norm_silu_inl.h"

namespace mobilevd::kernels {

const GroupNormSiluVariant kGroupNormSiluAvx512 = group_norm_silu_variant<Avx512>();

}  // namespace mobilevd::kernels
