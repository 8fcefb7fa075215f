// mobilevd._kernels.conv2d_3x3, temporal_conv, pack_conv_weight.
#include <pybind11/stl.h>

#include <cstdint>
#include <optional>
#include <string>

#include "bindings/conv_arrays.h"
#include "bindings/kernel_arrays.h"
#include "bindings/kernels.h"
#include "bindings/scratch.h"
#include "mobilevd/kernels/conv2d.h"
#include "mobilevd/kernels/temporal_conv.h"

namespace py = pybind11;

namespace mobilevd::bindings {
namespace {

using kernels::ConvActivation;

/// The checks of both convolutions: x and out [a, b, c, channels], weight [panels, taps, C_in, 16].
void check_conv(const py::array& x, const py::array& weight, std::int64_t out_channels, int taps,
                const MaybeArray& bias, const MaybeArray& residual, const py::array& out,
                std::initializer_list<std::int64_t> out_sizes) {
  check_array("weight", weight, false);
  if (x.dtype().char_() == kDtype<kernels::Half>) check_dtype("weight", weight, "x", x);
  check_conv_arrays(x, out_channels, bias, residual, out, out_sizes);
  check_sizes("weight", weight, {(out_channels + 15) / 16, taps, x.shape(3), 16},
              "the packed layout [ceil(out_channels / 16), taps, in_channels, 16] =");
}

/// Calls `fn(x, weight, out, epilogue)` with the storage types' pointers, the lock released.
template <typename Fn>
void call_conv(const py::array& x, const py::array& weight, const MaybeArray& bias,
               const MaybeArray& residual, ConvActivation activation, py::array& out, Fn&& fn) {
  const auto call = [&](auto t, auto w) {
    using T = decltype(t);
    using W = decltype(w);
    kernels::ConvEpilogue<T> epilogue;
    if (bias) epilogue.bias = data<float>(*bias);
    if (residual) epilogue.residual = data<T>(*residual);
    epilogue.activation = activation;
    const T* const x_data = data<T>(x);
    const W* const weight_data = data<W>(weight);
    T* const out_data = mutable_data<T>(out);
    call_released([&] { return fn(x_data, weight_data, out_data, epilogue); });
  };
  if (x.dtype().char_() == kDtype<kernels::Half>) return call(kernels::Half{}, kernels::Half{});
  if (weight.dtype().char_() == kDtype<kernels::Half>) return call(float{}, kernels::Half{});
  call(float{}, float{});
}

void conv2d_3x3(const py::array& x, const py::array& weight, py::array out,
                std::int64_t out_channels, const MaybeArray& bias, const MaybeArray& residual,
                const MaybeName& activation, std::int64_t stride) {
  check_array("x", x, false);
  check_dimensions("x", x, {"batch", "height", "width", "in_channels"});
  if (stride != 1 && stride != 2) {
    throw py::value_error("stride: expected 1 or 2, got " + std::to_string(stride));
  }
  check_conv(x, weight, out_channels, 9, bias, residual, out,
             {x.shape(0), (x.shape(1) + stride - 1) / stride, (x.shape(2) + stride - 1) / stride,
              out_channels});
  const kernels::Conv2dShape shape{x.shape(0), x.shape(1),   x.shape(2),
                                   x.shape(3), out_channels, stride};
  const int count = lanes();
  call_conv(x, weight, bias, residual, conv_activation(activation), out,
            [&](auto* in, auto* w, auto* to, const auto& epilogue) {
              void* scratch = thread_scratch(kernels::conv2d_3x3_scratch_bytes(shape, count));
              return kernels::conv2d_3x3(in, w, to, shape, epilogue, scratch, count, kPool);
            });
}

void temporal_conv(const py::array& x, const py::array& weight, py::array out,
                   std::int64_t out_channels, const MaybeArray& bias, const MaybeArray& residual,
                   const MaybeName& activation) {
  check_array("x", x, false);
  check_dimensions("x", x, {"batch", "frames", "positions", "in_channels"});
  check_conv(x, weight, out_channels, 3, bias, residual, out,
             {x.shape(0), x.shape(1), x.shape(2), out_channels});
  const kernels::TemporalConvShape shape{x.shape(0), x.shape(1), x.shape(2), x.shape(3),
                                         out_channels};
  const int count = lanes();
  call_conv(x, weight, bias, residual, conv_activation(activation), out,
            [&](auto* in, auto* w, auto* to, const auto& epilogue) {
              void* scratch = thread_scratch(kernels::temporal_conv_scratch_bytes(shape, count));
              return kernels::temporal_conv(in, w, to, shape, epilogue, scratch, count, kPool);
            });
}

template <typename W>
py::array pack(const py::array& weight) {
  const std::int64_t out_channels = weight.shape(0), in_channels = weight.shape(1);
  const auto taps = static_cast<int>(weight.shape(2));
  py::array packed(weight.dtype(),
                   std::vector<py::ssize_t>{(out_channels + 15) / 16, taps, in_channels, 16});
  const W* const from = data<W>(weight);
  W* const to = mutable_data<W>(packed);
  call_released(
      [&] { return kernels::pack_conv_weight(from, to, in_channels, out_channels, taps); });
  return packed;
}

py::array pack_conv_weight(const py::array& weight) {
  check_array("weight", weight, false);
  check_dimensions("weight", weight, {"out_channels", "in_channels", "taps"});
  return weight.dtype().char_() == kDtype<float> ? pack<float>(weight)
                                                 : pack<kernels::Half>(weight);
}

}  // namespace

void register_conv(py::module_& m) {
  m.def("conv2d_3x3", &conv2d_3x3, py::arg("x").noconvert(), py::arg("weight").noconvert(),
        py::arg("out").noconvert(), py::arg("out_channels"), py::arg("bias") = py::none(),
        py::arg("residual") = py::none(), py::arg("activation") = py::none(), py::arg("stride") = 1,
        "Writes the 3x3 convolution of channels-last x with packed weights to out.");
  m.def("temporal_conv", &temporal_conv, py::arg("x").noconvert(), py::arg("weight").noconvert(),
        py::arg("out").noconvert(), py::arg("out_channels"), py::arg("bias") = py::none(),
        py::arg("residual") = py::none(), py::arg("activation") = py::none(),
        "Writes the convolution of x over three frames with packed weights to out.");
  m.def("pack_conv_weight", &pack_conv_weight, py::arg("weight").noconvert(),
        "Packs weights [out_channels, in_channels, taps].");
}

}  // namespace mobilevd::bindings
