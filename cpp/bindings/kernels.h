#pragma once

#include <pybind11/pybind11.h>

namespace mobilevd::bindings {

// One per kernel, each in kernels_<kernel>.cc.
void register_conv(pybind11::module_& m);
void register_conv_int8(pybind11::module_& m);
void register_gemm_int8(pybind11::module_& m);
void register_group_norm_silu(pybind11::module_& m);
void register_spatial_attention(pybind11::module_& m);
void register_linear(pybind11::module_& m);
void register_temporal_attention(pybind11::module_& m);
void register_temporal_attention_block(pybind11::module_& m);

}  // namespace mobilevd::bindings
