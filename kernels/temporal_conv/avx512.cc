// AVX-512. Compiled with its flags (CMakeLists.txt); called only where the CPU has it.
#include "simd/avx512.h"

#include "temporal_conv/temporal_conv_inl.h"

namespace mobilevd::kernels {

const TemporalConvVariant kTemporalConvAvx512 = temporal_conv_variant<Avx512>();

}  // namespace mobilevd::kernels
