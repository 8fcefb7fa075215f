#include <cstddef>
#include <cstdint>
#include <limits>

#include "linear/linear_internal.h"

namespace mobilevd::kernels {
namespace {

template <typename W>
Status pack(const W* weight, W* packed, const LinearShape& s, Activation activation) {
  const std::int64_t size = packed_linear_size(s, activation);
  if (size < 0) return invalid_argument("pack_linear_weight: sizes must be >= 0 and fit 64 bits");
  if (size == 0) return ok_status();
  if (weight == nullptr || packed == nullptr) {
    return invalid_argument("pack_linear_weight: weight and packed must not be null");
  }
  const bool gated = activation == Activation::kGeglu;
  const std::ptrdiff_t n = s.out_features, k = s.in_features;
  const auto pack_panel = [&](const W* outputs, std::ptrdiff_t first) {
    for (std::ptrdiff_t i = 0; i < k; ++i) {
      for (std::ptrdiff_t c = first; c < first + kPanelColumns; ++c) {
        *packed++ = c < n ? outputs[c * k + i] : W{};
      }
    }
  };
  for (std::ptrdiff_t first = 0; first < n; first += kPanelColumns) {
    pack_panel(weight, first);
    if (gated) pack_panel(weight + n * k, first);
  }
  return ok_status();
}

}  // namespace

std::int64_t packed_linear_size(const LinearShape& s, Activation activation) {
  constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max() / 8;  // in bytes, too
  const std::int64_t n = s.out_features, k = s.in_features;
  if (n < 0 || k < 0 || n > kMax / 4) return -1;
  const std::int64_t columns = (n + kPanelColumns - 1) / kPanelColumns * kPanelColumns *
                               (activation == Activation::kGeglu ? 2 : 1);
  return k != 0 && columns > kMax / k ? -1 : columns * k;
}

Status pack_linear_weight(const float* weight, float* packed, const LinearShape& shape,
                          Activation activation) {
  return pack(weight, packed, shape, activation);
}

Status pack_linear_weight(const Half* weight, Half* packed, const LinearShape& shape,
                          Activation activation) {
  return pack(weight, packed, shape, activation);
}

}  // namespace mobilevd::kernels
