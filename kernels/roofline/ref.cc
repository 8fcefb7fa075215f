// The scalar bounds: whatever the compiler makes of plain loops.
#include "roofline/roofline_internal.h"

namespace mobilevd::kernels {
namespace {

double fma(std::size_t rounds, float* sink) {
  constexpr int kChains = 32;
  float acc[kChains];
  for (float& x : acc) x = *sink;
  for (std::size_t i = 0; i < rounds; ++i) {
    for (float& x : acc) x = x * 0.999f + 0.001f;
  }
  float total = 0;
  for (const float x : acc) total += x;
  *sink = total;
  return 2.0 * kChains * static_cast<double>(rounds);
}

void sum(const float* a, const float* b, const float* c, float* out, std::size_t begin,
         std::size_t end) {
  for (std::size_t i = begin; i < end; ++i) out[i] = a[i] + (b[i] + c[i]);
}

}  // namespace

const RooflineVariant kRooflineScalar = {fma, sum};

}  // namespace mobilevd::kernels
