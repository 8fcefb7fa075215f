// AVX-512 with VNNI.
#include "gemm_int8/avx512_int8.h"
#include "gemm_int8/linear_rows_inl.h"

namespace mobilevd::kernels {

const GemmInt8Variant kGemmInt8Avx512Vnni = {gemm_int8_rows<Avx512, VnniInt8>};

}  // namespace mobilevd::kernels
