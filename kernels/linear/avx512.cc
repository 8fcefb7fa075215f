// AVX-512. Compiled with its flags (CMakeLists.txt); called only where the CPU has it.
#include "simd/avx512.h"

#include "linear/linear_inl.h"

namespace mobilevd::kernels {

const LinearVariant kLinearAvx512 = linear_variant<Avx512>(160 * 1024);

}  // namespace mobilevd::kernels
