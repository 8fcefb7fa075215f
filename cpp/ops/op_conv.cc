#include "ops/op_conv.h"

#include <executorch/extension/kernel_util/make_boxed_from_unboxed_functor.h>

#include "mobilevd/kernels/conv2d.h"
#include "mobilevd/kernels/temporal_conv.h"
#include "ops/conv_tensors.h"
#include "ops/op_counter.h"
#include "ops/parallel.h"

namespace mobilevd::ops {
namespace {

using executorch::aten::ScalarType;
using executorch::aten::SizesType;
using executorch::aten::Tensor;
using executorch::runtime::Error;
using executorch::runtime::KernelRuntimeContext;
using kernels::ConvActivation;

/// Calls `fn(x, weight, out, epilogue)` with the storage types' pointers.
template <typename Fn>
kernels::Status with_types(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias,
                           const std::optional<Tensor>& residual, ConvActivation activation,
                           Tensor& out, Fn&& fn) {
  const auto call = [&](auto t, auto w) {
    using T = decltype(t);
    using W = decltype(w);
    kernels::ConvEpilogue<T> epilogue;
    if (bias) epilogue.bias = bias->const_data_ptr<float>();
    if (residual) epilogue.residual = static_cast<const T*>(residual->const_data_ptr());
    epilogue.activation = activation;
    return fn(static_cast<const T*>(x.const_data_ptr()),
              static_cast<const W*>(weight.const_data_ptr()),
              static_cast<T*>(out.mutable_data_ptr()), epilogue);
  };
  if (x.scalar_type() == ScalarType::Half) return call(kernels::Half{}, kernels::Half{});
  if (weight.scalar_type() == ScalarType::Half) return call(float{}, kernels::Half{});
  return call(float{}, float{});
}

/// What both convolutions ask of their tensors; out is resized to `sizes`.
bool check(KernelRuntimeContext& context, const Tensor& x, const Tensor& weight,
           int64_t out_channels, int taps, const std::optional<Tensor>& bias,
           const std::optional<Tensor>& residual, const SizesType (&sizes)[4], Tensor& out) {
  const auto fail = [&](const char* what) { return fail_conv(context, what); };
  const ScalarType type = x.scalar_type();
  if (type != ScalarType::Float && type != ScalarType::Half) return fail("x: float32 or float16");
  const ScalarType stored = weight.scalar_type();
  if (stored != ScalarType::Half && (stored != ScalarType::Float || type == ScalarType::Half)) {
    return fail("weight: float32 or float16, and float16 where x is");
  }
  if (!valid_channels(out_channels)) return fail("out_channels must be 1..2^31-16");
  if (weight.dim() != 4 || weight.size(0) != (out_channels + 15) / 16 || weight.size(1) != taps ||
      weight.size(2) != x.size(3) || weight.size(3) != 16) {
    return fail("weight must be packed as [ceil(out_channels / 16), taps, C_in, 16]");
  }
  return check_conv_tensors(context, x, weight, out_channels, bias, residual, sizes, out);
}

OpCounter conv2d_3x3_counter("mobilevd::conv2d_3x3");
OpCounter temporal_conv_counter("mobilevd::temporal_conv");

}  // namespace

Tensor& conv2d_3x3_out(KernelRuntimeContext& context, const Tensor& x, const Tensor& weight,
                       int64_t out_channels, const std::optional<Tensor>& bias,
                       const std::optional<Tensor>& residual,
                       std::optional<std::string_view> activation, int64_t stride, Tensor& out) {
  const OpCounter::Call call(conv2d_3x3_counter);
  ConvActivation chosen = ConvActivation::kNone;
  ET_KERNEL_CHECK_MSG(context, !activation || kernels::conv_activation_of(*activation, &chosen),
                      InvalidArgument, out, "activation must be none, silu or relu");
  ET_KERNEL_CHECK_MSG(context, x.dim() == 4, InvalidArgument, out, "x must be [N, H, W, C_in]");
  ET_KERNEL_CHECK_MSG(context, stride == 1 || stride == 2, InvalidArgument, out,
                      "stride must be 1 or 2");
  const SizesType sizes[4] = {static_cast<SizesType>(x.size(0)),
                              static_cast<SizesType>((x.size(1) + stride - 1) / stride),
                              static_cast<SizesType>((x.size(2) + stride - 1) / stride),
                              static_cast<SizesType>(out_channels)};
  if (!check(context, x, weight, out_channels, 9, bias, residual, sizes, out)) return out;
  const kernels::Conv2dShape shape{x.size(0), x.size(1),    x.size(2),
                                   x.size(3), out_channels, stride};
  const int lanes = executorch_lanes();
  run_conv(context, kernels::conv2d_3x3_scratch_bytes(shape, lanes), [&](void* scratch) {
    return with_types(x, weight, bias, residual, chosen, out,
                      [&](auto* in, auto* w, auto* to, const auto& epilogue) {
                        return kernels::conv2d_3x3(in, w, to, shape, epilogue, scratch, lanes,
                                                   executorch_parallel_for);
                      });
  });
  return out;
}

Tensor& temporal_conv_out(KernelRuntimeContext& context, const Tensor& x, const Tensor& weight,
                          int64_t out_channels, const std::optional<Tensor>& bias,
                          const std::optional<Tensor>& residual,
                          std::optional<std::string_view> activation, Tensor& out) {
  const OpCounter::Call call(temporal_conv_counter);
  ConvActivation chosen = ConvActivation::kNone;
  ET_KERNEL_CHECK_MSG(context, !activation || kernels::conv_activation_of(*activation, &chosen),
                      InvalidArgument, out, "activation must be none, silu or relu");
  ET_KERNEL_CHECK_MSG(context, x.dim() == 4, InvalidArgument, out, "x must be [B, F, S, C_in]");
  const SizesType sizes[4] = {static_cast<SizesType>(x.size(0)), static_cast<SizesType>(x.size(1)),
                              static_cast<SizesType>(x.size(2)),
                              static_cast<SizesType>(out_channels)};
  if (!check(context, x, weight, out_channels, 3, bias, residual, sizes, out)) return out;
  const kernels::TemporalConvShape shape{x.size(0), x.size(1), x.size(2), x.size(3), out_channels};
  const int lanes = executorch_lanes();
  run_conv(context, kernels::temporal_conv_scratch_bytes(shape, lanes), [&](void* scratch) {
    return with_types(x, weight, bias, residual, chosen, out,
                      [&](auto* in, auto* w, auto* to, const auto& epilogue) {
                        return kernels::temporal_conv(in, w, to, shape, epilogue, scratch, lanes,
                                                      executorch_parallel_for);
                      });
  });
  return out;
}

}  // namespace mobilevd::ops

EXECUTORCH_LIBRARY(mobilevd, "conv2d_3x3.out", mobilevd::ops::conv2d_3x3_out);
EXECUTORCH_LIBRARY(mobilevd, "temporal_conv.out", mobilevd::ops::temporal_conv_out);
