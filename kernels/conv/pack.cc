#include "gemm/panels.h"
#include "mobilevd/kernels/conv.h"

namespace mobilevd::kernels {
namespace {

template <typename W>
Status pack(const W* weight, W* packed, std::int64_t in_channels, std::int64_t out_channels,
            int taps) {
  if (in_channels < 1 || out_channels < 1 || taps < 1) {
    return invalid_argument("pack_conv_weight: channels and taps must be >= 1");
  }
  if (weight == nullptr || packed == nullptr) {
    return invalid_argument("pack_conv_weight: weight and packed must not be null");
  }
  for (std::int64_t first = 0; first < out_channels; first += kPanelColumns) {
    for (int tap = 0; tap < taps; ++tap) {
      for (std::int64_t c = 0; c < in_channels; ++c) {
        for (std::int64_t o = first; o < first + kPanelColumns; ++o) {
          *packed++ = o < out_channels ? weight[(o * in_channels + c) * taps + tap] : W{};
        }
      }
    }
  }
  return ok_status();
}

}  // namespace

std::size_t conv_packed_size(std::int64_t in_channels, std::int64_t out_channels, int taps) {
  return panel_count(static_cast<std::size_t>(out_channels)) * static_cast<std::size_t>(taps) *
         static_cast<std::size_t>(in_channels) * kPanelColumns;
}

Status pack_conv_weight(const float* weight, float* packed, std::int64_t in_channels,
                        std::int64_t out_channels, int taps) {
  return pack(weight, packed, in_channels, out_channels, taps);
}
Status pack_conv_weight(const Half* weight, Half* packed, std::int64_t in_channels,
                        std::int64_t out_channels, int taps) {
  return pack(weight, packed, in_channels, out_channels, taps);
}

}  // namespace mobilevd::kernels
