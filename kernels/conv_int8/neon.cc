// NEON, part of every AArch64 CPU.
#include "conv_int8/direct_int8_inl.h"
#include "conv_int8/quantise_inl.h"
#include "gemm_int8/neon_int8.h"

namespace mobilevd::kernels {

const ConvInt8Variant kConvInt8Neon = {quantise_pixels<Neon, NeonInt8>, direct_int8<Neon, NeonInt8>,
                                       nullptr};

}  // namespace mobilevd::kernels
