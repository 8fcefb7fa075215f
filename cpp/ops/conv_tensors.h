#pragma once

#include <executorch/runtime/kernel/kernel_includes.h>

#include <cstddef>
#include <cstdint>
#include <optional>

#include "mobilevd/kernels/status.h"
#include "ops/scratch.h"

// What the convolutions' ops share, of floats and of 8 bits.
namespace mobilevd::ops {

/// Fails the call; returns false.
inline bool fail_conv(executorch::runtime::KernelRuntimeContext& context, const char* what) {
  ET_LOG(Error, "convolution: %s", what);
  context.fail(executorch::runtime::Error::InvalidArgument);
  return false;
}

/// Of an output: the numbers of panels and columns then are no less.
inline bool valid_channels(int64_t out_channels) {
  return out_channels >= 1 && out_channels <= 2147483632;
}

/// Checks all but the weight's type and sizes, and resizes out to `sizes`; false, the call failed,
/// if something does not fit.
inline bool check_conv_tensors(executorch::runtime::KernelRuntimeContext& context,
                               const executorch::aten::Tensor& x,
                               const executorch::aten::Tensor& weight, int64_t out_channels,
                               const std::optional<executorch::aten::Tensor>& bias,
                               const std::optional<executorch::aten::Tensor>& residual,
                               const executorch::aten::SizesType (&sizes)[4],
                               executorch::aten::Tensor& out) {
  using executorch::aten::Tensor;
  using executorch::runtime::tensor_is_default_dim_order;
  if (out.scalar_type() != x.scalar_type() ||
      (residual && residual->scalar_type() != x.scalar_type())) {
    return fail_conv(context, "residual and out must have x's dtype");
  }
  if (bias && (bias->scalar_type() != executorch::aten::ScalarType::Float ||
               bias->numel() != out_channels)) {
    return fail_conv(context, "bias must be float32 [out_channels]");
  }
  for (const Tensor* tensor : {&x, &weight, static_cast<const Tensor*>(&out)}) {
    if (!tensor_is_default_dim_order(*tensor)) {
      return fail_conv(context, "tensors must be contiguous");
    }
  }
  if (residual) {
    bool same = residual->dim() == 4 && tensor_is_default_dim_order(*residual);
    for (int i = 0; same && i < 4; ++i) same = residual->size(i) == sizes[i];
    if (!same) {
      return fail_conv(context, "residual must have out's shape and be contiguous");
    }
  }
  if (executorch::runtime::resize_tensor(out, {sizes, 4}) != executorch::runtime::Error::Ok) {
    return fail_conv(context, "out cannot be resized");
  }
  return true;
}

/// Calls `fn(scratch)`, which returns a Status.
template <typename Fn>
void run_conv(executorch::runtime::KernelRuntimeContext& context, std::size_t bytes, Fn&& fn) {
  void* scratch;
  if (!allocate_scratch(context, "convolution", bytes, &scratch)) return;
  const kernels::Status status = fn(scratch);
  if (!status.ok()) fail_conv(context, status.message);
}

}  // namespace mobilevd::ops
