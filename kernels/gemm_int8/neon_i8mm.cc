// NEON with I8MM.
#include "gemm_int8/linear_rows_inl.h"
#include "gemm_int8/neon_int8.h"

namespace mobilevd::kernels {

const GemmInt8Variant kGemmInt8NeonI8mm = {gemm_int8_rows<Neon, NeonI8mmInt8>};

}  // namespace mobilevd::kernels
