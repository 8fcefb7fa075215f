// NEON, part of every AArch64 CPU.
#include "simd/neon.h"

#include "roofline/roofline_inl.h"

namespace mobilevd::kernels {

const RooflineVariant kRooflineNeon = {fma_rounds<Neon>, sum_arrays<Neon>};

}  // namespace mobilevd::kernels
