// mobilevd._kernels.group_norm_silu.
#include <pybind11/stl.h>

#include <cstdint>
#include <optional>
#include <string>

#include "bindings/kernel_arrays.h"
#include "bindings/kernels.h"
#include "mobilevd/kernels/group_norm_silu.h"

namespace py = pybind11;

namespace mobilevd::bindings {
namespace {

using MaybeArray = std::optional<py::array>;

template <typename T, typename P>
void call(const py::array& x, const MaybeArray& weight, const MaybeArray& bias, py::array& out,
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

void check_parameter(const char* name, const MaybeArray& array, const py::array& x,
                     std::int64_t channels) {
  if (!array) return;
  check_array(name, *array, false);
  if (array->dtype().char_() == kDtype<kernels::Half>) check_dtype(name, *array, "x", x);
  if (array->ndim() != 1 || array->shape(0) != channels) {
    throw py::value_error(std::string(name) + ": expected [channels] = (" +
                          std::to_string(channels) + ",), got " + describe(*array));
  }
}

void group_norm_silu(const py::array& x, const MaybeArray& weight, const MaybeArray& bias,
                     py::array out, std::int64_t num_groups, double eps, bool silu,
                     bool channels_last) {
  check_array("x", x, false);
  check_array("out", out, true);
  check_dtype("out", out, "x", x);
  check_shape("out", out, "x", x);
  if (x.ndim() < 2) {
    throw py::value_error("x: expected [N, C, ...] or [N, ..., C], got " + describe(x));
  }
  const std::int64_t channels = x.shape(channels_last ? x.ndim() - 1 : 1);
  if (num_groups < 1 || channels < 1 || channels % num_groups != 0) {
    throw py::value_error("num_groups: expected a divisor of the " + std::to_string(channels) +
                          " channels, got " + std::to_string(num_groups));
  }
  check_parameter("weight", weight, x, channels);
  check_parameter("bias", bias, x, channels);
  if (weight && bias) check_dtype("bias", *bias, "weight", *weight);
  std::int64_t positions = 1;
  for (py::ssize_t i = 1; i < x.ndim(); ++i) {
    if (i != (channels_last ? x.ndim() - 1 : 1)) positions *= x.shape(i);
  }
  const kernels::GroupNormSiluShape shape{x.shape(0), channels, positions, num_groups,
                                          channels_last};
  const MaybeArray& parameter = weight ? weight : bias;
  const bool half_parameters = parameter && parameter->dtype().char_() == kDtype<kernels::Half>;
  const auto epsilon = static_cast<float>(eps);
  if (x.dtype().char_() == kDtype<float>) {
    call<float, float>(x, weight, bias, out, shape, epsilon, silu);
  } else if (half_parameters) {
    call<kernels::Half, kernels::Half>(x, weight, bias, out, shape, epsilon, silu);
  } else {
    call<kernels::Half, float>(x, weight, bias, out, shape, epsilon, silu);
  }
}

}  // namespace

void register_group_norm_silu(py::module_& m) {
  m.def("group_norm_silu", &group_norm_silu, py::arg("x").noconvert(), py::arg("weight"),
        py::arg("bias"), py::arg("out").noconvert(), py::arg("num_groups"), py::arg("eps") = 1e-5,
        py::arg("silu") = true, py::arg("channels_last") = false,
        "Writes silu(group_norm(x)) to out.");
}

}  // namespace mobilevd::bindings
