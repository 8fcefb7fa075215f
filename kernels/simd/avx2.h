#pragma once

#include <immintrin.h>

#include <cstdint>

#include "mobilevd/kernels/half.h"

// Include only from translation units compiled with -mavx2 -mfma -mf16c: everything here is in an
// unnamed namespace, so that no AVX2 code can be merged into another ISA's unit by the linker.
namespace mobilevd::kernels {
namespace {

/// The operations kernels are written in, for AVX2 + FMA + F16C. Another ISA offers the same
/// members with its own Vec and kLanes (see kernels/README.md).
struct Avx2 {
  using Vec = __m256;
  static constexpr int kLanes = 8;
  /// Accumulators that fit in the 16 registers beside operands.
  static constexpr int kAccumulators = 12;

  static Vec zero() { return _mm256_setzero_ps(); }
  static Vec set(float x) { return _mm256_set1_ps(x); }
  static Vec broadcast(const float* p) { return _mm256_broadcast_ss(p); }
  static Vec load(const float* p) { return _mm256_loadu_ps(p); }
  static Vec load(const Half* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static void store(float* p, Vec x) { _mm256_storeu_ps(p, x); }
  static void store(Half* p, Vec x) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), to_half(x)); }
  /// Stores past the caches; p must be aligned to the stored size.
  static void stream(float* p, Vec x) { _mm256_stream_ps(p, x); }
  static void stream(Half* p, Vec x) {
    _mm_stream_si128(reinterpret_cast<__m128i*>(p), to_half(x));
  }
  /// Orders streaming stores before what follows.
  static void stream_fence() { _mm_sfence(); }

  static Vec add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
  static Vec sub(Vec a, Vec b) { return _mm256_sub_ps(a, b); }
  static Vec mul(Vec a, Vec b) { return _mm256_mul_ps(a, b); }
  static Vec div(Vec a, Vec b) { return _mm256_div_ps(a, b); }
  static Vec max(Vec a, Vec b) { return _mm256_max_ps(a, b); }
  /// a * b + c, rounded once.
  static Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
  /// 2^n for the integer n whose bits stand in the low mantissa of n + 1.5 * 2^23.
  static Vec exp2_from_magic(Vec t) {
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_slli_epi32(_mm256_castps_si256(t), 23),
                                                _mm256_set1_epi32(127 << 23)));
  }
  /// x where !(a < b), else 0: NaN in a keeps x.
  static Vec zero_where_less(Vec a, Vec b, Vec x) {
    return _mm256_and_ps(_mm256_cmp_ps(a, b, _CMP_NLT_UQ), x);
  }

  /// Into the second-level cache: the first is too small for the rows of a chunk.
  static void prefetch(const char* p) { _mm_prefetch(p, _MM_HINT_T1); }

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
  static __m128i to_half(Vec x) {
    return _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
};

}  // namespace
}  // namespace mobilevd::kernels
