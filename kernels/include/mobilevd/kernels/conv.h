#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "mobilevd/kernels/export.h"
#include "mobilevd/kernels/half.h"
#include "mobilevd/kernels/status.h"

// What conv2d_3x3 and temporal_conv share: packed weights and what follows the sums.
namespace mobilevd::kernels {

/// What becomes of the sums y, bias and residual with them, before they are stored.
enum class ConvActivation {
  kNone,  ///< y
  kSilu,  ///< y * sigmoid(y)
  kRelu,  ///< max(y, 0); NaN stays
};

/// By its name in Python and in programs; false for a name that is none's.
inline bool conv_activation_of(std::string_view name, ConvActivation* activation) {
  constexpr std::pair<std::string_view, ConvActivation> kNames[] = {
      {"silu", ConvActivation::kSilu}, {"relu", ConvActivation::kRelu}};
  for (const auto& [known, meant] : kNames) {
    if (name == known) {
      *activation = meant;
      return true;
    }
  }
  return false;
}

/// What follows a convolution's sums: out = activation(sums + bias + residual); null for nothing.
template <typename T>
struct ConvEpilogue {
  const float* bias = nullptr;  ///< [C_out]
  const T* residual = nullptr;  ///< like out; may be out itself, but must not overlap it otherwise
  ConvActivation activation = ConvActivation::kNone;
};

/// Elements of a packed weight: [ceil(C_out / 16)][taps][C_in][16], padded with zeros. `taps` is 9
/// for conv2d_3x3 (row * 3 + column of the filter), 3 for temporal_conv. The layout is the same for
/// every ISA: pack once, at export, and map the file on any machine.
MOBILEVD_KERNELS_API std::size_t conv_packed_size(std::int64_t in_channels,
                                                  std::int64_t out_channels, int taps);

/// Packs weight [C_out, C_in, taps] (torch's layout, contiguous) into `packed`.
MOBILEVD_KERNELS_API Status pack_conv_weight(const float* weight, float* packed,
                                             std::int64_t in_channels, std::int64_t out_channels,
                                             int taps);
MOBILEVD_KERNELS_API Status pack_conv_weight(const Half* weight, Half* packed,
                                             std::int64_t in_channels, std::int64_t out_channels,
                                             int taps);

}  // namespace mobilevd::kernels
