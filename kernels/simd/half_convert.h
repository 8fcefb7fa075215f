#pragma once

#include <cstdint>
#include <cstring>

#include "mobilevd/kernels/half.h"

namespace mobilevd::kernels {

/// binary16 -> binary32, exact; NaN stays NaN.
inline float half_to_float(Half h) {
  const std::uint32_t sign = static_cast<std::uint32_t>(h.bits & 0x8000u) << 16;
  const std::uint32_t exponent = (h.bits >> 10) & 0x1Fu, mantissa = h.bits & 0x3FFu;
  float result;
  if (exponent == 0) {  // zero and subnormals: mantissa * 2^-24
    result = static_cast<float>(mantissa) * 5.9604644775390625e-8f;
    return sign ? -result : result;
  }
  const std::uint32_t wide = exponent == 31 ? 255u : exponent + 112u;
  const std::uint32_t bits = sign | (wide << 23) | (mantissa << 13);
  std::memcpy(&result, &bits, sizeof(result));
  return result;
}

/// binary32 -> binary16, round to nearest even; too large gives Inf, NaN a quiet NaN.
inline Half float_to_half(float x) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  const std::uint32_t sign = (bits >> 16) & 0x8000u;
  const std::uint32_t magnitude = bits & 0x7FFFFFFFu;
  const auto make = [sign](std::uint32_t b) { return Half{static_cast<std::uint16_t>(sign | b)}; };
  if (magnitude > 0x7F800000u) return make(0x7E00u | ((magnitude >> 13) & 0x3FFu));
  if (magnitude >= 0x47800000u) return make(0x7C00u);  // >= 2^16
  std::uint32_t shift = 13, mantissa = magnitude;
  std::uint32_t bias = 112u << 10;
  if (magnitude < 0x38800000u) {  // below 2^-14: a subnormal, counted in 2^-24
    const std::uint32_t exponent = magnitude >> 23;
    if (exponent < 102) return make(0);  // below half of the least subnormal
    shift = 126 - exponent;
    mantissa = (magnitude & 0x7FFFFFu) | 0x800000u;
    bias = 0;
  }
  const std::uint32_t half = 1u << (shift - 1), rest = mantissa & ((1u << shift) - 1);
  std::uint32_t result = (mantissa >> shift) - bias;
  if (rest > half || (rest == half && (result & 1u))) ++result;  // may carry into Inf, rightly
  return make(result);
}

}  // namespace mobilevd::kernels
