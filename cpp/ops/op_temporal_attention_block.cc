#include "ops/op_temporal_attention_block.h"

#include <executorch/extension/kernel_util/make_boxed_from_unboxed_functor.h>

#include <cmath>
#include <initializer_list>

#include "mobilevd/kernels/temporal_attention_block.h"
#include "ops/op_counter.h"
#include "ops/parallel.h"
#include "ops/scratch.h"

namespace mobilevd::ops {
namespace {

using executorch::aten::ScalarType;
using executorch::aten::Tensor;
using executorch::runtime::Error;
using executorch::runtime::KernelRuntimeContext;

bool has_sizes(const Tensor& tensor, ScalarType dtype, std::initializer_list<int64_t> sizes) {
  if (tensor.scalar_type() != dtype || tensor.dim() != static_cast<ssize_t>(sizes.size()) ||
      !executorch::runtime::tensor_is_default_dim_order(tensor)) {
    return false;
  }
  ssize_t i = 0;
  for (const int64_t size : sizes) {
    if (tensor.size(i++) != size) return false;
  }
  return true;
}

bool packed_fit(const Tensor& to_qkv, const Tensor& to_out, bool int8, int64_t channels) {
  const ssize_t dim = int8 ? 4 : 3;
  if (to_qkv.dim() != dim || to_out.dim() != dim) return false;
  const int64_t out_panels = (channels + 15) / 16;
  if (int8) {
    return has_sizes(to_qkv, ScalarType::Char, {to_qkv.size(0), (channels + 7) / 8, 16, 8}) &&
           has_sizes(to_out, ScalarType::Char, {out_panels, to_out.size(1), 16, 8});
  }
  return has_sizes(to_qkv, ScalarType::Float, {to_qkv.size(0), channels, 16}) &&
         has_sizes(to_out, ScalarType::Float, {out_panels, to_out.size(1), 16});
}

bool scale_fits(const std::optional<Tensor>& scale, const Tensor& weights, bool int8) {
  if (!int8) return !scale.has_value();
  return scale.has_value() && has_sizes(*scale, ScalarType::Float, {weights.size(0) * 16});
}

OpCounter counter("mobilevd::temporal_attention_block");

}  // namespace

Tensor& temporal_attention_block_out(
    KernelRuntimeContext& context, const Tensor& x, const Tensor& norm_weight,
    const Tensor& norm_bias, const Tensor& to_qkv, const std::optional<Tensor>& to_qkv_scale,
    const Tensor& to_out, const std::optional<Tensor>& to_out_scale, const Tensor& out_bias,
    int64_t num_heads, std::optional<double> scale, double eps, Tensor& out) {
  const OpCounter::Call call(counter);
  ET_KERNEL_CHECK_MSG(context,
                      x.scalar_type() == ScalarType::Float &&
                          out.scalar_type() == ScalarType::Float && x.dim() == 4 &&
                          executorch::runtime::tensor_is_default_dim_order(x) &&
                          executorch::runtime::tensor_is_default_dim_order(out),
                      InvalidArgument, out, "x must be [B, F, S, C] float32, contiguous");
  kernels::TemporalAttentionBlockShape shape;
  shape.batch = x.size(0);
  shape.frames = x.size(1);
  shape.positions = x.size(2);
  shape.channels = x.size(3);
  shape.num_heads = num_heads;
  ET_KERNEL_CHECK_MSG(context,
                      has_sizes(norm_weight, ScalarType::Float, {shape.channels}) &&
                          has_sizes(norm_bias, ScalarType::Float, {shape.channels}) &&
                          has_sizes(out_bias, ScalarType::Float, {shape.channels}),
                      InvalidArgument, out, "norm and bias must be [C] float32");
  const bool int8 = to_qkv.scalar_type() == ScalarType::Char;
  ET_KERNEL_CHECK_MSG(context,
                      packed_fit(to_qkv, to_out, int8, shape.channels) &&
                          kernels::temporal_attention_block_head_dims(
                              to_qkv.size(0), to_out.size(1) * (int8 ? 8 : 1), &shape),
                      InvalidArgument, out,
                      "the weights were not packed for these channels and heads");
  ET_KERNEL_CHECK_MSG(
      context, scale_fits(to_qkv_scale, to_qkv, int8) && scale_fits(to_out_scale, to_out, int8),
      InvalidArgument, out,
      "int8 weights need a float32 scale an output, float32 weights have none");
  ET_KERNEL_CHECK_MSG(context, executorch::runtime::resize_tensor(out, x.sizes()) == Error::Ok,
                      InvalidArgument, out, "out cannot be resized to x's shape");

  const auto threads = static_cast<std::size_t>(executorch_lanes());
  const std::size_t bytes =
      int8 ? kernels::temporal_attention_block_int8_scratch_bytes(shape, threads)
           : kernels::temporal_attention_block_scratch_bytes(shape, threads);
  void* scratch;
  if (!allocate_scratch(context, "temporal_attention_block", bytes, &scratch)) return out;
  const double factor =
      scale.has_value() ? *scale : 1.0 / std::sqrt(static_cast<double>(shape.head_dim_qk));
  const auto run = [&](const auto& weights) {
    return kernels::temporal_attention_block(x.const_data_ptr<float>(), weights,
                                             out.mutable_data_ptr<float>(), shape,
                                             static_cast<float>(factor), static_cast<float>(eps),
                                             scratch, bytes, executorch_parallel_for);
  };
  const float* norm_weight_data = norm_weight.const_data_ptr<float>();
  const float* norm_bias_data = norm_bias.const_data_ptr<float>();
  const float* out_bias_data = out_bias.const_data_ptr<float>();
  const kernels::Status status =
      int8 ? run(kernels::TemporalAttentionBlockInt8Weights{
                 norm_weight_data, norm_bias_data, to_qkv.const_data_ptr<int8_t>(),
                 to_qkv_scale->const_data_ptr<float>(), to_out.const_data_ptr<int8_t>(),
                 to_out_scale->const_data_ptr<float>(), out_bias_data})
           : run(kernels::TemporalAttentionBlockWeights{
                 norm_weight_data, norm_bias_data, to_qkv.const_data_ptr<float>(),
                 to_out.const_data_ptr<float>(), out_bias_data});
  ET_KERNEL_CHECK_MSG(context, status.ok(), InvalidArgument, out, "%s", status.message);
  return out;
}

}  // namespace mobilevd::ops

EXECUTORCH_LIBRARY(mobilevd, "temporal_attention_block.out",
                   mobilevd::ops::temporal_attention_block_out);
