#include "ops/op_spatial_attention.h"

#include <executorch/extension/kernel_util/make_boxed_from_unboxed_functor.h>

#include <cmath>

#include "mobilevd/kernels/spatial_attention.h"
#include "ops/op_counter.h"
#include "ops/parallel.h"
#include "ops/scratch.h"

namespace mobilevd::ops {
namespace {

using executorch::aten::ScalarType;
using executorch::aten::SizesType;
using executorch::aten::Tensor;
using executorch::runtime::Error;
using executorch::runtime::KernelRuntimeContext;

template <typename T>
kernels::Status run(const Tensor& q, const Tensor& k, const Tensor& v,
                    const kernels::SpatialAttentionShape& shape, float scale, void* scratch,
                    int lanes, Tensor& out) {
  return kernels::spatial_attention(
      static_cast<const T*>(q.const_data_ptr()), static_cast<const T*>(k.const_data_ptr()),
      static_cast<const T*>(v.const_data_ptr()), static_cast<T*>(out.mutable_data_ptr()), shape,
      scale, scratch, lanes, executorch_parallel_for);
}

OpCounter counter("mobilevd::spatial_attention");

}  // namespace

Tensor& spatial_attention_out(KernelRuntimeContext& context, const Tensor& q, const Tensor& k,
                              const Tensor& v, int64_t num_heads, std::optional<double> scale,
                              Tensor& out) {
  const OpCounter::Call call(counter);
  const ScalarType type = q.scalar_type();
  ET_KERNEL_CHECK_MSG(context,
                      (type == ScalarType::Float || type == ScalarType::Half) &&
                          k.scalar_type() == type && v.scalar_type() == type &&
                          out.scalar_type() == type,
                      InvalidArgument, out, "q, k, v and out must be float32, or all float16");
  ET_KERNEL_CHECK_MSG(context,
                      q.dim() == 3 && k.dim() == 3 && v.dim() == 3 && k.size(0) == q.size(0) &&
                          v.size(0) == q.size(0) && v.size(1) == k.size(1) &&
                          k.size(2) == q.size(2),
                      InvalidArgument, out, "q [N, S, C], k [N, S_k, C], v [N, S_k, C_v] expected");
  ET_KERNEL_CHECK_MSG(context,
                      num_heads > 0 && q.size(2) % num_heads == 0 && v.size(2) % num_heads == 0,
                      InvalidArgument, out, "num_heads must divide the channels");
  ET_KERNEL_CHECK_MSG(context,
                      executorch::runtime::tensor_is_default_dim_order(q) &&
                          executorch::runtime::tensor_is_default_dim_order(k) &&
                          executorch::runtime::tensor_is_default_dim_order(v),
                      InvalidArgument, out, "q, k and v must be contiguous");
  const SizesType sizes[3] = {static_cast<SizesType>(q.size(0)), static_cast<SizesType>(q.size(1)),
                              static_cast<SizesType>(v.size(2))};
  ET_KERNEL_CHECK_MSG(context, executorch::runtime::resize_tensor(out, {sizes, 3}) == Error::Ok,
                      InvalidArgument, out, "out cannot be resized");

  const kernels::SpatialAttentionShape shape{
      q.size(0), q.size(1), k.size(1), num_heads, q.size(2) / num_heads, v.size(2) / num_heads};
  const double factor =
      scale.has_value() ? *scale : 1.0 / std::sqrt(static_cast<double>(shape.head_dim_qk));
  const int lanes = executorch_lanes();
  const std::size_t bytes = kernels::spatial_attention_scratch_bytes(shape, lanes);
  void* scratch;
  if (!allocate_scratch(context, "spatial_attention", bytes, &scratch)) return out;
  const kernels::Status status =
      type == ScalarType::Float
          ? run<float>(q, k, v, shape, static_cast<float>(factor), scratch, lanes, out)
          : run<kernels::Half>(q, k, v, shape, static_cast<float>(factor), scratch, lanes, out);
  ET_KERNEL_CHECK_MSG(context, status.ok(), InvalidArgument, out, "%s", status.message);
  return out;
}

}  // namespace mobilevd::ops

EXECUTORCH_LIBRARY(mobilevd, "spatial_attention.out", mobilevd::ops::spatial_attention_out);
