#pragma once

#include <executorch/runtime/kernel/kernel_includes.h>

#include <cstdint>
#include <optional>

namespace mobilevd::ops {

/// `mobilevd::temporal_attention_block.out`: LayerNorm, attention over the frames of each position
/// with its projections, and the residual, in one.
///
/// x [B, F, S, C] float32, contiguous; the weights as
/// mobilevd.kernels.pack_temporal_attention_block gives them, as constants of the program:
/// norm_weight, norm_bias, out_bias [C]; to_qkv, to_out packed float32 and no scales. `scale`
/// defaults to d_qk^-0.5; `out` is resized to x's shape and must be x or not overlap it. Scratch,
/// about 1 MB a thread, comes from the temporary allocator. A bad argument fails the kernel call
/// (Error::InvalidArgument), as ET_KERNEL_CHECK does. The maths and its limits:
/// kernels/include/mobilevd/kernels/temporal_attention_block.h.
executorch::aten::Tensor& temporal_attention_block_out(
    executorch::runtime::KernelRuntimeContext& context, const executorch::aten::Tensor& x,
    const executorch::aten::Tensor& norm_weight, const executorch::aten::Tensor& norm_bias,
    const executorch::aten::Tensor& to_qkv,
    const std::optional<executorch::aten::Tensor>& to_qkv_scale,
    const executorch::aten::Tensor& to_out,
    const std::optional<executorch::aten::Tensor>& to_out_scale,
    const executorch::aten::Tensor& out_bias, int64_t num_heads, std::optional<double> scale,
    double eps, executorch::aten::Tensor& out);

}  // namespace mobilevd::ops
