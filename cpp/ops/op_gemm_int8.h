#pragma once

#include <executorch/runtime/kernel/kernel_includes.h>

#include <cstdint>
#include <optional>

namespace mobilevd::ops {

/// `mobilevd::gemm_int8.out`: a linear layer with weights in 8 bits; each row of x is taken to 8
/// bits in a range of its own (dynamic quantisation).
///
/// x [..., K], float32; weight int8, packed, [ceil(out_features / 16), ceil(K / 8), 16, 8]; scales
/// [ceil(out_features / 16) * 16] and bias [out_features], float32; out [..., out_features],
/// resized. Scratch comes from the program's temporary allocator. A bad argument fails the kernel
/// call, as ET_KERNEL_CHECK does. The maths and its limits:
/// kernels/include/mobilevd/kernels/gemm_int8.h.
executorch::aten::Tensor& gemm_int8_out(executorch::runtime::KernelRuntimeContext& context,
                                        const executorch::aten::Tensor& x,
                                        const executorch::aten::Tensor& weight,
                                        const executorch::aten::Tensor& scales,
                                        int64_t out_features,
                                        const std::optional<executorch::aten::Tensor>& bias,
                                        executorch::aten::Tensor& out);

}  // namespace mobilevd::ops
