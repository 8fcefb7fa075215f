#pragma once

// Include only after an ISA's header, in that ISA's translation unit.
namespace mobilevd::kernels {
namespace {

/// silu(x) = x / (1 + exp(-x)): a few ulp down to x = -88, less than 1e-36 in size below; NaN for
/// NaN.
///
/// exp(-x) = 2^n p(f) with n + f = -x log2(e), |f| <= 1/2: log2(e) in two parts, p of degree 6 with
/// minimax coefficients (Remez with p(0) = 1, relative error 2.6e-9). Not exp_nonpositive(-|x|):
/// for both signs of the exponent no numerator has to be chosen, and the 1 is added by the fma that
/// scales by 2^n.
template <typename D>
inline typename D::Vec silu(typename D::Vec x) {
  constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  constexpr float kLog2eHigh = 1.44269502162933349609375f;
  constexpr float kLog2eLow = 1.92596299112661746887e-8f;
  const auto one = D::set(1.0f);
  // A NaN passes both limits: max and min give the second operand where one is NaN.
  x = D::max(D::set(-88.0f), x);            // exp(88) is finite
  const auto y = D::min(D::set(87.0f), x);  // n > -127; exp(-87) is nothing beside 1
  const auto t = D::fma(y, D::set(-kLog2eHigh), D::set(kMagic));
  const auto minus_n = D::sub(D::set(kMagic), t);
  auto f = D::fma(y, D::set(-kLog2eHigh), minus_n);
  f = D::fma(y, D::set(-kLog2eLow), f);
  auto p = D::set(1.5594678e-4f);
  p = D::fma(p, f, D::set(1.3406644e-3f));
  p = D::fma(p, f, D::set(9.617693e-3f));
  p = D::fma(p, f, D::set(5.5503106e-2f));
  p = D::fma(p, f, D::set(0.24022653f));
  p = D::fma(p, f, D::set(0.69314721f));
  p = D::fma(p, f, one);
  return D::div(x, D::fma(p, D::exp2_from_magic(t), one));
}

}  // namespace
}  // namespace mobilevd::kernels
