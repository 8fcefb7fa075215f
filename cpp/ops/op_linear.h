#pragma once

#include <executorch/runtime/kernel/kernel_includes.h>

#include <cstdint>
#include <optional>
#include <string_view>

namespace mobilevd::ops {

/// `mobilevd::linear.out`: residual + activation(x weight^T + bias), one pass over the output.
///
/// x [..., in_features] float32 or float16, contiguous; packed_weight as pack_linear_weight() makes
/// it, of x's dtype or float16; bias float32; residual of out's shape and x's dtype; activation
/// none, "silu" or "geglu" (bias and weight then have 2 out_features outputs). `out` is resized to
/// [..., out_features] and must not overlap the inputs. Scratch is ExecuTorch's temporary memory.
/// A bad argument fails the kernel call (Error::InvalidArgument).
/// The maths and its limits: kernels/include/mobilevd/kernels/linear.h.
executorch::aten::Tensor& linear_out(executorch::runtime::KernelRuntimeContext& context,
                                     const executorch::aten::Tensor& x,
                                     const executorch::aten::Tensor& packed_weight,
                                     int64_t out_features,
                                     const std::optional<executorch::aten::Tensor>& bias,
                                     const std::optional<executorch::aten::Tensor>& residual,
                                     std::optional<std::string_view> activation,
                                     executorch::aten::Tensor& out);

}  // namespace mobilevd::ops
