#pragma once

#include <cstddef>

namespace mobilevd::kernels {

struct RooflineVariant {
  /// `rounds` rounds of independent multiply-adds; returns their number of FLOPs and stores a
  /// result that depends on all of them.
  double (*fma)(std::size_t rounds, float* sink);
  /// out[i] = a[i] + b[i] + c[i] for i in [begin, end), multiples of 16.
  void (*sum)(const float* a, const float* b, const float* c, float* out, std::size_t begin,
              std::size_t end);
};

extern const RooflineVariant kRooflineScalar;
extern const RooflineVariant kRooflineAvx2;
extern const RooflineVariant kRooflineAvx512;
extern const RooflineVariant kRooflineNeon;

}  // namespace mobilevd::kernels
