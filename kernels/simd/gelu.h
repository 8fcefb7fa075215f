#pragma once

// Include only after an ISA's header, in that ISA's translation unit.
namespace mobilevd::kernels {
namespace {

/// gelu(x) = x Phi(x) with Phi(x) = (1 + erf(x / sqrt 2)) / 2, the exact GELU of torch and
/// diffusers (arXiv 1606.08415). Phi is off by at most 7.6e-8 (erf by 1.6e-7), for x < 0 gelu
/// by 2.8e-7; NaN for NaN and, as x Phi(x) gives, for -Inf.
///
/// Phi(-|x|) = 1/2 - |x| p(t), t = 2 x^2 / 5.375^2 - 1, up to |x| = 5.375 and 0 from there on,
/// where it is 3.8e-8. p has degree 15: minimax coefficients for |x| p(t) (iteratively reweighted
/// least squares on Chebyshev polynomials, maximal error 5.0e-9 before rounding). No division and
/// no exp, which AArch64 cores are slow at; centred on t so that Horner's scheme loses no digits.
template <typename D>
inline typename D::Vec gelu(typename D::Vec x) {
  constexpr float kBound = 5.375f;
  const auto size = D::abs(x);
  const auto t = D::fma(D::mul(x, D::set(2 / (kBound * kBound))), x, D::set(-1.0f));
  auto p = D::set(-0.00015290945884771645f);
  p = D::fma(p, t, D::set(0.00042363055399619043f));
  p = D::fma(p, t, D::set(-0.00041308975778520107f));
  p = D::fma(p, t, D::set(0.000639821810182184f));
  p = D::fma(p, t, D::set(-0.0019355665426701307f));
  p = D::fma(p, t, D::set(0.0037749609909951687f));
  p = D::fma(p, t, D::set(-0.005938821937888861f));
  p = D::fma(p, t, D::set(0.009288114495575428f));
  p = D::fma(p, t, D::set(-0.013986143283545971f));
  p = D::fma(p, t, D::set(0.01952243782579899f));
  p = D::fma(p, t, D::set(-0.02560095302760601f));
  p = D::fma(p, t, D::set(0.03210688382387161f));
  p = D::fma(p, t, D::set(-0.03930971026420593f));
  p = D::fma(p, t, D::set(0.04869113117456436f));
  p = D::fma(p, t, D::set(-0.06562230736017227f));
  p = D::fma(p, t, D::set(0.13153576850891113f));
  const auto half = D::set(0.5f);
  const auto tail =
      D::zero_where_less(D::set(kBound), size, D::fma(D::sub(D::zero(), size), p, half));
  return D::mul(x, D::where_negative(x, tail, D::sub(D::set(1.0f), tail)));
}

}  // namespace
}  // namespace mobilevd::kernels
