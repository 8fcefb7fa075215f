#pragma once

#include <cstddef>
#include <cstdint>

namespace mobilevd::kernels {

struct GemmInt8Task {
  const float* x;
  const std::int8_t* packed;
  const float* scales;
  const float* bias;  ///< or null
  float* out;
  int inputs;
  int outputs;
};

/// Some rows of out and some panels of 16 of its columns.
struct GemmInt8Part {
  std::size_t first;
  int rows;
  int panel_begin, panel_end;
};

/// `row_scales` has room for the part's rows and kInt8PaddingRows more, `packed` for as many rows
/// of int8 inputs, rounded up to groups of 8.
using GemmInt8Fn = void (*)(const GemmInt8Task&, const GemmInt8Part&, float* row_scales,
                            std::int8_t* packed);

struct GemmInt8Variant {
  GemmInt8Fn rows;
};

extern const GemmInt8Variant kGemmInt8Scalar;
extern const GemmInt8Variant kGemmInt8Avx2;
extern const GemmInt8Variant kGemmInt8Avx512Vnni;
extern const GemmInt8Variant kGemmInt8Neon;
extern const GemmInt8Variant kGemmInt8NeonDotprod;
extern const GemmInt8Variant kGemmInt8NeonI8mm;

}  // namespace mobilevd::kernels
