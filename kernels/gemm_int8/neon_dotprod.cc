// NEON with DotProd.
#include "gemm_int8/linear_rows_inl.h"
#include "gemm_int8/neon_int8.h"

namespace mobilevd::kernels {

const GemmInt8Variant kGemmInt8NeonDotprod = {gemm_int8_rows<Neon, NeonDotprodInt8>};

}  // namespace mobilevd::kernels
