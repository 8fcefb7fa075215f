#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "gemm/panels.h"
#include "simd/avx2.h"
#include "simd/unroll.h"

// Include only from translation units compiled with AVX2's flags.
namespace mobilevd::kernels {
namespace {

constexpr int kInt16Rows = 6;

/// 8 numbers, as the instruction has them: between these and __m256i (4 of 64 bits) GCC 12 would
/// copy every sum in every round, and spill.
typedef std::int32_t Int16Sums __attribute__((vector_size(32)));

/// Adds `pairs` pairs of products to sums [kRows][16] (or, `first`, writes them), modulo 2^32: a
/// has rows of kRowStride 16-bit numbers, b is [pair][16][2].
template <int kRows, int kRowStride>
[[gnu::noinline]] void gemm_int16_block(const std::int16_t* a, const std::int16_t* b, int pairs,
                                        std::int32_t* sums, bool first) {
  Int16Sums acc[kRows][2];
  for_each_index<kRows>(
      [&](auto i) { for_each_index<2>([&](auto v) { acc[i][v] = Int16Sums{}; }); });
#pragma GCC unroll 4
  for (int p = 0; p < pairs; ++p, a += 2, b += 2 * kPanelColumns) {
    const __m256i b0 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b));
    const __m256i b1 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b + kPanelColumns));
    for_each_index<kRows>([&](auto i) {
      std::int32_t pair;
      std::memcpy(&pair, a + i * kRowStride, sizeof(pair));
      const __m256i row = _mm256_set1_epi32(pair);
      acc[i][0] += (Int16Sums)_mm256_madd_epi16(row, b0);
      acc[i][1] += (Int16Sums)_mm256_madd_epi16(row, b1);
    });
  }
  for_each_index<kRows>([&](auto i) {
    for_each_index<2>([&](auto v) {
      auto* at = reinterpret_cast<__m256i*>(sums + i * kPanelColumns + v * 8);
      if (!first) acc[i][v] += (Int16Sums)_mm256_loadu_si256(at);
      _mm256_storeu_si256(at, (__m256i)acc[i][v]);
    });
  });
}

}  // namespace
}  // namespace mobilevd::kernels
