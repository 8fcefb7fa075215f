// AVX2 + FMA + F16C. Compiled with -mavx2 -mfma -mf16c; called only where the CPU has them.
#include "simd/avx2.h"

#include "temporal_conv/temporal_conv_inl.h"

namespace mobilevd::kernels {

const TemporalConvVariant kTemporalConvAvx2 = temporal_conv_variant<Avx2>();

}  // namespace mobilevd::kernels
