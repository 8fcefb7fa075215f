#include "ops/op_gemm_int8.h"

#include <executorch/extension/kernel_util/make_boxed_from_unboxed_functor.h>

#include "mobilevd/kernels/gemm_int8.h"
#include "ops/op_counter.h"
#include "ops/parallel.h"
#include "ops/scratch.h"

namespace mobilevd::ops {
namespace {

using executorch::aten::ScalarType;
using executorch::aten::SizesType;
using executorch::aten::Tensor;
using executorch::runtime::KernelRuntimeContext;

bool is_float(const Tensor& tensor) {
  return tensor.scalar_type() == ScalarType::Float &&
         executorch::runtime::tensor_is_default_dim_order(tensor);
}

/// The sizes of the call, with out resized; or what is wrong with its tensors.
const char* check(const Tensor& x, const Tensor& weight, const Tensor& scales, int64_t out_features,
                  const std::optional<Tensor>& bias, Tensor& out, kernels::GemmInt8Shape* shape) {
  if (!is_float(x) || x.dim() < 1 || out_features < 1 || out_features > 2147483632) {
    return "x must be float32 [..., K], contiguous, and out_features 1..2^31-16";
  }
  const auto last = x.dim() - 1;
  *shape = {1, x.size(last), out_features};
  SizesType sizes[executorch::runtime::kTensorDimensionLimit];
  for (int i = 0; i < last; ++i) {
    sizes[i] = static_cast<SizesType>(x.size(i));
    shape->rows *= x.size(i);
  }
  sizes[last] = static_cast<SizesType>(out_features);
  if (weight.scalar_type() != ScalarType::Char || weight.dim() != 4 ||
      weight.size(0) != (out_features + 15) / 16 || weight.size(1) != (shape->inputs + 7) / 8 ||
      weight.size(2) != 16 || weight.size(3) != 8 ||
      !executorch::runtime::tensor_is_default_dim_order(weight)) {
    return "weight must be int8, [ceil(out_features / 16), ceil(K / 8), 16, 8]";
  }
  if (!is_float(scales) || scales.numel() != 16 * weight.size(0)) {
    return "scales must be float32 [ceil(out_features / 16) * 16]";
  }
  if (bias && (!is_float(*bias) || bias->numel() != out_features)) {
    return "bias must be float32 [out_features]";
  }
  const executorch::aten::ArrayRef<SizesType> wanted(sizes, static_cast<size_t>(x.dim()));
  if (executorch::runtime::resize_tensor(out, wanted) != executorch::runtime::Error::Ok ||
      !is_float(out)) {
    return "out must be float32 [..., out_features]";
  }
  return nullptr;
}

OpCounter counter("mobilevd::gemm_int8");

}  // namespace

Tensor& gemm_int8_out(KernelRuntimeContext& context, const Tensor& x, const Tensor& weight,
                      const Tensor& scales, int64_t out_features, const std::optional<Tensor>& bias,
                      Tensor& out) {
  const OpCounter::Call call(counter);
  kernels::GemmInt8Shape shape;
  const char* const wrong = check(x, weight, scales, out_features, bias, out, &shape);
  ET_KERNEL_CHECK_MSG(context, wrong == nullptr, InvalidArgument, out, "gemm_int8: %s", wrong);
  const std::size_t bytes =
      kernels::gemm_int8_scratch_bytes(shape, static_cast<std::size_t>(executorch_lanes()));
  void* scratch;
  if (!allocate_scratch(context, "gemm_int8", bytes, &scratch)) return out;
  const kernels::Status status = kernels::gemm_int8(
      x.const_data_ptr<float>(), weight.const_data_ptr<int8_t>(), scales.const_data_ptr<float>(),
      bias ? bias->const_data_ptr<float>() : nullptr, out.mutable_data_ptr<float>(), shape, scratch,
      bytes, executorch_parallel_for);
  ET_KERNEL_CHECK_MSG(context, status.ok(), InvalidArgument, out, "%s", status.message);
  return out;
}

}  // namespace mobilevd::ops

EXECUTORCH_LIBRARY(mobilevd, "gemm_int8.out", mobilevd::ops::gemm_int8_out);
