#pragma once

#include <cstdint>
#include <initializer_list>

#include "dispatch/arguments.h"
#include "gemm/lane_cut.h"
#include "mobilevd/kernels/conv.h"

// What both convolutions ask of their arguments; included by <kernel>.cc only.
namespace mobilevd::kernels {

struct ConvMessages {
  const char *lanes, *sizes, *null, *aligned, *overlap, *activation;
};

/// The messages with the kernel's name, a string literal.
#define MOBILEVD_CONV_MESSAGES(kernel)                          \
  {kernel ": lanes must be 1..1024",                            \
   kernel ": sizes overflow 64 bits",                           \
   kernel ": x, weight, out and scratch must not be null",      \
   kernel ": scratch must be 64-byte aligned",                  \
   kernel ": out must not overlap x, weight, bias or residual", \
   kernel ": unknown activation"}

/// The arrays of a convolution: x and out channels last, weight packed.
template <typename T, typename W>
Status check_conv(const ConvMessages& says, const T* x, const std::int64_t (&x_sizes)[4],
                  const W* weight, int taps, const T* out, const std::int64_t (&out_sizes)[4],
                  const ConvEpilogue<T>& epilogue, const void* scratch) {
  const T* const residual = epilogue.residual;
  std::int64_t x_bytes, out_bytes, weight_bytes;
  const auto bytes = [](const std::int64_t (&sizes)[4], std::int64_t* result) {
    return array_bytes({sizes[0], sizes[1], sizes[2], sizes[3]}, sizeof(T), result);
  };
  if (!bytes(x_sizes, &x_bytes) || !bytes(out_sizes, &out_bytes) ||
      !array_bytes({ceil_div(out_sizes[3], kPanelColumns), taps, x_sizes[3], kPanelColumns},
                   sizeof(W), &weight_bytes)) {
    return invalid_argument(says.sizes);
  }
  if (x == nullptr || weight == nullptr || out == nullptr || scratch == nullptr) {
    return invalid_argument(says.null);
  }
  if (!aligned_scratch(scratch)) return invalid_argument(says.aligned);
  switch (epilogue.activation) {
    case ConvActivation::kNone:
    case ConvActivation::kSilu:
    case ConvActivation::kRelu:
      break;
    default:
      return invalid_argument(says.activation);
  }
  const auto bias_bytes = out_sizes[3] * static_cast<std::int64_t>(sizeof(float));
  if (overlap(out, out_bytes, x, x_bytes) || overlap(out, out_bytes, weight, weight_bytes) ||
      (epilogue.bias != nullptr && overlap(out, out_bytes, epilogue.bias, bias_bytes)) ||
      (residual != nullptr && residual != out && overlap(out, out_bytes, residual, out_bytes))) {
    return invalid_argument(says.overlap);
  }
  return ok_status();
}

}  // namespace mobilevd::kernels
