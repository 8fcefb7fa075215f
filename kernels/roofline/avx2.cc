// AVX2 + FMA. Compiled with -mavx2 -mfma -mf16c; called only where the CPU has them.
#include "simd/avx2.h"

#include "roofline/roofline_internal.h"

namespace mobilevd::kernels {
namespace {

double fma(std::size_t rounds, float* sink) {
  constexpr int kChains = 12;  // two ports of four cycles need eight
  Avx2::Vec acc[kChains];
  for (auto& x : acc) x = Avx2::set(*sink);
  const auto a = Avx2::set(0.999f), b = Avx2::set(0.001f);
  for (std::size_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) acc[c] = Avx2::fma(acc[c], a, b);
  }
  for (int c = 1; c < kChains; ++c) acc[0] = Avx2::add(acc[0], acc[c]);
  float out[8];
  Avx2::store(out, acc[0]);
  *sink = out[0];
  return 2.0 * kChains * Avx2::kLanes * static_cast<double>(rounds);
}

void sum(const float* a, const float* b, const float* c, float* out, std::size_t begin,
         std::size_t end) {
  for (std::size_t i = begin; i < end; i += 8) {
    Avx2::stream(out + i,
                 Avx2::add(Avx2::load(a + i), Avx2::add(Avx2::load(b + i), Avx2::load(c + i))));
  }
  Avx2::stream_fence();
}

}  // namespace

const RooflineVariant kRooflineAvx2 = {fma, sum};

}  // namespace mobilevd::kernels
