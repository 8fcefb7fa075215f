#pragma once

#include <executorch/runtime/kernel/kernel_includes.h>

#include <cstdint>
#include <optional>

namespace mobilevd::ops {

/// `mobilevd::group_norm_silu.out`: group normalisation, then SiLU where `silu`.
///
/// x [N, C, ...], or [N, ..., C] with `channels_last`, contiguous, float32 or float16; weight and
/// bias [C] float32, or both float16 where x is. out is resized to x's shape; it may be x.
/// A bad argument fails the kernel call, as ET_KERNEL_CHECK does.
/// The maths and its limits: kernels/include/mobilevd/kernels/group_norm_silu.h.
executorch::aten::Tensor& group_norm_silu_out(executorch::runtime::KernelRuntimeContext& context,
                                              const executorch::aten::Tensor& x,
                                              const std::optional<executorch::aten::Tensor>& weight,
                                              const std::optional<executorch::aten::Tensor>& bias,
                                              int64_t num_groups, double eps, bool silu,
                                              bool channels_last, executorch::aten::Tensor& out);

}  // namespace mobilevd::ops
