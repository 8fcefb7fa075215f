// mobilevd._kernels.conv2d_3x3_int8, temporal_conv_int8, pack_conv_int8.
#include <pybind11/stl.h>

#include <cstdint>
#include <string>
#include <utility>

#include "bindings/conv_arrays.h"
#include "bindings/kernels.h"
#include "bindings/scratch.h"
#include "mobilevd/kernels/conv_int8.h"

namespace py = pybind11;

namespace mobilevd::bindings {
namespace {

using kernels::ConvEpilogue;
using kernels::Int8Range;

/// The arguments of both, as Python gives them.
struct Arguments {
  const py::array &x, &weight, &scales;
  py::array& out;
  std::int64_t out_channels;
  float scale;
  std::int32_t zero_point;
  const MaybeArray &bias, &residual;
  const MaybeName& activation;
};

void check(const Arguments& a, int taps, std::initializer_list<std::int64_t> out_sizes) {
  check_int8_array("weight", a.weight);
  check_array("scales", a.scales, false, false);
  check_conv_arrays(a.x, a.out_channels, a.bias, a.residual, a.out, out_sizes);
  const std::int64_t panels = (a.out_channels + 15) / 16;
  check_sizes("weight", a.weight, {panels, taps, (a.x.shape(3) + 7) / 8, 16, 8},
              "the packed layout [ceil(out_channels / 16), taps, ceil(in_channels / 8), 16, 8] =");
  check_sizes("scales", a.scales, {panels * 16}, "[ceil(out_channels / 16) * 16] =");
}

/// Calls `kernel` for `shape`, the lock released.
template <typename Kernel, typename ScratchBytes, typename Shape>
void call(const Arguments& a, Kernel kernel, ScratchBytes scratch_bytes, const Shape& shape) {
  ConvEpilogue<float> epilogue;
  if (a.bias) epilogue.bias = data<float>(*a.bias);
  if (a.residual) epilogue.residual = data<float>(*a.residual);
  epilogue.activation = conv_activation(a.activation);
  const float *const x = data<float>(a.x), *const scales = data<float>(a.scales);
  const auto* const weight = data<std::int8_t>(a.weight);
  float* const out = mutable_data<float>(a.out);
  const Int8Range range{a.scale, a.zero_point};
  call_released([&] {
    const int count = lanes();
    void* const scratch = thread_scratch(scratch_bytes(shape, count));
    return kernel(x, weight, scales, out, shape, range, epilogue, scratch, count, kPool);
  });
}

void conv2d_3x3_int8(const py::array& x, const py::array& weight, const py::array& scales,
                     py::array out, std::int64_t out_channels, float scale, std::int32_t zero_point,
                     const MaybeArray& bias, const MaybeArray& residual,
                     const MaybeName& activation, std::int64_t stride) {
  check_array("x", x, false, false);
  check_dimensions("x", x, {"batch", "height", "width", "in_channels"});
  if (stride != 1 && stride != 2) {
    throw py::value_error("stride: expected 1 or 2, got " + std::to_string(stride));
  }
  const Arguments a{x,     weight,     scales, out,      out_channels,
                    scale, zero_point, bias,   residual, activation};
  check(a, 9,
        {x.shape(0), (x.shape(1) + stride - 1) / stride, (x.shape(2) + stride - 1) / stride,
         out_channels});
  const kernels::Conv2dShape shape{x.shape(0), x.shape(1),   x.shape(2),
                                   x.shape(3), out_channels, stride};
  call(a, kernels::conv2d_3x3_int8, kernels::conv2d_3x3_int8_scratch_bytes, shape);
}

void temporal_conv_int8(const py::array& x, const py::array& weight, const py::array& scales,
                        py::array out, std::int64_t out_channels, float scale,
                        std::int32_t zero_point, const MaybeArray& bias, const MaybeArray& residual,
                        const MaybeName& activation) {
  check_array("x", x, false, false);
  check_dimensions("x", x, {"batch", "frames", "positions", "in_channels"});
  const Arguments a{x,     weight,     scales, out,      out_channels,
                    scale, zero_point, bias,   residual, activation};
  check(a, 3, {x.shape(0), x.shape(1), x.shape(2), out_channels});
  const kernels::TemporalConvShape shape{x.shape(0), x.shape(1), x.shape(2), x.shape(3),
                                         out_channels};
  call(a, kernels::temporal_conv_int8, kernels::temporal_conv_int8_scratch_bytes, shape);
}

std::pair<py::array, py::array> pack_conv_int8(const py::array& weight) {
  check_array("weight", weight, false, false);
  check_dimensions("weight", weight, {"out_channels", "in_channels", "taps"});
  const std::int64_t out_channels = weight.shape(0), in_channels = weight.shape(1);
  const auto taps = static_cast<int>(weight.shape(2));
  const std::int64_t panels = (out_channels + 15) / 16;
  py::array_t<std::int8_t> packed(
      {panels, std::int64_t{taps}, (in_channels + 7) / 8, std::int64_t{16}, std::int64_t{8}});
  py::array_t<float> scales(panels * 16);
  const float* const from = data<float>(weight);
  std::int8_t* const to = packed.mutable_data();
  float* const to_scales = scales.mutable_data();
  call_released([&] {
    return kernels::pack_conv_int8(from, to, to_scales, in_channels, out_channels, taps);
  });
  return {packed, scales};
}

}  // namespace

void register_conv_int8(py::module_& m) {
  m.def("conv2d_3x3_int8", &conv2d_3x3_int8, py::arg("x").noconvert(),
        py::arg("weight").noconvert(), py::arg("scales").noconvert(), py::arg("out").noconvert(),
        py::arg("out_channels"), py::arg("scale"), py::arg("zero_point"),
        py::arg("bias") = py::none(), py::arg("residual") = py::none(),
        py::arg("activation") = py::none(), py::arg("stride") = 1,
        "Writes the 3x3 convolution of channels-last x, both in 8 bits, to out.");
  m.def("temporal_conv_int8", &temporal_conv_int8, py::arg("x").noconvert(),
        py::arg("weight").noconvert(), py::arg("scales").noconvert(), py::arg("out").noconvert(),
        py::arg("out_channels"), py::arg("scale"), py::arg("zero_point"),
        py::arg("bias") = py::none(), py::arg("residual") = py::none(),
        py::arg("activation") = py::none(),
        "Writes the convolution of x over three frames, both in 8 bits, to out.");
  m.def("pack_conv_int8", &pack_conv_int8, py::arg("weight").noconvert(),
        "Quantises and packs weights [out_channels, in_channels, taps]: (packed, scales).");
}

}  // namespace mobilevd::bindings
