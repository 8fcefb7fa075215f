#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>

#include "bindings/kernel_arrays.h"
#include "mobilevd/kernels/conv.h"

// What the convolutions' bindings share, of floats and of 8 bits.
namespace mobilevd::bindings {

using MaybeArray = std::optional<pybind11::array>;
using MaybeName = std::optional<std::string>;

/// ValueError for a name that is none's.
inline kernels::ConvActivation conv_activation(const MaybeName& name) {
  kernels::ConvActivation activation = kernels::ConvActivation::kNone;
  if (!name || kernels::conv_activation_of(*name, &activation)) return activation;
  throw pybind11::value_error("activation: expected None, 'silu' or 'relu', got '" + *name + "'");
}

/// TypeError or ValueError unless all but x and the weight fits.
inline void check_conv_arrays(const pybind11::array& x, std::int64_t out_channels,
                              const MaybeArray& bias, const MaybeArray& residual,
                              const pybind11::array& out,
                              std::initializer_list<std::int64_t> out_sizes) {
  check_array("out", out, true);
  check_dtype("out", out, "x", x);
  if (out_channels < 1) {
    throw pybind11::value_error("out_channels: expected at least 1, got " +
                                std::to_string(out_channels));
  }
  check_sizes("out", out, out_sizes, "the shape of the result =");
  if (bias) {
    check_array("bias", *bias, false, false);
    check_sizes("bias", *bias, {out_channels}, "[out_channels] =");
  }
  if (residual) {
    check_array("residual", *residual, false);
    check_dtype("residual", *residual, "x", x);
    check_sizes("residual", *residual, out_sizes, "the shape of the result =");
  }
}

}  // namespace mobilevd::bindings
