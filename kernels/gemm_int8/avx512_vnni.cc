// AVX-512 with VNNI. Without it AVX2 is used: at twice the width its instructions gain nothing.
#include "gemm_int8/avx512_vnni_int8.h"
#include "gemm_int8/linear_rows_inl.h"

namespace mobilevd::kernels {

const GemmInt8Variant kGemmInt8Avx512Vnni = {gemm_int8_rows<Avx512, VnniInt8>};

}  // namespace mobilevd::kernels
