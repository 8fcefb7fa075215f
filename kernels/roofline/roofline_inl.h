#pragma once

#include <cstddef>

#include "roofline/roofline_internal.h"

// Include only after an ISA's header, in that ISA's translation unit.
namespace mobilevd::kernels {
namespace {

template <typename D>
double fma_rounds(std::size_t rounds, float* sink) {
  constexpr int kChains = 12;  // two ports of four cycles need eight
  typename D::Vec acc[kChains];
  for (auto& x : acc) x = D::set(*sink);
  const auto a = D::set(0.999f), b = D::set(0.001f);
  for (std::size_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) acc[c] = D::fma(acc[c], a, b);
  }
  for (int c = 1; c < kChains; ++c) acc[0] = D::add(acc[0], acc[c]);
  *sink = D::reduce_add(acc[0]);
  return 2.0 * kChains * D::kLanes * static_cast<double>(rounds);
}

template <typename D>
void sum_arrays(const float* a, const float* b, const float* c, float* out, std::size_t begin,
                std::size_t end) {
  for (std::size_t i = begin; i < end; i += D::kLanes) {
    D::stream(out + i, D::add(D::load(a + i), D::add(D::load(b + i), D::load(c + i))));
  }
  D::stream_fence();
}

}  // namespace
}  // namespace mobilevd::kernels
