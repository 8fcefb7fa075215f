// Compiled with the instructions' own flags (CMakeLists.txt), so nothing but these functions is
// here.
#include "runtime/sha256_blocks.h"

#if defined(__SHA__) && defined(__SSE4_1__)
#include <cpuid.h>
#include <immintrin.h>
#elif defined(__ARM_FEATURE_SHA2) || defined(__ARM_FEATURE_CRYPTO)
#include <arm_neon.h>
#include <asm/hwcap.h>
#include <sys/auxv.h>
#define MOBILEVD_ARM_SHA2 1
#endif

namespace mobilevd {
namespace {

#if defined(__SHA__) && defined(__SSE4_1__)
void blocks_of_cpu(std::uint32_t* state, const std::uint8_t* blocks, std::size_t count) {
  const auto at = [](auto* p) { return reinterpret_cast<__m128i*>(p); };
  const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  // The instructions hold the state as ABEF and CDGH, the highest word first.
  const __m128i cdab = _mm_shuffle_epi32(_mm_loadu_si128(at(state)), 0xB1);
  const __m128i efgh = _mm_shuffle_epi32(_mm_loadu_si128(at(state + 4)), 0x1B);
  __m128i abef = _mm_alignr_epi8(cdab, efgh, 8);
  __m128i cdgh = _mm_blend_epi16(efgh, cdab, 0xF0);
  for (; count > 0; --count, blocks += 64) {
    const __m128i abef_before = abef, cdgh_before = cdgh;
    __m128i w[4];  // of this round and the next 15
    for (int i = 0; i < 4; ++i) {
      const auto* piece = reinterpret_cast<const __m128i*>(blocks + 16 * i);
      w[i] = _mm_shuffle_epi8(_mm_loadu_si128(piece), big_endian);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) {
      const auto* constants = reinterpret_cast<const __m128i*>(kSha256Round + 4 * i);
      __m128i& first = w[i % 4];
      const __m128i& last = w[(i + 3) % 4];
      const __m128i sum = _mm_add_epi32(first, _mm_loadu_si128(constants));
      cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
      abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0E));
      if (i >= 12) continue;
      const __m128i seven_back = _mm_alignr_epi8(last, w[(i + 2) % 4], 4);
      const __m128i older = _mm_sha256msg1_epu32(first, w[(i + 1) % 4]);
      first = _mm_sha256msg2_epu32(_mm_add_epi32(older, seven_back), last);
    }
    abef = _mm_add_epi32(abef, abef_before);
    cdgh = _mm_add_epi32(cdgh, cdgh_before);
  }
  const __m128i feba = _mm_shuffle_epi32(abef, 0x1B);
  const __m128i dchg = _mm_shuffle_epi32(cdgh, 0xB1);
  _mm_storeu_si128(at(state), _mm_blend_epi16(feba, dchg, 0xF0));
  _mm_storeu_si128(at(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}

bool cpu_has_it() {
  constexpr unsigned kSsse3 = 1u << 9, kSse41 = 1u << 19, kSha = 1u << 29;  // Intel SDM, 2A: CPUID
  constexpr unsigned kNeeded = kSsse3 | kSse41;
  unsigned a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) && (c & kNeeded) == kNeeded &&
         __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & kSha) != 0;
}
#elif defined(MOBILEVD_ARM_SHA2)
void blocks_of_cpu(std::uint32_t* state, const std::uint8_t* blocks, std::size_t count) {
  uint32x4_t abcd = vld1q_u32(state), efgh = vld1q_u32(state + 4);
  for (; count > 0; --count, blocks += 64) {
    const uint32x4_t abcd_before = abcd, efgh_before = efgh;
    uint32x4_t w[4];  // of this round and the next 15
    for (int i = 0; i < 4; ++i) {
      w[i] = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(blocks + 16 * i)));
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) {
      uint32x4_t& first = w[i % 4];
      const uint32x4_t sum = vaddq_u32(first, vld1q_u32(kSha256Round + 4 * i));
      const uint32x4_t abcd_now = abcd;
      abcd = vsha256hq_u32(abcd, efgh, sum);
      efgh = vsha256h2q_u32(efgh, abcd_now, sum);
      if (i >= 12) continue;
      first =
          vsha256su1q_u32(vsha256su0q_u32(first, w[(i + 1) % 4]), w[(i + 2) % 4], w[(i + 3) % 4]);
    }
    abcd = vaddq_u32(abcd, abcd_before);
    efgh = vaddq_u32(efgh, efgh_before);
  }
  vst1q_u32(state, abcd);
  vst1q_u32(state + 4, efgh);
}

bool cpu_has_it() { return (getauxval(AT_HWCAP) & HWCAP_SHA2) != 0; }
#else
constexpr Sha256Blocks blocks_of_cpu = nullptr;
bool cpu_has_it() { return false; }
#endif

}  // namespace

Sha256Blocks sha256_blocks_of_cpu() { return cpu_has_it() ? blocks_of_cpu : nullptr; }

}  // namespace mobilevd
