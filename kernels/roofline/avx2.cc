// AVX2 + FMA + F16C. Compiled with -mavx2 -mfma -mf16c; called only where the CPU has them.
#include "simd/avx2.h"

#include "roofline/roofline_inl.h"

namespace mobilevd::kernels {

const RooflineVariant kRooflineAvx2 = {fma_rounds<Avx2>, sum_arrays<Avx2>};

}  // namespace mobilevd::kernels
