#pragma once

#include <cstddef>
#include <cstdint>

#include "gemm_int8/panels_int8.h"
#include "simd/avx512.h"
#include "simd/unroll.h"

// Include only from translation units compiled with AVX-512's and VNNI's flags.
namespace mobilevd::kernels {
namespace {

/// vpdpbusd wants the activations unsigned: they are packed with 128 added (the sign bit flipped),
/// and the sums start from -128 times the column's sum of weights. A vector holds 8 columns of 8
/// inputs, hence two sums a column, which are added at the end.
struct VnniInt8 {
  static constexpr int kRows = 14;
  static constexpr std::uint64_t kFlip = 0x8080808080808080u;
  struct Offsets {
    __m512i half[2];
  };

  /// 16 numbers, as the instruction has them: between these and __m512i (8 of 64 bits) GCC 12
  /// would copy every sum in every round, and spill.
  typedef std::int32_t Sums __attribute__((vector_size(64)));

  static __m512i load(const std::int8_t* p) { return _mm512_loadu_si512(p); }
  static __m512i broadcast(const std::int8_t* p) {
    return _mm512_broadcastq_epi64(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  }

  static void quantise16(const __m512 (&v)[1], std::int8_t* to) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to),
                     _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(v[0])));
  }

  /// sums[i] = the totals of 16 columns.
  template <int kCount>
  [[gnu::always_inline]] static void total(const Sums (&acc)[kCount][2],
                                           __m512 (&sums)[kCount][1]) {
    const __m512i even =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
    for_each_index<kCount>([&](auto index) {
      constexpr int i = decltype(index)::value;
      const __m512i low = (__m512i)acc[i][0], high = (__m512i)acc[i][1];
      sums[i][0] = _mm512_cvtepi32_ps(_mm512_add_epi32(_mm512_permutex2var_epi32(low, even, high),
                                                       _mm512_permutex2var_epi32(low, odd, high)));
    });
  }

  static Offsets panel_offsets(const std::int8_t* b, std::ptrdiff_t groups) {
    const __m512i ones = _mm512_set1_epi8(1), zero = _mm512_setzero_si512();
    __m512i low = zero, high = zero;
    for (std::ptrdiff_t g = 0; g < groups; ++g, b += 128) {
      low = _mm512_dpbusd_epi32(low, ones, load(b));
      high = _mm512_dpbusd_epi32(high, ones, load(b + 64));
    }
    return {{_mm512_sub_epi32(zero, _mm512_slli_epi32(low, 7)),
             _mm512_sub_epi32(zero, _mm512_slli_epi32(high, 7))}};
  }

  template <int kCount>
  [[gnu::always_inline]] static void multiply(const std::int8_t* a, const std::int8_t* b,
                                              std::ptrdiff_t groups, const Offsets& offsets,
                                              __m512 (&sums)[kCount][1]) {
    const auto dot = [](Sums sum, __m512i row, __m512i w) {
      return (Sums)_mm512_dpbusd_epi32((__m512i)sum, row, w);
    };
    Sums acc[kCount][2];
    for_each_index<kCount>([&](auto i) {
      acc[i][0] = (Sums)offsets.half[0];
      acc[i][1] = (Sums)offsets.half[1];
    });
    for (std::ptrdiff_t g = 0; g < groups; ++g, a += kRows * kInt8Group, b += 128) {
      const __m512i low = load(b), high = load(b + 64);
      for_each_index<kCount>([&](auto i) {
        const __m512i row = broadcast(a + i * kInt8Group);
        acc[i][0] = dot(acc[i][0], row, low);
        acc[i][1] = dot(acc[i][1], row, high);
      });
    }
    total<kCount>(acc, sums);
  }
};

}  // namespace
}  // namespace mobilevd::kernels
