// AVX-512. Compiled with its flags (CMakeLists.txt); called only where the CPU has it.
#include "simd/avx512.h"

#include "roofline/roofline_inl.h"

namespace mobilevd::kernels {

const RooflineVariant kRooflineAvx512 = {fma_rounds<Avx512>, sum_arrays<Avx512>};

}  // namespace mobilevd::kernels
