#pragma once

#include <executorch/runtime/kernel/kernel_includes.h>

#include <cstdint>
#include <optional>

namespace mobilevd::ops {

/// `mobilevd::spatial_attention.out`: attention over the tokens of each picture.
///
/// q [N, S, heads*d_qk], k [N, S_k, heads*d_qk], v [N, S_k, heads*d_v], contiguous, all float32 or
/// all float16; `scale` defaults to d_qk^-0.5; `out` is resized to [N, S, heads*d_v] and must not
/// overlap the inputs. Scratch comes from the program's temporary allocator. A bad argument fails
/// the kernel call, as ET_KERNEL_CHECK does.
/// The maths and its limits: kernels/include/mobilevd/kernels/spatial_attention.h.
executorch::aten::Tensor& spatial_attention_out(executorch::runtime::KernelRuntimeContext& context,
                                                const executorch::aten::Tensor& q,
                                                const executorch::aten::Tensor& k,
                                                const executorch::aten::Tensor& v,
                                                int64_t num_heads, std::optional<double> scale,
                                                executorch::aten::Tensor& out);

}  // namespace mobilevd::ops
