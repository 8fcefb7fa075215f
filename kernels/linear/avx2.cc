// AVX2 + FMA + F16C. Compiled with -mavx2 -mfma -mf16c; called only where the CPU has them.
#include "simd/avx2.h"

#include "linear/linear_inl.h"

namespace mobilevd::kernels {

const LinearVariant kLinearAvx2 = linear_variant<Avx2>(128 * 1024);

}  // namespace mobilevd::kernels
