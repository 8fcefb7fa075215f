// NEON, part of every AArch64 CPU.
#include "gemm_int8/linear_rows_inl.h"
#include "gemm_int8/neon_int8.h"

namespace mobilevd::kernels {

const GemmInt8Variant kGemmInt8Neon = {gemm_int8_rows<Neon, NeonInt8>};

}  // namespace mobilevd::kernels
