#pragma once

#include <immintrin.h>

#include <cstdint>

#include "mobilevd/kernels/half.h"

// Include only from translation units compiled with AVX-512's flags: everything here is in an
// unnamed namespace, so that no such code can be merged into another ISA's unit by the linker.
namespace mobilevd::kernels {
namespace {

/// The operations of simd/README.md for AVX-512 F, BW, DQ, VL.
struct Avx512 {
  using Vec = __m512;
  static constexpr int kLanes = 16;
  static constexpr int kAccumulators = 28;
  static constexpr bool kHasLaneFma = false;

  static Vec zero() { return _mm512_setzero_ps(); }
  static Vec set(float x) { return _mm512_set1_ps(x); }
  static Vec broadcast(const float* p) { return _mm512_set1_ps(*p); }
  static Vec load(const float* p) { return _mm512_loadu_ps(p); }
  static Vec load(const Half* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static Vec load_partial(const float* p, int n) { return _mm512_maskz_loadu_ps(mask(n), p); }
  static Vec load_partial(const Half* p, int n) {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask(n), p));
  }
  static void store(float* p, Vec x) { _mm512_storeu_ps(p, x); }
  static void store(Half* p, Vec x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), to_half(x));
  }
  static void store_partial(float* p, Vec x, int n) { _mm512_mask_storeu_ps(p, mask(n), x); }
  static void store_partial(Half* p, Vec x, int n) {
    _mm256_mask_storeu_epi16(p, mask(n), to_half(x));
  }
  static void stream(float* p, Vec x) { _mm512_stream_ps(p, x); }
  static void stream(Half* p, Vec x) {
    _mm256_stream_si256(reinterpret_cast<__m256i*>(p), to_half(x));
  }
  static void stream_fence() { _mm_sfence(); }

  static Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
  static Vec sub(Vec a, Vec b) { return _mm512_sub_ps(a, b); }
  static Vec mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
  static Vec div(Vec a, Vec b) { return _mm512_div_ps(a, b); }
  static Vec max(Vec a, Vec b) { return _mm512_max_ps(a, b); }
  static Vec min(Vec a, Vec b) { return _mm512_min_ps(a, b); }
  static Vec abs(Vec a) { return _mm512_abs_ps(a); }
  static Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
  static Vec exp2_from_magic(Vec t) {
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_slli_epi32(_mm512_castps_si512(t), 23),
                                                _mm512_set1_epi32(127 << 23)));
  }
  static Vec zero_where_less(Vec a, Vec b, Vec x) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a, b, _CMP_NLT_UQ), x);
  }
  static Vec where_negative(Vec a, Vec x, Vec y) {
    return _mm512_mask_mov_ps(y, _mm512_movepi32_mask(_mm512_castps_si512(a)), x);
  }
  // In a fixed order of pairs, so that the sum does not depend on the compiler.
  static float reduce_add(Vec x) {
    const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
  }
  static float reduce_max(Vec x) { return _mm512_reduce_max_ps(x); }

  // always_inline: GCC drops calls of a function that only prefetches, for it has no effect.
  [[gnu::always_inline]] static void prefetch(const char* p) { _mm_prefetch(p, _MM_HINT_T1); }
  [[gnu::always_inline]] static void prefetch_near(const char* p) { _mm_prefetch(p, _MM_HINT_T0); }
  // As assembly: the builtin would need a flag. Every x86-64 CPU takes it, some as a no-op.
  [[gnu::always_inline]] static void prefetch_to_write(const char* p) {
    asm volatile("prefetchw (%0)" : : "r"(p));
  }

  /// rows[0..15] are 16 vectors of 16; afterwards column c of the block is in rows[c].
  [[gnu::always_inline]] static void transpose(Vec (&rows)[kLanes]) {
    Vec t[16], u[16];
    for (int i = 0; i < 16; i += 4) {  // 4 x 4 blocks within each 128-bit part
      t[i] = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
      t[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
      t[i + 2] = _mm512_unpacklo_ps(rows[i + 2], rows[i + 3]);
      t[i + 3] = _mm512_unpackhi_ps(rows[i + 2], rows[i + 3]);
      u[i] = _mm512_shuffle_ps(t[i], t[i + 2], 0x44);
      u[i + 1] = _mm512_shuffle_ps(t[i], t[i + 2], 0xEE);
      u[i + 2] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0x44);
      u[i + 3] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0xEE);
    }
    for (int c = 0; c < 4; ++c) {  // u[4 r + c], part p: rows 4 r .. 4 r + 3 of column 4 p + c
      const Vec low01 = _mm512_shuffle_f32x4(u[c], u[4 + c], 0x88);  // parts 0 2 | 0 2
      const Vec low23 = _mm512_shuffle_f32x4(u[8 + c], u[12 + c], 0x88);
      const Vec high01 = _mm512_shuffle_f32x4(u[c], u[4 + c], 0xDD);  // parts 1 3 | 1 3
      const Vec high23 = _mm512_shuffle_f32x4(u[8 + c], u[12 + c], 0xDD);
      rows[c] = _mm512_shuffle_f32x4(low01, low23, 0x88);
      rows[8 + c] = _mm512_shuffle_f32x4(low01, low23, 0xDD);
      rows[4 + c] = _mm512_shuffle_f32x4(high01, high23, 0x88);
      rows[12 + c] = _mm512_shuffle_f32x4(high01, high23, 0xDD);
    }
  }

 private:
  static __mmask16 mask(int n) { return static_cast<__mmask16>((1u << n) - 1u); }
  static __m256i to_half(Vec x) {
    return _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
};

}  // namespace
}  // namespace mobilevd::kernels
