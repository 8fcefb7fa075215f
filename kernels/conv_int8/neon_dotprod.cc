// NEON with DotProd.
#include "conv_int8/direct_int8_inl.h"
#include "conv_int8/quantise_inl.h"
#include "gemm_int8/neon_int8.h"

namespace mobilevd::kernels {

const ConvInt8Variant kConvInt8NeonDotprod = {quantise_pixels<Neon, NeonDotprodInt8>,
                                              direct_int8<Neon, NeonDotprodInt8>, nullptr};

}  // namespace mobilevd::kernels
