#include "ops/op_group_norm_silu.h"

#include <executorch/extension/kernel_util/make_boxed_from_unboxed_functor.h>

#include "mobilevd/kernels/group_norm_silu.h"
#include "ops/parallel.h"

namespace mobilevd::ops {
namespace {

using executorch::aten::ScalarType;
using executorch::aten::Tensor;
using executorch::runtime::Error;
using executorch::runtime::KernelRuntimeContext;

using Parameter = std::optional<Tensor>;

template <typename P>
const P* data(const Parameter& parameter) {
  return parameter ? static_cast<const P*>(parameter->const_data_ptr()) : nullptr;
}

template <typename T, typename P>
kernels::Status run(const Tensor& x, const Parameter& weight, const Parameter& bias,
                    const kernels::GroupNormSiluShape& shape, float eps, bool silu, Tensor& out) {
  return kernels::group_norm_silu(static_cast<const T*>(x.const_data_ptr()), data<P>(weight),
                                  data<P>(bias), static_cast<T*>(out.mutable_data_ptr()), shape,
                                  eps, silu, executorch_parallel_for);
}

bool is_parameter(const Parameter& parameter, ScalarType dtype, int64_t channels) {
  return !parameter || (parameter->scalar_type() == dtype && parameter->dim() == 1 &&
                        parameter->size(0) == channels);
}

}  // namespace

Tensor& group_norm_silu_out(KernelRuntimeContext& context, const Tensor& x, const Parameter& weight,
                            const Parameter& bias, int64_t num_groups, double eps, bool silu,
                            bool channels_last, Tensor& out) {
  const ScalarType dtype = x.scalar_type();
  ET_KERNEL_CHECK_MSG(context, dtype == ScalarType::Float || dtype == ScalarType::Half,
                      InvalidArgument, out, "group_norm_silu takes float32 or float16");
  ET_KERNEL_CHECK_MSG(context, out.scalar_type() == dtype, InvalidArgument, out,
                      "out must have the dtype of x");
  ET_KERNEL_CHECK_MSG(context, x.dim() >= 2, InvalidArgument, out,
                      "x must be [N, C, ...] or [N, ..., C]");
  ET_KERNEL_CHECK_MSG(context,
                      executorch::runtime::tensor_is_default_dim_order(x) &&
                          executorch::runtime::tensor_is_default_dim_order(out),
                      InvalidArgument, out, "x and out must be contiguous");
  kernels::GroupNormSiluShape shape;
  const ssize_t axis = channels_last ? x.dim() - 1 : 1;
  shape.batch = x.size(0);
  shape.channels = x.size(axis);
  shape.positions = 1;
  for (ssize_t i = 1; i < x.dim(); ++i) {
    if (i != axis) shape.positions *= x.size(i);
  }
  shape.num_groups = num_groups;
  shape.channels_last = channels_last;

  const Parameter& any = weight ? weight : bias;
  const ScalarType parameters = any ? any->scalar_type() : ScalarType::Float;
  ET_KERNEL_CHECK_MSG(context, parameters == ScalarType::Float || parameters == dtype,
                      InvalidArgument, out, "weight and bias must be float32 or of x's dtype");
  ET_KERNEL_CHECK_MSG(context,
                      is_parameter(weight, parameters, shape.channels) &&
                          is_parameter(bias, parameters, shape.channels),
                      InvalidArgument, out, "weight and bias must be [C], of one dtype");
  ET_KERNEL_CHECK_MSG(context, executorch::runtime::resize_tensor(out, x.sizes()) == Error::Ok,
                      InvalidArgument, out, "out cannot be resized to x's shape");

  using kernels::Half;
  const auto epsilon = static_cast<float>(eps);
  const kernels::Status status =
      dtype == ScalarType::Float
          ? run<float, float>(x, weight, bias, shape, epsilon, silu, out)
          : (parameters == ScalarType::Float
                 ? run<Half, float>(x, weight, bias, shape, epsilon, silu, out)
                 : run<Half, Half>(x, weight, bias, shape, epsilon, silu, out));
  ET_KERNEL_CHECK_MSG(context, status.ok(), InvalidArgument, out, "%s", status.message);
  return out;
}

}  // namespace mobilevd::ops

EXECUTORCH_LIBRARY(mobilevd, "group_norm_silu.out", mobilevd::ops::group_norm_silu_out);
