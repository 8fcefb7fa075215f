// AVX-512 without VNNI.
#include "gemm_int8/avx512_int8.h"
#include "gemm_int8/linear_rows_inl.h"

namespace mobilevd::kernels {

const GemmInt8Variant kGemmInt8Avx512 = {gemm_int8_rows<Avx512, Avx512Int8>};

}  // namespace mobilevd::kernels
