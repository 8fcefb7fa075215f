// The scalar reference: portable C++, no intrinsics. Every other ISA gives its very bits.
#include "gemm_int8/gemm_int8_internal.h"
#include "gemm_int8/scalar_int8.h"

namespace mobilevd::kernels {
namespace {

void rows(const GemmInt8Task& t, const GemmInt8Part& part, float* /*row_scales*/,
          std::int8_t* packed) {
  const std::ptrdiff_t panel = (t.inputs + kInt8Group - 1) / kInt8Group * kInt8Group *
                               static_cast<std::ptrdiff_t>(kPanelColumns);
  for (std::size_t i = part.first; i < part.first + static_cast<std::size_t>(part.rows); ++i) {
    const float scale =
        scalar_quantise_row(t.x + i * static_cast<std::size_t>(t.inputs), t.inputs, packed);
    float* const out = t.out + i * static_cast<std::size_t>(t.outputs);
    const int end = std::min(part.panel_end * kPanelColumns, t.outputs);
    for (int n = part.panel_begin * kPanelColumns; n < end; n += kPanelColumns) {
      float y[kPanelColumns];
      scalar_times_panel(packed, scale, t.packed + n / kPanelColumns * panel, t.scales + n,
                         t.inputs, y);
      for (int j = 0; j < kPanelColumns && n + j < t.outputs; ++j) {
        out[n + j] = t.bias == nullptr ? y[j] : y[j] + t.bias[n + j];
      }
    }
  }
}

}  // namespace

const GemmInt8Variant kGemmInt8Scalar = {rows};

}  // namespace mobilevd::kernels
