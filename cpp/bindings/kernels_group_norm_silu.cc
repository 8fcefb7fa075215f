// mobilevd._kernels.group_norm_silu.
#include <pybind11/stl.h>

#include <cmath>
#include <optional>
#include <string>
#include <utility>

#include "bindings/kernel_arrays.h"
#include "bindings/kernels.h"
#include "mobilevd/kernels/group_norm_silu.h"

namespace py = pybind11;

namespace mobilevd::bindings {
namespace {

using Parameter = std::optional<py::array>;

kernels::GroupNormSiluShape shape_of(const py::array& x, std::int64_t num_groups,
                                     bool channels_last) {
  if (x.ndim() < 2) {
    throw py::value_error(std::string("x: expected at least 2 dimensions [") +
                          (channels_last ? "batch, ..., channels" : "batch, channels, ...") +
                          "], got " + describe(x));
  }
  kernels::GroupNormSiluShape shape;
  const py::ssize_t axis = channels_last ? x.ndim() - 1 : 1;
  shape.batch = x.shape(0);
  shape.channels = x.shape(axis);
  shape.positions = 1;
  for (py::ssize_t i = 1; i < x.ndim(); ++i) {
    if (i != axis) shape.positions *= x.shape(i);
  }
  shape.num_groups = num_groups;
  shape.channels_last = channels_last;
  if (num_groups < 1 || shape.channels < 1 || shape.channels % num_groups != 0) {
    throw py::value_error("num_groups: expected a divisor of the " +
                          std::to_string(shape.channels) + " channels of x, got " +
                          std::to_string(num_groups));
  }
  return shape;
}

void check_parameter(const char* name, const py::array& parameter, const py::array& x,
                     std::int64_t channels) {
  check_array(name, parameter, false);
  if (parameter.dtype().char_() != kDtype<float>) check_dtype(name, parameter, "x", x);
  if (parameter.ndim() != 1 || parameter.shape(0) != channels) {
    throw py::value_error(std::string(name) + ": expected the " + std::to_string(channels) +
                          " channels of x, got " + describe(parameter));
  }
}

template <typename T, typename P>
void call(const py::array& x, const Parameter& weight, const Parameter& bias, py::array& out,
          const kernels::GroupNormSiluShape& shape, float eps, bool silu) {
  const T* const x_data = data<T>(x);
  const P* const weight_data = weight ? data<P>(*weight) : nullptr;
  const P* const bias_data = bias ? data<P>(*bias) : nullptr;
  T* const out_data = mutable_data<T>(out);
  call_released([&] {
    return kernels::group_norm_silu(x_data, weight_data, bias_data, out_data, shape, eps, silu,
                                    kPool);
  });
}

void group_norm_silu(const py::array& x, const Parameter& weight, const Parameter& bias,
                     py::array out, std::int64_t num_groups, double eps, bool silu,
                     bool channels_last) {
  check_array("x", x, false);
  check_array("out", out, true);
  const kernels::GroupNormSiluShape shape = shape_of(x, num_groups, channels_last);
  for (const auto& [name, parameter] : {std::pair{"weight", &weight}, {"bias", &bias}}) {
    if (*parameter) check_parameter(name, **parameter, x, shape.channels);
  }
  if (weight && bias) check_dtype("bias", *bias, "weight", *weight);
  check_dtype("out", out, "x", x);
  check_shape("out", out, "x", x);
  const auto epsilon = static_cast<float>(eps);
  if (!(epsilon > 0) || !std::isfinite(epsilon)) {
    throw py::value_error("eps: expected a positive number, got " + std::to_string(eps));
  }
  const Parameter& any = weight ? weight : bias;
  if (x.dtype().char_() == kDtype<float>) {
    call<float, float>(x, weight, bias, out, shape, epsilon, silu);
  } else if (any && any->dtype().char_() == kDtype<kernels::Half>) {
    call<kernels::Half, kernels::Half>(x, weight, bias, out, shape, epsilon, silu);
  } else {
    call<kernels::Half, float>(x, weight, bias, out, shape, epsilon, silu);
  }
}

}  // namespace

void register_group_norm_silu(py::module_& m) {
  m.def("group_norm_silu", &group_norm_silu, py::arg("x").noconvert(),
        py::arg("weight").noconvert(), py::arg("bias").noconvert(), py::arg("out").noconvert(),
        py::arg("num_groups"), py::arg("eps"), py::arg("silu") = true,
        py::arg("channels_last") = false,
        "Writes GroupNorm of x, through SiLU if wanted, to out, which may be x.");
}

}  // namespace mobilevd::bindings
