// mobilevd._kernels.gemm_int8 and pack_gemm_int8.
#include <pybind11/stl.h>

#include <cstdint>
#include <optional>
#include <utility>

#include "bindings/kernel_arrays.h"
#include "bindings/kernels.h"
#include "bindings/scratch.h"
#include "mobilevd/kernels/gemm_int8.h"

namespace py = pybind11;

namespace mobilevd::bindings {
namespace {

void gemm_int8(const py::array& x, const py::array& weight, const py::array& scales, py::array out,
               const std::optional<py::array>& bias) {
  check_array("x", x, false, false);
  check_array("out", out, true, false);
  if (x.ndim() < 1 || out.ndim() != x.ndim()) {
    throw py::value_error("x and out: expected [..., features] both, got " + describe(x) + " and " +
                          describe(out));
  }
  const int leading = static_cast<int>(x.ndim()) - 1;
  check_shape("out", out, "x", x, leading, "all but the last size");
  kernels::GemmInt8Shape shape{1, x.shape(leading), out.shape(leading)};
  for (int i = 0; i < leading; ++i) shape.rows *= x.shape(i);
  const std::int64_t panels = (shape.outputs + 15) / 16;
  check_int8_array("weight", weight);
  check_sizes("weight", weight, {panels, (shape.inputs + 7) / 8, 16, 8},
              "the packed layout [ceil(out_features / 16), ceil(in_features / 8), 16, 8] =");
  check_array("scales", scales, false, false);
  check_sizes("scales", scales, {panels * 16}, "[ceil(out_features / 16) * 16] =");
  if (bias) {
    check_array("bias", *bias, false, false);
    check_sizes("bias", *bias, {shape.outputs}, "[out_features] =");
  }
  const float* const x_data = data<float>(x);
  const auto* const weight_data = data<std::int8_t>(weight);
  const float* const scales_data = data<float>(scales);
  const float* const bias_data = bias ? data<float>(*bias) : nullptr;
  float* const out_data = mutable_data<float>(out);
  call_released([&] {
    const std::size_t bytes =
        kernels::gemm_int8_scratch_bytes(shape, static_cast<std::size_t>(lanes()));
    return kernels::gemm_int8(x_data, weight_data, scales_data, bias_data, out_data, shape,
                              thread_scratch(bytes), bytes, kPool);
  });
}

std::pair<py::array, py::array> pack_gemm_int8(const py::array& weight) {
  check_array("weight", weight, false, false);
  check_dimensions("weight", weight, {"out_features", "in_features"});
  const std::int64_t outputs = weight.shape(0), inputs = weight.shape(1);
  const std::int64_t panels = (outputs + 15) / 16;
  py::array_t<std::int8_t> packed({panels, (inputs + 7) / 8, std::int64_t{16}, std::int64_t{8}});
  py::array_t<float> scales(panels * 16);
  const float* const from = data<float>(weight);
  std::int8_t* const to = packed.mutable_data();
  float* const to_scales = scales.mutable_data();
  call_released([&] { return kernels::pack_gemm_int8(from, inputs, outputs, to, to_scales); });
  return {packed, scales};
}

}  // namespace

void register_gemm_int8(py::module_& m) {
  m.def("gemm_int8", &gemm_int8, py::arg("x").noconvert(), py::arg("weight").noconvert(),
        py::arg("scales").noconvert(), py::arg("out").noconvert(), py::arg("bias") = py::none(),
        "Writes x weight^T + bias to out, the weight in 8 bits, x taken to 8 bits row by row.");
  m.def("pack_gemm_int8", &pack_gemm_int8, py::arg("weight").noconvert(),
        "Quantises and packs weights [out_features, in_features]: (packed, scales).");
}

}  // namespace mobilevd::bindings
