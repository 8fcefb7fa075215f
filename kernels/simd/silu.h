#pragma once

#include "simd/exp.h"

// Include only after an ISA's header, in that ISA's translation unit.
namespace mobilevd::kernels {
namespace {

/// x * sigmoid(x), by exp(-|x|), which cannot overflow: sigmoid(x) = 1 / (1 + e) for x >= 0, else
/// e / (1 + e).
template <typename D>
inline typename D::Vec silu(typename D::Vec x) {
  const auto e = exp_nonpositive<D>(D::sub(D::zero(), D::abs(x)));
  const auto one = D::set(1.0f);
  return D::mul(x, D::div(D::where_negative(x, e, one), D::add(one, e)));
}

}  // namespace
}  // namespace mobilevd::kernels
