// mobilevd._kernels.linear and pack_linear_weight.
#include <pybind11/stl.h>

#include <cstdint>
#include <optional>
#include <string>

#include "bindings/kernel_arrays.h"
#include "bindings/kernels.h"
#include "bindings/scratch.h"
#include "mobilevd/kernels/linear.h"

namespace py = pybind11;

namespace mobilevd::bindings {
namespace {

using kernels::Activation;
using MaybeArray = std::optional<py::array>;

Activation activation_of(const std::optional<std::string>& name) {
  if (!name) return Activation::kNone;
  if (*name == "silu") return Activation::kSilu;
  if (*name == "geglu") return Activation::kGeglu;
  throw py::value_error("activation: expected None, 'silu' or 'geglu', got '" + *name + "'");
}

/// [panels, in_features, 16].
void check_packed(const char* name, const py::array& packed, const kernels::LinearShape& shape,
                  bool gated) {
  const std::int64_t panels = (shape.out_features + 15) / 16 * (gated ? 2 : 1);
  if (packed.ndim() == 3 && packed.shape(0) == panels && packed.shape(1) == shape.in_features &&
      packed.shape(2) == 16) {
    return;
  }
  throw py::value_error(
      std::string(name) + ": expected [" + std::to_string(panels) + ", " +
      std::to_string(shape.in_features) + ", 16], as pack_linear_weight gives it for " +
      std::to_string(shape.in_features) + " -> " + std::to_string(shape.out_features) +
      (gated ? " features with GEGLU" : " features") + ", got " + describe(packed));
}

template <typename T, typename W>
void call(const py::array& x, const py::array& weight, const MaybeArray& bias,
          const MaybeArray& residual, py::array& out, const kernels::LinearShape& shape,
          Activation activation) {
  const T* const x_data = data<T>(x);
  const W* const weight_data = data<W>(weight);
  const float* const bias_data = bias ? data<float>(*bias) : nullptr;
  const T* const residual_data = residual ? data<T>(*residual) : nullptr;
  T* const out_data = mutable_data<T>(out);
  call_released([&] {
    const int count = lanes();
    void* const scratch = thread_scratch(kernels::linear_scratch_bytes(shape, count));
    return kernels::linear(x_data, weight_data, bias_data, residual_data, out_data, shape,
                           activation, scratch, count, kPool);
  });
}

void linear(const py::array& x, const py::array& weight, py::array out, const MaybeArray& bias,
            const MaybeArray& residual, const std::optional<std::string>& activation_name) {
  const Activation activation = activation_of(activation_name);
  const bool gated = activation == Activation::kGeglu;
  check_array("x", x, false);
  check_array("out", out, true);
  check_dtype("out", out, "x", x);
  if (x.ndim() < 1) throw py::value_error("x: expected [..., in_features], got " + describe(x));
  if (out.ndim() != x.ndim()) {
    throw py::value_error("out: expected as many dimensions as x, " + describe(x) + ", got " +
                          describe(out));
  }
  const int leading = static_cast<int>(x.ndim()) - 1;
  check_shape("out", out, "x", x, leading, "all but the last size");
  kernels::LinearShape shape;
  shape.rows = 1;
  for (int i = 0; i < leading; ++i) shape.rows *= x.shape(i);
  shape.in_features = x.shape(leading);
  shape.out_features = out.shape(leading);
  check_array("packed_weight", weight, false);
  if (x.dtype().char_() == kDtype<kernels::Half>) check_dtype("packed_weight", weight, "x", x);
  check_packed("packed_weight", weight, shape, gated);
  if (bias) {
    check_array("bias", *bias, false, false);
    const std::int64_t size = shape.out_features * (gated ? 2 : 1);
    if (bias->ndim() != 1 || bias->shape(0) != size) {
      throw py::value_error("bias: expected [" + std::to_string(size) + "], got " +
                            describe(*bias));
    }
  }
  if (residual) {
    check_array("residual", *residual, false);
    check_dtype("residual", *residual, "x", x);
    check_shape("residual", *residual, "out", out);
  }
  using kernels::Half;
  if (x.dtype().char_() == kDtype<Half>) {
    call<Half, Half>(x, weight, bias, residual, out, shape, activation);
  } else if (weight.dtype().char_() == kDtype<Half>) {
    call<float, Half>(x, weight, bias, residual, out, shape, activation);
  } else {
    call<float, float>(x, weight, bias, residual, out, shape, activation);
  }
}

template <typename W>
void pack(const py::array& weight, py::array& packed, const kernels::LinearShape& shape,
          Activation activation) {
  const W* const from = data<W>(weight);
  W* const to = mutable_data<W>(packed);
  call_released([&] { return kernels::pack_linear_weight(from, to, shape, activation); });
}

void pack_linear_weight(const py::array& weight, py::array packed, bool geglu) {
  check_array("weight", weight, false);
  check_dimensions("weight", weight, {"out_features", "in_features"});
  if (geglu && weight.shape(0) % 2 != 0) {
    throw py::value_error("weight: expected an even number of outputs for GEGLU, got " +
                          describe(weight));
  }
  const kernels::LinearShape shape{0, weight.shape(1), weight.shape(0) / (geglu ? 2 : 1)};
  check_array("packed", packed, true);
  check_dtype("packed", packed, "weight", weight);
  check_packed("packed", packed, shape, geglu);
  const Activation activation = geglu ? Activation::kGeglu : Activation::kNone;
  if (weight.dtype().char_() == kDtype<float>) {
    pack<float>(weight, packed, shape, activation);
  } else {
    pack<kernels::Half>(weight, packed, shape, activation);
  }
}

}  // namespace

void register_linear(py::module_& m) {
  m.def("linear", &linear, py::arg("x").noconvert(), py::arg("packed_weight").noconvert(),
        py::arg("out").noconvert(), py::arg("bias") = py::none(), py::arg("residual") = py::none(),
        py::arg("activation") = py::none(),
        "Writes residual + activation(x weight^T + bias) to out.");
  m.def("pack_linear_weight", &pack_linear_weight, py::arg("weight").noconvert(),
        py::arg("packed").noconvert(), py::arg("geglu") = false,
        "Packs weights [out_features, in_features].");
}

}  // namespace mobilevd::bindings
