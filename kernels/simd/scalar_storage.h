#pragma once

#include "simd/half_convert.h"

// Storage types for the scalar references. In an unnamed namespace, as all code of a single ISA.
namespace mobilevd::kernels {
namespace {

inline float widen(float x) { return x; }
inline float widen(Half x) { return half_to_float(x); }
inline void narrow(float x, float* to) { *to = x; }
inline void narrow(float x, Half* to) { *to = float_to_half(x); }

}  // namespace
}  // namespace mobilevd::kernels
