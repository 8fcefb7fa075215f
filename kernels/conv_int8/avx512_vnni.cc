// AVX-512 with VNNI. Without it AVX2 is used.
#include "conv_int8/direct_int8_inl.h"
#include "conv_int8/quantise_inl.h"
#include "gemm_int8/avx512_vnni_int8.h"

namespace mobilevd::kernels {

const ConvInt8Variant kConvInt8Avx512Vnni = {quantise_pixels<Avx512, VnniInt8>,
                                             direct_int8<Avx512, VnniInt8>, nullptr};

}  // namespace mobilevd::kernels
