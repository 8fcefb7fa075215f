#include "ops/op_linear.h"

#include <executorch/extension/kernel_util/make_boxed_from_unboxed_functor.h>

#include "mobilevd/kernels/linear.h"
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
using kernels::Activation;

bool contiguous(const Tensor& tensor) {
  return executorch::runtime::tensor_is_default_dim_order(tensor);
}

bool parse(std::optional<std::string_view> name, Activation* activation) {
  if (name.has_value() && *name != "silu" && *name != "geglu") return false;
  *activation = !name.has_value() ? Activation::kNone
                : *name == "silu" ? Activation::kSilu
                                  : Activation::kGeglu;
  return true;
}

/// The sizes of the call, with out resized; or what is wrong with its tensors.
const char* check(const Tensor& x, const Tensor& weight, int64_t out_features,
                  const std::optional<Tensor>& bias, const std::optional<Tensor>& residual,
                  Activation activation, Tensor& out, kernels::LinearShape* shape) {
  const ScalarType type = x.scalar_type(), stored = weight.scalar_type();
  if (type != ScalarType::Float && type != ScalarType::Half) return "x must be float32 or float16";
  if (stored != ScalarType::Half && (stored != ScalarType::Float || type == ScalarType::Half)) {
    return "packed_weight must be float32 or float16, and float16 where x is";
  }
  if (out.scalar_type() != type || (residual && residual->scalar_type() != type)) {
    return "residual and out must have x's dtype";
  }
  if (x.dim() < 1 || out_features < 0) return "x must be [..., in_features], out_features >= 0";
  const auto last = x.dim() - 1;
  *shape = {1, x.size(last), out_features};
  SizesType sizes[executorch::runtime::kTensorDimensionLimit];
  for (int i = 0; i < last; ++i) {
    sizes[i] = static_cast<SizesType>(x.size(i));
    shape->rows *= x.size(i);
  }
  sizes[last] = static_cast<SizesType>(out_features);
  const int64_t copies = activation == Activation::kGeglu ? 2 : 1;
  if (weight.dim() != 3 || weight.size(0) != (out_features + 15) / 16 * copies ||
      weight.size(1) != shape->in_features || weight.size(2) != 16) {
    return "packed_weight must be what pack_linear_weight makes for these features";
  }
  if (bias && (bias->scalar_type() != ScalarType::Float || bias->numel() != copies * out_features ||
               !contiguous(*bias))) {
    return "bias must be float32, as long as the weight has outputs";
  }
  const executorch::aten::ArrayRef<SizesType> wanted(sizes, static_cast<size_t>(x.dim()));
  if (executorch::runtime::resize_tensor(out, wanted) != Error::Ok) {
    return "out cannot be resized to [..., out_features]";
  }
  if (!contiguous(x) || !contiguous(weight) || !contiguous(out))
    return "tensors must be contiguous";
  if (residual && (!contiguous(*residual) || residual->sizes() != out.sizes())) {
    return "residual must have out's shape and be contiguous";
  }
  return nullptr;
}

template <typename T, typename W>
kernels::Status run(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias,
                    const std::optional<Tensor>& residual, Tensor& out,
                    const kernels::LinearShape& shape, Activation activation, void* scratch,
                    int lanes) {
  return kernels::linear(static_cast<const T*>(x.const_data_ptr()),
                         static_cast<const W*>(weight.const_data_ptr()),
                         bias ? bias->const_data_ptr<float>() : nullptr,
                         residual ? static_cast<const T*>(residual->const_data_ptr()) : nullptr,
                         static_cast<T*>(out.mutable_data_ptr()), shape, activation, scratch, lanes,
                         executorch_parallel_for);
}

OpCounter counter("mobilevd::linear");

}  // namespace

Tensor& linear_out(KernelRuntimeContext& context, const Tensor& x, const Tensor& packed_weight,
                   int64_t out_features, const std::optional<Tensor>& bias,
                   const std::optional<Tensor>& residual,
                   std::optional<std::string_view> activation, Tensor& out) {
  const OpCounter::Call call(counter);
  Activation chosen;
  ET_KERNEL_CHECK_MSG(context, parse(activation, &chosen), InvalidArgument, out,
                      "linear: activation must be none, silu or geglu");
  kernels::LinearShape shape;
  const char* const wrong =
      check(x, packed_weight, out_features, bias, residual, chosen, out, &shape);
  ET_KERNEL_CHECK_MSG(context, wrong == nullptr, InvalidArgument, out, "linear: %s", wrong);

  const int lanes = executorch_lanes();
  void* scratch;
  if (!allocate_scratch(context, "linear", kernels::linear_scratch_bytes(shape, lanes), &scratch))
    return out;
  using kernels::Half;
  const auto fn = x.scalar_type() == ScalarType::Half               ? run<Half, Half>
                  : packed_weight.scalar_type() == ScalarType::Half ? run<float, Half>
                                                                    : run<float, float>;
  const kernels::Status status =
      fn(x, packed_weight, bias, residual, out, shape, chosen, scratch, lanes);
  ET_KERNEL_CHECK_MSG(context, status.ok(), InvalidArgument, out, "%s", status.message);
  return out;
}

}  // namespace mobilevd::ops

EXECUTORCH_LIBRARY(mobilevd, "linear.out", mobilevd::ops::linear_out);
