#include "ops/op_conv_int8.h"

#include <executorch/extension/kernel_util/make_boxed_from_unboxed_functor.h>

#include "mobilevd/kernels/conv_int8.h"
#include "ops/conv_tensors.h"
#include "ops/op_counter.h"
#include "ops/parallel.h"

namespace mobilevd::ops {
namespace {

using executorch::aten::ScalarType;
using executorch::aten::SizesType;
using executorch::aten::Tensor;
using executorch::runtime::KernelRuntimeContext;

/// The arguments of both, as the program has them.
struct Arguments {
  const Tensor &x, &weight, &scales;
  int64_t out_channels;
  double scale;
  int64_t zero_point;
  const std::optional<Tensor>&bias, &residual;
  std::optional<std::string_view> activation;
};

/// Checks them, resizes out to [x.size(0), height, width, out_channels], and calls
/// `kernel(range, epilogue, scratch)` with `scratch_bytes` of scratch.
template <typename ScratchBytes, typename Kernel>
void run(KernelRuntimeContext& context, const Arguments& a, int taps, int64_t height, int64_t width,
         Tensor& out, ScratchBytes&& scratch_bytes, Kernel&& kernel) {
  const auto fail = [&](const char* what) { fail_conv(context, what); };
  kernels::ConvEpilogue<float> epilogue;
  if (a.activation && !kernels::conv_activation_of(*a.activation, &epilogue.activation)) {
    return fail("activation must be none, silu or relu");
  }
  if (a.x.scalar_type() != ScalarType::Float) return fail("x: float32");
  if (!valid_channels(a.out_channels)) return fail("out_channels must be 1..2^31-16");
  const Tensor& w = a.weight;
  if (w.scalar_type() != ScalarType::Char || w.dim() != 5 ||
      w.size(0) != (a.out_channels + 15) / 16 || w.size(1) != taps ||
      w.size(2) != (a.x.size(3) + 7) / 8 || w.size(3) != 16 || w.size(4) != 8) {
    return fail("weight must be int8, [ceil(out_channels / 16), taps, ceil(C_in / 8), 16, 8]");
  }
  if (a.scales.scalar_type() != ScalarType::Float || a.scales.numel() != 16 * w.size(0)) {
    return fail("scales must be float32 [ceil(out_channels / 16) * 16]");
  }
  if (a.zero_point < -128 || a.zero_point > 127) return fail("zero_point must be -128..127");
  const SizesType sizes[4] = {static_cast<SizesType>(a.x.size(0)), static_cast<SizesType>(height),
                              static_cast<SizesType>(width),
                              static_cast<SizesType>(a.out_channels)};
  if (!check_conv_tensors(context, a.x, w, a.out_channels, a.bias, a.residual, sizes, out)) return;
  if (a.bias) epilogue.bias = a.bias->const_data_ptr<float>();
  if (a.residual) epilogue.residual = a.residual->const_data_ptr<float>();
  const kernels::Int8Range range{static_cast<float>(a.scale), static_cast<int>(a.zero_point)};
  run_conv(context, scratch_bytes(),
           [&](void* scratch) { return kernel(range, epilogue, scratch); });
}

OpCounter conv2d_3x3_int8_counter("mobilevd::conv2d_3x3_int8");
OpCounter temporal_conv_int8_counter("mobilevd::temporal_conv_int8");

}  // namespace

Tensor& conv2d_3x3_int8_out(KernelRuntimeContext& context, const Tensor& x, const Tensor& weight,
                            const Tensor& scales, int64_t out_channels, double scale,
                            int64_t zero_point, const std::optional<Tensor>& bias,
                            const std::optional<Tensor>& residual,
                            std::optional<std::string_view> activation, int64_t stride,
                            Tensor& out) {
  const OpCounter::Call call(conv2d_3x3_int8_counter);
  ET_KERNEL_CHECK_MSG(context, x.dim() == 4, InvalidArgument, out, "x must be [N, H, W, C_in]");
  ET_KERNEL_CHECK_MSG(context, stride == 1 || stride == 2, InvalidArgument, out,
                      "stride must be 1 or 2");
  const kernels::Conv2dShape shape{x.size(0), x.size(1),    x.size(2),
                                   x.size(3), out_channels, stride};
  const int lanes = executorch_lanes();
  run(
      context, {x, weight, scales, out_channels, scale, zero_point, bias, residual, activation}, 9,
      (x.size(1) + stride - 1) / stride, (x.size(2) + stride - 1) / stride, out,
      [&] { return kernels::conv2d_3x3_int8_scratch_bytes(shape, lanes); },
      [&](const auto& range, const auto& epilogue, void* scratch) {
        return kernels::conv2d_3x3_int8(x.const_data_ptr<float>(), weight.const_data_ptr<int8_t>(),
                                        scales.const_data_ptr<float>(),
                                        out.mutable_data_ptr<float>(), shape, range, epilogue,
                                        scratch, lanes, executorch_parallel_for);
      });
  return out;
}

Tensor& temporal_conv_int8_out(KernelRuntimeContext& context, const Tensor& x, const Tensor& weight,
                               const Tensor& scales, int64_t out_channels, double scale,
                               int64_t zero_point, const std::optional<Tensor>& bias,
                               const std::optional<Tensor>& residual,
                               std::optional<std::string_view> activation, Tensor& out) {
  const OpCounter::Call call(temporal_conv_int8_counter);
  ET_KERNEL_CHECK_MSG(context, x.dim() == 4, InvalidArgument, out, "x must be [B, F, S, C_in]");
  const kernels::TemporalConvShape shape{x.size(0), x.size(1), x.size(2), x.size(3), out_channels};
  const int lanes = executorch_lanes();
  run(
      context, {x, weight, scales, out_channels, scale, zero_point, bias, residual, activation}, 3,
      x.size(1), x.size(2), out,
      [&] { return kernels::temporal_conv_int8_scratch_bytes(shape, lanes); },
      [&](const auto& range, const auto& epilogue, void* scratch) {
        return kernels::temporal_conv_int8(
            x.const_data_ptr<float>(), weight.const_data_ptr<int8_t>(),
            scales.const_data_ptr<float>(), out.mutable_data_ptr<float>(), shape, range, epilogue,
            scratch, lanes, executorch_parallel_for);
      });
  return out;
}

}  // namespace mobilevd::ops

EXECUTORCH_LIBRARY(mobilevd, "conv2d_3x3_int8.out", mobilevd::ops::conv2d_3x3_int8_out);
EXECUTORCH_LIBRARY(mobilevd, "temporal_conv_int8.out", mobilevd::ops::temporal_conv_int8_out);
