#pragma once

namespace mobilevd::kernels {

/// Count, mean and sum of squared deviations from the mean.
struct Moments {
  double count;
  double mean;
  double m2;
};

namespace {

/// Of both sets together (Chan, Golub, LeVeque 1983). Its last bits depend on the order: keep it
/// fixed.
inline Moments combine(const Moments& a, const Moments& b) {
  if (a.count == 0) return b;
  const double count = a.count + b.count, share = b.count / count, delta = b.mean - a.mean;
  return {count, a.mean + delta * share, a.m2 + b.m2 + delta * delta * (a.count * share)};
}

}  // namespace
}  // namespace mobilevd::kernels
