#pragma once

#include <arm_neon.h>

#include <cstdint>

#include "mobilevd/kernels/half.h"

// Include only from AArch64 translation units: everything here is in an unnamed namespace, so that
// code compiled for a newer CPU cannot be merged into another unit by the linker.
namespace mobilevd::kernels {
namespace {

/// The operations of simd/README.md for NEON as every AArch64 CPU has it.
struct Neon {
  using Vec = float32x4_t;
  static constexpr int kLanes = 4;
  static constexpr int kAccumulators = 24;
  static constexpr bool kHasLaneFma = true;

  static Vec zero() { return vdupq_n_f32(0); }
  static Vec set(float x) { return vdupq_n_f32(x); }
  static Vec broadcast(const float* p) { return vld1q_dup_f32(p); }
  static Vec load(const float* p) { return vld1q_f32(p); }
  static Vec load(const Half* p) { return from_half(vld1_u16(&p->bits)); }
  static Vec load_partial(const float* p, int n) {
    float x[kLanes] = {};
    for (int i = 0; i < n; ++i) x[i] = p[i];
    return vld1q_f32(x);
  }
  static Vec load_partial(const Half* p, int n) {
    std::uint16_t x[kLanes] = {};
    for (int i = 0; i < n; ++i) x[i] = p[i].bits;
    return from_half(vld1_u16(x));
  }
  static void store(float* p, Vec x) { vst1q_f32(p, x); }
  static void store(Half* p, Vec x) { vst1_u16(&p->bits, to_half(x)); }
  static void store_partial(float* p, Vec x, int n) {
    float y[kLanes];
    vst1q_f32(y, x);
    for (int i = 0; i < n; ++i) p[i] = y[i];
  }
  static void store_partial(Half* p, Vec x, int n) {
    std::uint16_t y[kLanes];
    vst1_u16(y, to_half(x));
    for (int i = 0; i < n; ++i) p[i].bits = y[i];
  }
  /// AArch64 has no vector store past the caches that pays; an ordinary one.
  static void stream(float* p, Vec x) { store(p, x); }
  static void stream(Half* p, Vec x) { store(p, x); }
  static void stream_fence() {}

  static Vec add(Vec a, Vec b) { return vaddq_f32(a, b); }
  static Vec sub(Vec a, Vec b) { return vsubq_f32(a, b); }
  static Vec mul(Vec a, Vec b) { return vmulq_f32(a, b); }
  static Vec div(Vec a, Vec b) { return vdivq_f32(a, b); }
  /// b where a is NaN or not larger, as x86 has it.
  static Vec max(Vec a, Vec b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
  static Vec min(Vec a, Vec b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
  static Vec abs(Vec a) { return vabsq_f32(a); }
  static Vec fma(Vec a, Vec b, Vec c) { return vfmaq_f32(c, a, b); }
  /// a * b[lane] + c: spares the broadcast, which costs a vector slot on most ARM cores.
  template <int lane>
  static Vec fma_lane(Vec a, Vec b, Vec c) {
    return vfmaq_laneq_f32(c, a, b, lane);
  }
  static Vec exp2_from_magic(Vec t) {
    return vreinterpretq_f32_s32(
        vaddq_s32(vshlq_n_s32(vreinterpretq_s32_f32(t), 23), vdupq_n_s32(127 << 23)));
  }
  static Vec zero_where_less(Vec a, Vec b, Vec x) {
    return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(x), vcltq_f32(a, b)));
  }
  static Vec where_negative(Vec a, Vec x, Vec y) {
    return vbslq_f32(vcltzq_s32(vreinterpretq_s32_f32(a)), x, y);
  }
  static float reduce_add(Vec x) {
    const float32x2_t s = vadd_f32(vget_low_f32(x), vget_high_f32(x));
    return vget_lane_f32(vpadd_f32(s, s), 0);
  }
  static float reduce_max(Vec x) { return vmaxvq_f32(x); }

  // always_inline: GCC drops calls of a function that only prefetches, for it has no effect.
  [[gnu::always_inline]] static void prefetch(const char* p) { __builtin_prefetch(p, 0, 2); }
  [[gnu::always_inline]] static void prefetch_near(const char* p) { __builtin_prefetch(p, 0, 3); }
  [[gnu::always_inline]] static void prefetch_to_write(const char* p) {
    __builtin_prefetch(p, 1, 3);
  }

  /// rows[0..3] are 4 vectors of 4; afterwards column c of the block is in rows[c].
  [[gnu::always_inline]] static void transpose(Vec (&rows)[kLanes]) {
    const float32x4x2_t a = vtrnq_f32(rows[0], rows[1]), b = vtrnq_f32(rows[2], rows[3]);
    rows[0] = vcombine_f32(vget_low_f32(a.val[0]), vget_low_f32(b.val[0]));
    rows[1] = vcombine_f32(vget_low_f32(a.val[1]), vget_low_f32(b.val[1]));
    rows[2] = vcombine_f32(vget_high_f32(a.val[0]), vget_high_f32(b.val[0]));
    rows[3] = vcombine_f32(vget_high_f32(a.val[1]), vget_high_f32(b.val[1]));
  }

 private:
  static Vec from_half(uint16x4_t x) { return vcvt_f32_f16(vreinterpret_f16_u16(x)); }
  static uint16x4_t to_half(Vec x) { return vreinterpret_u16_f16(vcvt_f16_f32(x)); }
};

}  // namespace
}  // namespace mobilevd::kernels
