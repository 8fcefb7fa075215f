// AVX2. Compiled with -mavx2 -mfma -mf16c; called only where the CPU has them.
#include "conv_int8/direct_int8_inl.h"
#include "conv_int8/quantise_inl.h"
#include "conv_int8/winograd_avx2.h"
#include "gemm_int8/avx2_int8.h"

namespace mobilevd::kernels {

const ConvInt8Variant kConvInt8Avx2 = {quantise_pixels<Avx2, Avx2Int8>, direct_int8<Avx2, Avx2Int8>,
                                       winograd_int16};

}  // namespace mobilevd::kernels
