#include "ops/op_group_norm_silu.h"

#include <executorch/extension/kernel_util/make_boxed_from_unboxed_functor.h>

#include "mobilevd/kernels/group_norm_silu.h"
#include "ops/op_counter.h"
#include "ops/parallel.h"

namespace mobilevd::ops {
namespace {

using executorch::aten::ScalarType;
using executorch::aten::Tensor;
using executorch::runtime::Error;
using executorch::runtime::KernelRuntimeContext;

template <typename T, typename P>
kernels::Status run(const Tensor& x, const std::optional<Tensor>& weight,
                    const std::optional<Tensor>& bias, const kernels::GroupNormSiluShape& shape,
                    float eps, bool silu, Tensor& out) {
  const auto parameter = [](const std::optional<Tensor>& tensor) {
    return tensor ? static_cast<const P*>(tensor->const_data_ptr()) : nullptr;
  };
  return kernels::group_norm_silu(static_cast<const T*>(x.const_data_ptr()), parameter(weight),
                                  parameter(bias), static_cast<T*>(out.mutable_data_ptr()), shape,
                                  eps, silu, executorch_parallel_for);
}

OpCounter counter("mobilevd::group_norm_silu");

}  // namespace

Tensor& group_norm_silu_out(KernelRuntimeContext& context, const Tensor& x,
                            const std::optional<Tensor>& weight, const std::optional<Tensor>& bias,
                            int64_t num_groups, double eps, bool silu, bool channels_last,
                            Tensor& out) {
  const OpCounter::Call call(counter);
  const ScalarType type = x.scalar_type();
  ET_KERNEL_CHECK_MSG(
      context, (type == ScalarType::Float || type == ScalarType::Half) && out.scalar_type() == type,
      InvalidArgument, out, "x and out must be float32, or both float16");
  ET_KERNEL_CHECK_MSG(context, x.dim() >= 2, InvalidArgument, out,
                      "x must be [N, C, ...] or [N, ..., C]");
  ET_KERNEL_CHECK_MSG(context, executorch::runtime::tensor_is_default_dim_order(x), InvalidArgument,
                      out, "x must be contiguous");
  ET_KERNEL_CHECK_MSG(context, executorch::runtime::resize_tensor(out, x.sizes()) == Error::Ok,
                      InvalidArgument, out, "out cannot be resized to x's shape");
  const auto channel_axis = channels_last ? x.dim() - 1 : 1;
  const int64_t channels = x.size(channel_axis);
  bool half = false;
  for (const std::optional<Tensor>* parameter : {&weight, &bias}) {
    if (!*parameter) continue;
    const ScalarType stored = (*parameter)->scalar_type();
    half = stored == ScalarType::Half;
    ET_KERNEL_CHECK_MSG(context,
                        (*parameter)->numel() == channels &&
                            (stored == ScalarType::Float || (half && type == ScalarType::Half)),
                        InvalidArgument, out,
                        "weight and bias must be [C], float32, or float16 where x is");
  }
  ET_KERNEL_CHECK_MSG(context, !weight || !bias || weight->scalar_type() == bias->scalar_type(),
                      InvalidArgument, out, "weight and bias must have one dtype");
  int64_t positions = 1;
  for (ssize_t i = 1; i < x.dim(); ++i) {
    if (i != channel_axis) positions *= x.size(i);
  }
  const kernels::GroupNormSiluShape shape{x.size(0), channels, positions, num_groups,
                                          channels_last};
  const auto epsilon = static_cast<float>(eps);
  const kernels::Status status =
      type == ScalarType::Float
          ? run<float, float>(x, weight, bias, shape, epsilon, silu, out)
          : (half ? run<kernels::Half, kernels::Half>(x, weight, bias, shape, epsilon, silu, out)
                  : run<kernels::Half, float>(x, weight, bias, shape, epsilon, silu, out));
  ET_KERNEL_CHECK_MSG(context, status.ok(), InvalidArgument, out, "%s", status.message);
  return out;
}

}  // namespace mobilevd::ops

EXECUTORCH_LIBRARY(mobilevd, "group_norm_silu.out", mobilevd::ops::group_norm_silu_out);
