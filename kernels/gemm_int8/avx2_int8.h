#pragma once

#include <cstddef>
#include <cstdint>

#include "gemm_int8/panels_int8.h"
#include "simd/avx2.h"
#include "simd/unroll.h"

// Include only from translation units compiled with AVX2's flags.
namespace mobilevd::kernels {
namespace {

/// |a| times the weights with a's sign: vpmaddubsw wants one operand unsigned, and with
/// activations within -128..127 and weights within +-127 its sum of two products, at most 32512,
/// does not saturate. A vector holds 4 columns of 8 inputs, hence two sums a column, which are
/// added at the end.
struct Avx2Int8 {
  static constexpr int kRows = 2;  // three need more than 16 registers
  static constexpr std::uint64_t kFlip = 0;
  struct Offsets {};
  /// 8 numbers, as the instruction has them: between these and __m256i (4 of 64 bits) GCC 12 would
  /// copy every sum in every round, and spill.
  typedef std::int32_t Sums __attribute__((vector_size(32)));
  static Offsets panel_offsets(const std::int8_t*, std::ptrdiff_t) { return {}; }

  static void quantise16(const __m256 (&v)[2], std::int8_t* to) {
    const __m256i words = _mm256_permute4x64_epi64(
        _mm256_packs_epi32(_mm256_cvtps_epi32(v[0]), _mm256_cvtps_epi32(v[1])), 0xD8);
    _mm_storeu_si128(
        reinterpret_cast<__m128i*>(to),
        _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
  }

  template <int kCount>
  [[gnu::always_inline]] static void multiply(const std::int8_t* a, const std::int8_t* b,
                                              std::ptrdiff_t groups, const Offsets&,
                                              __m256 (&sums)[kCount][2]) {
    Sums acc[kCount][4];
    for_each_index<kCount>([&](auto i) { for_each_index<4>([&](auto v) { acc[i][v] = Sums{}; }); });
    const __m256i ones = _mm256_set1_epi16(1);
    for (std::ptrdiff_t g = 0; g < groups; ++g, a += kRows * kInt8Group, b += 128) {
      for_each_index<kCount>([&](auto i) {
        const __m256i row = _mm256_broadcastq_epi64(
            _mm_loadl_epi64(reinterpret_cast<const __m128i*>(a + i * kInt8Group)));
        const __m256i magnitude = _mm256_abs_epi8(row);
        for_each_index<4>([&](auto v) {
          const __m256i w = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b) + v);
          const __m256i pairs = _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(w, row));
          acc[i][v] += (Sums)_mm256_madd_epi16(pairs, ones);
        });
      });
    }
    for_each_index<kCount>([&](auto i) {
      for_each_index<2>([&](auto v) {  // vphaddd leaves columns 0 1 4 5 | 2 3 6 7
        const __m256i mixed = _mm256_hadd_epi32((__m256i)acc[i][2 * v], (__m256i)acc[i][2 * v + 1]);
        sums[i][v] = _mm256_cvtepi32_ps(_mm256_permute4x64_epi64(mixed, 0xD8));
      });
    });
  }
};

}  // namespace
}  // namespace mobilevd::kernels
