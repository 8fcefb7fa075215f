#pragma once

#include <immintrin.h>

#include <cstdint>

#include "mobilevd/kernels/half.h"

// Include only from translation units compiled with -mavx2 -mfma -mf16c: everything here is in an
// unnamed namespace, so that no AVX2 code can be merged into another ISA's unit by the linker.
namespace mobilevd::kernels {
namespace {

/// The operations of simd/README.md for AVX2 + FMA + F16C.
struct Avx2 {
  using Vec = __m256;
  static constexpr int kLanes = 8;
  static constexpr int kAccumulators = 12;
  static constexpr bool kHasLaneFma = false;

  static Vec zero() { return _mm256_setzero_ps(); }
  static Vec set(float x) { return _mm256_set1_ps(x); }
  static Vec broadcast(const float* p) { return _mm256_broadcast_ss(p); }
  static Vec load(const float* p) { return _mm256_loadu_ps(p); }
  static Vec load(const Half* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static Vec load_partial(const float* p, int n) { return _mm256_maskload_ps(p, mask(n)); }
  static Vec load_partial(const Half* p, int n) {
    std::uint16_t x[kLanes] = {};
    for (int i = 0; i < n; ++i) x[i] = p[i].bits;
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x)));
  }
  static void store(float* p, Vec x) { _mm256_storeu_ps(p, x); }
  static void store(Half* p, Vec x) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), to_half(x)); }
  static void store_partial(float* p, Vec x, int n) { _mm256_maskstore_ps(p, mask(n), x); }
  static void store_partial(Half* p, Vec x, int n) {
    std::uint16_t y[kLanes];
    _mm_storeu_si128(reinterpret_cast<__m128i*>(y), to_half(x));
    for (int i = 0; i < n; ++i) p[i].bits = y[i];
  }
  static void stream(float* p, Vec x) { _mm256_stream_ps(p, x); }
  static void stream(Half* p, Vec x) {
    _mm_stream_si128(reinterpret_cast<__m128i*>(p), to_half(x));
  }
  static void stream_fence() { _mm_sfence(); }

  static Vec add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
  static Vec sub(Vec a, Vec b) { return _mm256_sub_ps(a, b); }
  static Vec mul(Vec a, Vec b) { return _mm256_mul_ps(a, b); }
  static Vec div(Vec a, Vec b) { return _mm256_div_ps(a, b); }
  static Vec max(Vec a, Vec b) { return _mm256_max_ps(a, b); }
  static Vec min(Vec a, Vec b) { return _mm256_min_ps(a, b); }
  static Vec abs(Vec a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
  static Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
  static Vec exp2_from_magic(Vec t) {
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_slli_epi32(_mm256_castps_si256(t), 23),
                                                _mm256_set1_epi32(127 << 23)));
  }
  static Vec zero_where_less(Vec a, Vec b, Vec x) {
    return _mm256_and_ps(_mm256_cmp_ps(a, b, _CMP_NLT_UQ), x);
  }
  static Vec where_negative(Vec a, Vec x, Vec y) { return _mm256_blendv_ps(y, x, a); }
  // In a fixed order of pairs, so that the sum does not depend on the compiler.
  static float reduce_add(Vec x) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
  }
  static float reduce_max(Vec x) {
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
  }

  // always_inline: GCC drops calls of a function that only prefetches, for it has no effect.
  [[gnu::always_inline]] static void prefetch(const char* p) { _mm_prefetch(p, _MM_HINT_T1); }
  [[gnu::always_inline]] static void prefetch_near(const char* p) { _mm_prefetch(p, _MM_HINT_T0); }
  // As assembly: the builtin would need a flag. Every x86-64 CPU takes it, some as a no-op.
  [[gnu::always_inline]] static void prefetch_to_write(const char* p) {
    asm volatile("prefetchw (%0)" : : "r"(p));
  }

  /// rows[0..7] are 8 vectors of 8; afterwards column c of the block is in rows[c].
  [[gnu::always_inline]] static void transpose(Vec (&rows)[kLanes]) {
    Vec t[8];
    for (int i = 0; i < 4; ++i) {
      t[2 * i] = _mm256_unpacklo_ps(rows[2 * i], rows[2 * i + 1]);
      t[2 * i + 1] = _mm256_unpackhi_ps(rows[2 * i], rows[2 * i + 1]);
    }
    Vec u[8];
    for (int i = 0; i < 2; ++i) {
      u[4 * i] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0x44);
      u[4 * i + 1] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0xEE);
      u[4 * i + 2] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0x44);
      u[4 * i + 3] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0xEE);
    }
    for (int i = 0; i < 4; ++i) {
      rows[i] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x20);
      rows[i + 4] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x31);
    }
  }

 private:
  static __m256i mask(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  static __m128i to_half(Vec x) {
    return _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
};

}  // namespace
}  // namespace mobilevd::kernels
