// NEON, part of every AArch64 CPU.
#include "simd/neon.h"

#include "spatial_attention/spatial_attention_inl.h"

namespace mobilevd::kernels {

const SpatialAttentionVariant kSpatialAttentionNeon = {spatial_attention_units<Neon, float>,
                                                       spatial_attention_units<Neon, Half>};

}  // namespace mobilevd::kernels
