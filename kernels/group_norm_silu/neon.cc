// NEON, part of every AArch64 CPU.
#include "simd/neon.h"

#include "group_norm_silu/group_norm_silu_inl.h"

namespace mobilevd::kernels {

const GroupNormSiluVariant kGroupNormSiluNeon = group_norm_silu_variant<Neon>();

}  // namespace mobilevd::kernels
