#pragma once

#include <executorch/runtime/kernel/kernel_includes.h>

#include <cstdint>
#include <optional>

namespace mobilevd::ops {

/// `mobilevd::temporal_attention.out`: attention over the frames of each position.
///
/// q, k [B, F, S, heads*d_qk], v [B, F, S, heads*d_v], contiguous, all float32 or all float16;
/// `scale` defaults to d_qk^-0.5; `out` is resized to v's shape and must not overlap the inputs.
/// A bad argument fails the kernel call (Error::InvalidArgument), as ET_KERNEL_CHECK does.
/// The maths and its limits: kernels/include/mobilevd/kernels/temporal_attention.h.
executorch::aten::Tensor& temporal_attention_out(executorch::runtime::KernelRuntimeContext& context,
                                                 const executorch::aten::Tensor& q,
                                                 const executorch::aten::Tensor& k,
                                                 const executorch::aten::Tensor& v,
                                                 int64_t num_heads, std::optional<double> scale,
                                                 executorch::aten::Tensor& out);

}  // namespace mobilevd::ops
