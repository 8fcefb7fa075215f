// AVX2. Compiled with -mavx2 -mfma -mf16c; called only where the CPU has them.
#include "gemm_int8/avx2_int8.h"
#include "gemm_int8/linear_rows_inl.h"

namespace mobilevd::kernels {

const GemmInt8Variant kGemmInt8Avx2 = {gemm_int8_rows<Avx2, Avx2Int8>};

}  // namespace mobilevd::kernels
