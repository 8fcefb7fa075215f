#pragma once

#include <executorch/runtime/kernel/kernel_includes.h>

#include <cstdint>
#include <optional>
#include <string_view>

namespace mobilevd::ops {

/// `mobilevd::conv2d_3x3.out`: 3x3 convolution over channels-last pictures.
///
/// x [N, H, W, C_in]; weight packed, [ceil(out_channels / 16), 9, C_in, 16]; bias [out_channels]
/// float32; residual and out [N, ceil(H / stride), ceil(W / stride), out_channels]. x, residual and
/// out float32, weight float32 or float16; or all float16. out is resized, and must not overlap x.
/// out = activation(conv + bias + residual), by name "silu" or "relu". Scratch comes from the
/// program's temporary allocator. A bad argument fails the kernel call, as ET_KERNEL_CHECK does.
/// The maths and its limits: kernels/include/mobilevd/kernels/conv2d.h.
executorch::aten::Tensor& conv2d_3x3_out(executorch::runtime::KernelRuntimeContext& context,
                                         const executorch::aten::Tensor& x,
                                         const executorch::aten::Tensor& weight,
                                         int64_t out_channels,
                                         const std::optional<executorch::aten::Tensor>& bias,
                                         const std::optional<executorch::aten::Tensor>& residual,
                                         std::optional<std::string_view> activation, int64_t stride,
                                         executorch::aten::Tensor& out);

/// `mobilevd::temporal_conv.out`: the same over three frames, x [B, F, S, C_in], weight
/// [ceil(out_channels / 16), 3, C_in, 16], out [B, F, S, out_channels] (temporal_conv.h).
executorch::aten::Tensor& temporal_conv_out(executorch::runtime::KernelRuntimeContext& context,
                                            const executorch::aten::Tensor& x,
                                            const executorch::aten::Tensor& weight,
                                            int64_t out_channels,
                                            const std::optional<executorch::aten::Tensor>& bias,
                                            const std::optional<executorch::aten::Tensor>& residual,
                                            std::optional<std::string_view> activation,
                                            executorch::aten::Tensor& out);

}  // namespace mobilevd::ops
