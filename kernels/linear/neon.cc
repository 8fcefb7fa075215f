// NEON, part of every AArch64 CPU.
#include "simd/neon.h"

#include "linear/linear_inl.h"

namespace mobilevd::kernels {

const LinearVariant kLinearNeon = linear_variant<Neon>(64 * 1024);

}  // namespace mobilevd::kernels
