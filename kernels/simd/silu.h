#pragma once

#include "simd/exp.h"

// Include only after an ISA's header, in that ISA's translation unit.
namespace mobilevd::kernels {
namespace {

/// x * sigmoid(x), a few ulp of error; NaN for NaN and for -Inf (as x / (1 + exp(-x)) has it).
template <typename D>
inline typename D::Vec silu(typename D::Vec x) {
  // exp(-|x|) never overflows: sigmoid(x) = 1 / (1 + e) for x >= 0 and e / (1 + e) below.
  const auto one = D::set(1.0f);
  const auto e = exp_nonpositive<D>(D::sub(D::zero(), D::abs(x)));
  return D::div(D::mul(x, D::where_negative(x, e, one)), D::add(one, e));
}

}  // namespace
}  // namespace mobilevd::kernels
