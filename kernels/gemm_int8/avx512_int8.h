#pragma once

#include <cstddef>
#include <cstdint>

#include "gemm_int8/avx2_int8.h"
#include "simd/avx512.h"

// Include only from translation units compiled with AVX-512's flags.
namespace mobilevd::kernels {
namespace {

inline void avx512_quantise16(const __m512 (&v)[1], std::int8_t* to) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(v[0])));
}

/// AVX-512 without VNNI: it has no vpsignb of its own, so AVX2's sums.
struct Avx512Int8 {
  static constexpr int kRows = Avx2Sums::kRows;
  static constexpr std::uint64_t kFlip = 0;
  struct Offsets {};
  static Offsets panel_offsets(const std::int8_t*, std::ptrdiff_t) { return {}; }
  static void quantise16(const __m512 (&v)[1], std::int8_t* to) { avx512_quantise16(v, to); }

  template <int kCount>
  [[gnu::always_inline]] static void multiply(const std::int8_t* a, const std::int8_t* b,
                                              std::ptrdiff_t groups, const Offsets&,
                                              __m512 (&sums)[kCount][1]) {
    __m256i s[kCount][2];
    Avx2Sums::multiply<kCount>(a, b, groups, s);
#pragma GCC unroll 4
    for (int i = 0; i < kCount; ++i) {
      const __m512i both = _mm512_inserti64x4(_mm512_castsi256_si512(s[i][0]), s[i][1], 1);
      sums[i][0] = _mm512_cvtepi32_ps(both);
    }
  }
};

#if defined(__AVX512VNNI__)
/// vpdpbusd wants the activations unsigned: they are packed with 128 added (the sign bit flipped),
/// and the sums start from -128 times the column's sum of weights. A vector holds 8 columns of 8
/// inputs, hence two sums a column, which are added at the end.
struct VnniInt8 {
  static constexpr int kRows = 14;
  static constexpr std::uint64_t kFlip = 0x8080808080808080u;
  struct Offsets {
    __m512i half[2];
  };

  static __m512i load(const std::int8_t* p) { return _mm512_loadu_si512(p); }

  static Offsets panel_offsets(const std::int8_t* b, std::ptrdiff_t groups) {
    const __m512i ones = _mm512_set1_epi8(1);
    __m512i low = _mm512_setzero_si512(), high = low;
    for (std::ptrdiff_t g = 0; g < groups; ++g, b += 128) {
      low = _mm512_dpbusd_epi32(low, ones, load(b));
      high = _mm512_dpbusd_epi32(high, ones, load(b + 64));
    }
    const __m512i zero = _mm512_setzero_si512();
    return {{_mm512_sub_epi32(zero, _mm512_slli_epi32(low, 7)),
             _mm512_sub_epi32(zero, _mm512_slli_epi32(high, 7))}};
  }

  static void quantise16(const __m512 (&v)[1], std::int8_t* to) { avx512_quantise16(v, to); }

  template <int kCount>
  [[gnu::always_inline]] static void multiply(const std::int8_t* a, const std::int8_t* b,
                                              std::ptrdiff_t groups, const Offsets& offsets,
                                              __m512 (&sums)[kCount][1]) {
    __m512i acc[kCount][2];
#pragma GCC unroll 16
    for (int i = 0; i < kCount; ++i) {
      acc[i][0] = offsets.half[0];
      acc[i][1] = offsets.half[1];
    }
    for (std::ptrdiff_t g = 0; g < groups; ++g, a += kRows * kInt8Group, b += 128) {
      const __m512i low = load(b), high = load(b + 64);
#pragma GCC unroll 16
      for (int i = 0; i < kCount; ++i) {
        const __m512i row = _mm512_broadcastq_epi64(
            _mm_loadl_epi64(reinterpret_cast<const __m128i*>(a + i * kInt8Group)));
        acc[i][0] = _mm512_dpbusd_epi32(acc[i][0], row, low);
        acc[i][1] = _mm512_dpbusd_epi32(acc[i][1], row, high);
      }
    }
    const __m512i even =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
#pragma GCC unroll 16
    for (int i = 0; i < kCount; ++i) {
      const __m512i total = _mm512_add_epi32(_mm512_permutex2var_epi32(acc[i][0], even, acc[i][1]),
                                             _mm512_permutex2var_epi32(acc[i][0], odd, acc[i][1]));
      sums[i][0] = _mm512_cvtepi32_ps(total);
    }
  }
};
#endif

}  // namespace
}  // namespace mobilevd::kernels
