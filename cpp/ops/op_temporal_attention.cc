#include "ops/op_temporal_attention.h"

#include <executorch/extension/kernel_util/make_boxed_from_unboxed_functor.h>

#include <cmath>

#include "mobilevd/kernels/temporal_attention.h"
#include "ops/op_counter.h"
#include "ops/parallel.h"

namespace mobilevd::ops {
namespace {

using executorch::aten::ScalarType;
using executorch::aten::Tensor;
using executorch::runtime::Error;
using executorch::runtime::KernelRuntimeContext;

template <typename T>
kernels::Status run(const Tensor& q, const Tensor& k, const Tensor& v,
                    const kernels::TemporalAttentionShape& shape, float scale, Tensor& out) {
  return kernels::temporal_attention(
      static_cast<const T*>(q.const_data_ptr()), static_cast<const T*>(k.const_data_ptr()),
      static_cast<const T*>(v.const_data_ptr()), static_cast<T*>(out.mutable_data_ptr()), shape,
      scale, executorch_parallel_for);
}

bool same_leading_sizes(const Tensor& a, const Tensor& b) {
  return a.dim() == 4 && b.dim() == 4 && a.size(0) == b.size(0) && a.size(1) == b.size(1) &&
         a.size(2) == b.size(2);
}

OpCounter counter("mobilevd::temporal_attention");

}  // namespace

Tensor& temporal_attention_out(KernelRuntimeContext& context, const Tensor& q, const Tensor& k,
                               const Tensor& v, int64_t num_heads, std::optional<double> scale,
                               Tensor& out) {
  const OpCounter::Call call(counter);
  const ScalarType dtype = q.scalar_type();
  ET_KERNEL_CHECK_MSG(context, dtype == ScalarType::Float || dtype == ScalarType::Half,
                      InvalidArgument, out, "temporal_attention takes float32 or float16");
  ET_KERNEL_CHECK_MSG(
      context, k.scalar_type() == dtype && v.scalar_type() == dtype && out.scalar_type() == dtype,
      InvalidArgument, out, "q, k, v and out must have one dtype");
  ET_KERNEL_CHECK_MSG(context, same_leading_sizes(q, k) && same_leading_sizes(q, v),
                      InvalidArgument, out, "q, k, v must be [B, F, S, C] with the same B, F, S");
  ET_KERNEL_CHECK_MSG(context, k.size(3) == q.size(3), InvalidArgument, out,
                      "q and k must have the same channels");
  ET_KERNEL_CHECK_MSG(context,
                      num_heads > 0 && q.size(3) % num_heads == 0 && v.size(3) % num_heads == 0,
                      InvalidArgument, out, "num_heads must divide the channels");
  ET_KERNEL_CHECK_MSG(context,
                      executorch::runtime::tensor_is_default_dim_order(q) &&
                          executorch::runtime::tensor_is_default_dim_order(k) &&
                          executorch::runtime::tensor_is_default_dim_order(v) &&
                          executorch::runtime::tensor_is_default_dim_order(out),
                      InvalidArgument, out, "q, k, v and out must be contiguous");
  ET_KERNEL_CHECK_MSG(context, executorch::runtime::resize_tensor(out, v.sizes()) == Error::Ok,
                      InvalidArgument, out, "out cannot be resized to v's shape");

  kernels::TemporalAttentionShape shape;
  shape.batch = q.size(0);
  shape.frames = q.size(1);
  shape.positions = q.size(2);
  shape.num_heads = num_heads;
  shape.head_dim_qk = q.size(3) / num_heads;
  shape.head_dim_v = v.size(3) / num_heads;
  const double factor =
      scale.has_value() ? *scale : 1.0 / std::sqrt(static_cast<double>(shape.head_dim_qk));
  const kernels::Status status =
      dtype == ScalarType::Float
          ? run<float>(q, k, v, shape, static_cast<float>(factor), out)
          : run<kernels::Half>(q, k, v, shape, static_cast<float>(factor), out);
  ET_KERNEL_CHECK_MSG(context, status.ok(), InvalidArgument, out, "%s", status.message);
  return out;
}

}  // namespace mobilevd::ops

EXECUTORCH_LIBRARY(mobilevd, "temporal_attention.out", mobilevd::ops::temporal_attention_out);
