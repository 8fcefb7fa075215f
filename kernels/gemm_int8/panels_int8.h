#pragma once

#include "gemm/panels.h"

namespace mobilevd::kernels {

/// Inputs that lie together in packed int8 weights, [ceil(n/16)][ceil(k/8)][16][8]: what i8mm
/// multiplies at once; two groups of four for DotProd and VNNI; a vector of 16-bit products for
/// plain NEON.
constexpr int kInt8Group = 8;

/// Rows whose largest value is below this are zero: 127 over it would leave float32.
constexpr float kLeastRowMaximum = 0x1p-100f;

}  // namespace mobilevd::kernels
