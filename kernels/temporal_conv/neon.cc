// NEON, part of every AArch64 CPU.
#include "simd/neon.h"

#include "temporal_conv/temporal_conv_inl.h"

namespace mobilevd::kernels {

const TemporalConvVariant kTemporalConvNeon = temporal_conv_variant<Neon>();

}  // namespace mobilevd::kernels
