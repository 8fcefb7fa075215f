// NEON with I8MM.
#include "conv_int8/direct_int8_inl.h"
#include "conv_int8/quantise_inl.h"
#include "gemm_int8/neon_int8.h"

namespace mobilevd::kernels {

const ConvInt8Variant kConvInt8NeonI8mm = {quantise_pixels<Neon, NeonI8mmInt8>,
                                           direct_int8<Neon, NeonI8mmInt8>, nullptr};

}  // namespace mobilevd::kernels
