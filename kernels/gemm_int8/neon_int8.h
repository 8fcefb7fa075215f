#pragma once

#include <cstddef>
#include <cstdint>

#include "gemm_int8/panels_int8.h"
#include "simd/neon.h"

// Include only from AArch64 translation units; what a unit's flags do not allow is left out.
namespace mobilevd::kernels {
namespace {

/// Loads stay on their side: fetched all at once, the weights of a round push sums out of the
/// registers (GCC 12).
inline void keep_loads_apart() { __asm__ volatile("" ::: "memory"); }

/// What all three have in common: products of signed bytes, sums that start from zero.
struct NeonInt8Base {
  static constexpr std::uint64_t kFlip = 0;
  struct Offsets {};
  static Offsets panel_offsets(const std::int8_t*, std::ptrdiff_t) { return {}; }

  static void quantise16(const float32x4_t (&v)[4], std::int8_t* to) {
    const auto words = [&](int i) {
      return vcombine_s16(vmovn_s32(vcvtnq_s32_f32(v[i])), vmovn_s32(vcvtnq_s32_f32(v[i + 1])));
    };
    vst1q_s8(to, vcombine_s8(vmovn_s16(words(0)), vmovn_s16(words(2))));
  }
};

/// Plain NEON: two products of -128..127 and +-127 fit in 16 bits, so two groups are multiplied
/// before their sums are widened. Four columns at a time: a vector of sums for each row and column.
struct NeonInt8 : NeonInt8Base {
  static constexpr int kRows = 4;

  template <int kCount>
  [[gnu::always_inline]] static void multiply(const std::int8_t* a, const std::int8_t* b,
                                              std::ptrdiff_t groups, const Offsets&,
                                              float32x4_t (&sums)[kCount][4]) {
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) {
      int32x4_t acc[kCount][4];
#pragma GCC unroll 4
      for (int i = 0; i < kCount; ++i) {
#pragma GCC unroll 4
        for (int c = 0; c < 4; ++c) acc[i][c] = vdupq_n_s32(0);
      }
      const std::int8_t *rows = a, *columns = b + v * 4 * kInt8Group;
      std::ptrdiff_t g = 0;
      for (; g + 2 <= groups; g += 2, rows += 2 * kRows * kInt8Group, columns += 256) {
        int8x8_t row[kCount][2];
#pragma GCC unroll 4
        for (int i = 0; i < kCount; ++i) {
          row[i][0] = vld1_s8(rows + i * kInt8Group);
          row[i][1] = vld1_s8(rows + (kRows + i) * kInt8Group);
        }
#pragma GCC unroll 4
        for (int c = 0; c < 4; ++c) {
          const int8x8_t w0 = vld1_s8(columns + c * kInt8Group);
          const int8x8_t w1 = vld1_s8(columns + 128 + c * kInt8Group);
#pragma GCC unroll 4
          for (int i = 0; i < kCount; ++i) {
            const int16x8_t pairs = vmlal_s8(vmull_s8(row[i][0], w0), row[i][1], w1);
            acc[i][c] = vpadalq_s16(acc[i][c], pairs);
          }
          keep_loads_apart();
        }
      }
      if (g < groups) {
#pragma GCC unroll 4
        for (int c = 0; c < 4; ++c) {
          const int8x8_t w = vld1_s8(columns + c * kInt8Group);
#pragma GCC unroll 4
          for (int i = 0; i < kCount; ++i) {
            acc[i][c] = vpadalq_s16(acc[i][c], vmull_s8(vld1_s8(rows + i * kInt8Group), w));
          }
        }
      }
#pragma GCC unroll 4
      for (int i = 0; i < kCount; ++i) {
        sums[i][v] = vcvtq_f32_s32(
            vpaddq_s32(vpaddq_s32(acc[i][0], acc[i][1]), vpaddq_s32(acc[i][2], acc[i][3])));
      }
    }
  }
};

#if defined(__ARM_FEATURE_DOTPROD)
/// A vector holds 2 columns of 8 inputs, hence two sums a column, which are added at the end.
struct NeonDotprodInt8 : NeonInt8Base {
  static constexpr int kRows = 3;

  template <int kCount>
  [[gnu::always_inline]] static void multiply(const std::int8_t* a, const std::int8_t* b,
                                              std::ptrdiff_t groups, const Offsets&,
                                              float32x4_t (&sums)[kCount][4]) {
    int32x4_t acc[kCount][8];
#pragma GCC unroll 4
    for (int i = 0; i < kCount; ++i) {
#pragma GCC unroll 8
      for (int c = 0; c < 8; ++c) acc[i][c] = vdupq_n_s32(0);
    }
    for (std::ptrdiff_t g = 0; g < groups; ++g, a += kRows * kInt8Group, b += 128) {
      int8x16_t row[kCount];
#pragma GCC unroll 4
      for (int i = 0; i < kCount; ++i) {
        const int8x8_t half = vld1_s8(a + i * kInt8Group);
        row[i] = vcombine_s8(half, half);
      }
#pragma GCC unroll 8
      for (int c = 0; c < 8; ++c) {
        const int8x16_t w = vld1q_s8(b + c * 16);
#pragma GCC unroll 4
        for (int i = 0; i < kCount; ++i) acc[i][c] = vdotq_s32(acc[i][c], w, row[i]);
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < kCount; ++i) {
#pragma GCC unroll 4
      for (int v = 0; v < 4; ++v) {
        sums[i][v] = vcvtq_f32_s32(vpaddq_s32(acc[i][2 * v], acc[i][2 * v + 1]));
      }
    }
  }
};
#endif

#if defined(__ARM_FEATURE_MATMUL_INT8)
/// A vector holds 2 columns of 8 inputs, two rows' activations lie together: 2 x 2 sums.
struct NeonI8mmInt8 : NeonInt8Base {
  static constexpr int kRows = 6;

  template <int kCount>
  [[gnu::always_inline]] static void multiply(const std::int8_t* a, const std::int8_t* b,
                                              std::ptrdiff_t groups, const Offsets&,
                                              float32x4_t (&sums)[kCount][4]) {
    constexpr int kPairs = (kCount + 1) / 2;  // an odd row's partner is there, but unused
    int32x4_t acc[kPairs][8];
#pragma GCC unroll 4
    for (int i = 0; i < kPairs; ++i) {
#pragma GCC unroll 8
      for (int c = 0; c < 8; ++c) acc[i][c] = vdupq_n_s32(0);
    }
    for (std::ptrdiff_t g = 0; g < groups; ++g, a += kRows * kInt8Group, b += 128) {
      int8x16_t rows[kPairs];
#pragma GCC unroll 4
      for (int i = 0; i < kPairs; ++i) rows[i] = vld1q_s8(a + i * 16);
#pragma GCC unroll 8
      for (int c = 0; c < 8; ++c) {
        const int8x16_t w = vld1q_s8(b + c * 16);
#pragma GCC unroll 4
        for (int i = 0; i < kPairs; ++i) acc[i][c] = vmmlaq_s32(acc[i][c], rows[i], w);
        if (c % 4 == 3) keep_loads_apart();
      }
    }
#pragma GCC unroll 8
    for (int i = 0; i < kCount; ++i) {
#pragma GCC unroll 4
      for (int v = 0; v < 4; ++v) {
        const int32x4_t x = acc[i / 2][2 * v], y = acc[i / 2][2 * v + 1];
        sums[i][v] = vcvtq_f32_s32(i % 2 == 0 ? vcombine_s32(vget_low_s32(x), vget_low_s32(y))
                                              : vcombine_s32(vget_high_s32(x), vget_high_s32(y)));
      }
    }
  }
};
#endif

}  // namespace
}  // namespace mobilevd::kernels
