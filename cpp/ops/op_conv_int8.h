#pragma once

#include <executorch/runtime/kernel/kernel_includes.h>

#include <cstdint>
#include <optional>
#include <string_view>

namespace mobilevd::ops {

/// `mobilevd::conv2d_3x3_int8.out`: conv2d_3x3 with weights in 8 bits, and x taken to 8 bits on its
/// way in: q = x / scale + zero_point.
///
/// x [N, H, W, C_in]; weight int8, packed, [ceil(out_channels / 16), 9, ceil(C_in / 8), 16, 8];
/// scales [ceil(out_channels / 16) * 16]; bias [out_channels]; residual and out
/// [N, ceil(H / stride), ceil(W / stride), out_channels]; float32 but for the weight. Else as
/// conv2d_3x3_out. The maths and its limits: kernels/include/mobilevd/kernels/conv_int8.h.
executorch::aten::Tensor& conv2d_3x3_int8_out(
    executorch::runtime::KernelRuntimeContext& context, const executorch::aten::Tensor& x,
    const executorch::aten::Tensor& weight, const executorch::aten::Tensor& scales,
    int64_t out_channels, double scale, int64_t zero_point,
    const std::optional<executorch::aten::Tensor>& bias,
    const std::optional<executorch::aten::Tensor>& residual,
    std::optional<std::string_view> activation, int64_t stride, executorch::aten::Tensor& out);

/// `mobilevd::temporal_conv_int8.out`: the same over three frames, x [B, F, S, C_in], weight
/// [ceil(out_channels / 16), 3, ceil(C_in / 8), 16, 8], out [B, F, S, out_channels].
executorch::aten::Tensor& temporal_conv_int8_out(
    executorch::runtime::KernelRuntimeContext& context, const executorch::aten::Tensor& x,
    const executorch::aten::Tensor& weight, const executorch::aten::Tensor& scales,
    int64_t out_channels, double scale, int64_t zero_point,
    const std::optional<executorch::aten::Tensor>& bias,
    const std::optional<executorch::aten::Tensor>& residual,
    std::optional<std::string_view> activation, executorch::aten::Tensor& out);

}  // namespace mobilevd::ops
