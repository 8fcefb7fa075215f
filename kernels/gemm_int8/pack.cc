#include <cstddef>
#include <cstdint>

#include "gemm_int8/pack_panels_int8.h"
#include "mobilevd/kernels/gemm_int8.h"

namespace mobilevd::kernels {

Status pack_gemm_int8(const float* weights, std::int64_t inputs, std::int64_t outputs,
                      std::int8_t* packed, float* scales) {
  const GemmInt8Sizes sizes = gemm_int8_sizes(inputs, outputs);
  if (sizes.packed == 0) return invalid_argument("pack_gemm_int8: sizes out of range");
  if (weights == nullptr || packed == nullptr || scales == nullptr) {
    return invalid_argument("pack_gemm_int8: arrays must not be null");
  }
  const auto n = static_cast<std::size_t>(outputs), k = static_cast<std::size_t>(inputs);
  for (std::size_t i = 0; i < n; ++i) {
    if (!pack_int8_column(weights + i * k, k, i, packed, scales)) {
      return invalid_argument("pack_gemm_int8: a weight is NaN or Inf");
    }
  }
  pad_last_int8_panel(n, k, packed, scales);
  return ok_status();
}

}  // namespace mobilevd::kernels
