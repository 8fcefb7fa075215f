#pragma once

// Include only after an ISA's header, in that ISA's translation unit.
namespace mobilevd::kernels {
namespace {

/// exp(x) for x <= 0, as a softmax needs it: below 1 ulp of error down to x = -87.3, exactly 0
/// below that (no denormals), NaN for NaN.
///
/// x = n ln2 + r with |r| <= ln2/2, ln2 in two parts (Cody and Waite), exp(r) by a polynomial of
/// degree 6 with minimax coefficients (Remez on [-ln2/2, ln2/2], relative error 3e-9).
template <typename D>
inline typename D::Vec exp_nonpositive(typename D::Vec x) {
  constexpr float kLowest = -87.33654f;  // ln(2^-126)
  constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  constexpr float kLog2e = 1.44269504088896341f;
  constexpr float kLn2High = 0.693359375f;  // 9 bits: n * kLn2High is exact
  constexpr float kLn2Low = -2.12194440e-4f;
  const auto t = D::fma(x, D::set(kLog2e), D::set(kMagic));
  const auto n = D::sub(t, D::set(kMagic));
  auto r = D::fma(n, D::set(-kLn2High), x);
  r = D::fma(n, D::set(-kLn2Low), r);
  auto p = D::set(0.001381461275741458f);
  p = D::fma(p, r, D::set(0.008368710055947304f));
  p = D::fma(p, r, D::set(0.04166838899254799f));
  p = D::fma(p, r, D::set(0.1666652113199234f));
  p = D::fma(p, r, D::set(0.4999999403953552f));
  p = D::fma(p, r, D::set(1.0f));
  p = D::fma(p, r, D::set(1.0f));
  return D::zero_where_less(x, D::set(kLowest), D::mul(p, D::exp2_from_magic(t)));
}

/// 2^x for x <= 0: within 2 ulp (1.6e-7) down to x = -126, and 2^-126 below that, which a softmax
/// cannot tell from 0 and which spares a comparison; NaN for NaN. 13 operations.
///
/// x = n + r with |r| <= 1/2, 2^r by a polynomial of degree 5 (minimax with 2^0 = 1 exactly).
template <typename D>
inline typename D::Vec exp2_nonpositive(typename D::Vec x) {
  constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  x = D::max(D::set(-126.0f), x);        // in this order NaN stays
  const auto t = D::add(x, D::set(kMagic));
  const auto r = D::sub(x, D::sub(t, D::set(kMagic)));
  auto p = D::set(0.0013264726f);
  p = D::fma(p, r, D::set(0.009671514f));
  p = D::fma(p, r, D::set(0.055507332f));
  p = D::fma(p, r, D::set(0.24022244f));
  p = D::fma(p, r, D::set(0.693147f));
  p = D::fma(p, r, D::set(1.0f));
  return D::mul(p, D::exp2_from_magic(t));
}

}  // namespace
}  // namespace mobilevd::kernels
