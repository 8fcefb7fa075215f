#include <vector>

#include "conv_int8/conv_int8_internal.h"
#include "gemm_int8/pack_panels_int8.h"

namespace mobilevd::kernels {

ConvInt8Sizes conv_int8_sizes(std::int64_t in_channels, std::int64_t out_channels, int taps) {
  if (in_channels < 1 || in_channels > kInt8MostChannels || out_channels < 1 ||
      out_channels > kInt8MostOutputs || (taps != 3 && taps != 9)) {
    return {};
  }
  const std::size_t columns = panel_count(static_cast<std::size_t>(out_channels)) * kPanelColumns;
  const auto groups = static_cast<std::size_t>((in_channels + kInt8Group - 1) / kInt8Group);
  return {columns * static_cast<std::size_t>(taps) * groups * kInt8Group, columns};
}

Status pack_conv_int8(const float* weight, std::int8_t* packed, float* scales,
                      std::int64_t in_channels, std::int64_t out_channels, int taps) {
  const ConvInt8Sizes sizes = conv_int8_sizes(in_channels, out_channels, taps);
  if (sizes.packed == 0) {
    return invalid_argument(
        "pack_conv_int8: in_channels must be 1..8192, out_channels >= 1, taps 3 or 9");
  }
  if (weight == nullptr || packed == nullptr || scales == nullptr) {
    return invalid_argument("pack_conv_int8: arrays must not be null");
  }
  // As rows of a matrix, each tap's channels rounded up to whole groups.
  const auto c_in = static_cast<std::size_t>(in_channels), n = static_cast<std::size_t>(taps);
  const std::size_t padded = (c_in + kInt8Group - 1) / kInt8Group * kInt8Group;
  std::vector<float> row(n * padded);
  for (std::size_t o = 0; o < static_cast<std::size_t>(out_channels); ++o, weight += c_in * n) {
    for (std::size_t c = 0; c < c_in; ++c) {
      for (std::size_t tap = 0; tap < n; ++tap) row[tap * padded + c] = weight[c * n + tap];
    }
    if (!pack_int8_column(row.data(), row.size(), o, packed, scales)) {
      return invalid_argument("pack_conv_int8: a weight is NaN or Inf");
    }
  }
  pad_last_int8_panel(static_cast<std::size_t>(out_channels), row.size(), packed, scales);
  return ok_status();
}

}  // namespace mobilevd::kernels
