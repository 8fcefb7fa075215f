#include "mobilevd/kernels/spatial_attention.h"

#include <cstddef>
#include <cstdint>

#include "dispatch/arguments.h"
#include "dispatch/variants.h"
#include "gemm/lane_cut.h"
#include "spatial_attention/spatial_attention_internal.h"

namespace mobilevd::kernels {
namespace {

/// About 20 microseconds of arithmetic: less is not worth waking a thread.
constexpr double kGrainFlops = 3e6;

/// So that a thousand lanes' scratch is counted in 64 bits.
constexpr std::int64_t kMaxKeyTokens = std::int64_t{1} << 40;

constexpr Variants<SpatialAttentionVariant> kVariants = {
    &kSpatialAttentionScalar,
    MOBILEVD_IF_AVX2(&kSpatialAttentionAvx2),
    MOBILEVD_IF_AVX512(&kSpatialAttentionAvx512),
    nullptr,
    MOBILEVD_IF_NEON(&kSpatialAttentionNeon),
};

bool valid_head_dim(std::int64_t d) { return d >= 8 && d <= kSpatialMaxHeadDim && d % 8 == 0; }

Status check(const SpatialAttentionShape& s) {
  if (s.batch < 0) return invalid_argument("spatial_attention: batch must be >= 0");
  if (s.tokens < 0) return invalid_argument("spatial_attention: tokens must be >= 0");
  if (s.key_tokens < 1) return invalid_argument("spatial_attention: key_tokens must be >= 1");
  if (s.key_tokens > kMaxKeyTokens) {
    return invalid_argument("spatial_attention: sizes overflow 64 bits");
  }
  if (s.num_heads < 1) return invalid_argument("spatial_attention: num_heads must be >= 1");
  if (!valid_head_dim(s.head_dim_qk)) {
    return invalid_argument("spatial_attention: head_dim_qk must be 8..128 in steps of 8");
  }
  if (!valid_head_dim(s.head_dim_v)) {
    return invalid_argument("spatial_attention: head_dim_v must be 8..128 in steps of 8");
  }
  return ok_status();
}

template <typename T>
Status run(const T* q, const T* k, const T* v, T* out, const SpatialAttentionShape& s, float scale,
           void* scratch, int lanes, ParallelFor parallel_for) {
  const Status startup = startup_status();
  if (!startup.ok()) return startup;
  if (s.batch == 0 || s.tokens == 0) {
    SpatialAttentionShape other = s;
    if (other.key_tokens == 0) other.key_tokens = 1;  // no query asks for one
    return check(other);
  }
  const Status valid = check(s);
  if (!valid.ok()) return valid;
  if (lanes < 1 || lanes > kMaxLanes) {
    return invalid_argument("spatial_attention: lanes must be 1..1024");
  }
  std::int64_t bytes_q, bytes_k, bytes_v, bytes_out;
  const auto bytes = [&](std::int64_t tokens, std::int64_t head_dim, std::int64_t* result) {
    return array_bytes({s.batch, tokens, s.num_heads, head_dim}, sizeof(T), result);
  };
  if (!bytes(s.tokens, s.head_dim_qk, &bytes_q) || !bytes(s.key_tokens, s.head_dim_qk, &bytes_k) ||
      !bytes(s.key_tokens, s.head_dim_v, &bytes_v) || !bytes(s.tokens, s.head_dim_v, &bytes_out)) {
    return invalid_argument("spatial_attention: sizes overflow 64 bits");
  }
  if (q == nullptr || k == nullptr || v == nullptr || out == nullptr || scratch == nullptr) {
    return invalid_argument("spatial_attention: q, k, v, out and scratch must not be null");
  }
  if (reinterpret_cast<std::uintptr_t>(scratch) % 64 != 0) {
    return invalid_argument("spatial_attention: scratch must be 64-byte aligned");
  }
  if (overlap(out, bytes_out, q, bytes_q) || overlap(out, bytes_out, k, bytes_k) ||
      overlap(out, bytes_out, v, bytes_v)) {
    return invalid_argument("spatial_attention: out must not overlap q, k or v");
  }

  SpatialAttentionFn<T> fn;
  if constexpr (sizeof(T) == sizeof(float)) {
    fn = kVariants.chosen().f32;
  } else {
    fn = kVariants.chosen().f16;
  }
  const auto d_qk = static_cast<int>(s.head_dim_qk), d_v = static_cast<int>(s.head_dim_v);
  const std::int64_t chunks = ceil_div(s.tokens, kChunkQueries);
  const SpatialAttentionTask<T> task = {q,
                                        k,
                                        v,
                                        out,
                                        static_cast<std::ptrdiff_t>(s.tokens),
                                        static_cast<std::ptrdiff_t>(s.key_tokens),
                                        static_cast<std::ptrdiff_t>(s.num_heads),
                                        d_qk,
                                        d_v,
                                        scale,
                                        static_cast<std::ptrdiff_t>(chunks)};
  // A head's chunks follow each other in a lane, which packs its keys and values once.
  const std::int64_t units = s.batch * s.num_heads * chunks;
  const std::int64_t cut = units < lanes ? units : lanes;
  const std::ptrdiff_t floats = SpatialAttentionScratch(s.key_tokens, d_qk, d_v).floats();
  const double flops = 2.0 * static_cast<double>(bytes_q + bytes_out) / sizeof(T) *
                       static_cast<double>(s.key_tokens);
  const auto grain = static_cast<std::size_t>(1 + kGrainFlops * static_cast<double>(cut) / flops);
  parallel_for(static_cast<std::size_t>(cut), grain, [&](std::size_t begin, std::size_t end) {
    for (auto lane = static_cast<std::int64_t>(begin); lane < static_cast<std::int64_t>(end);
         ++lane) {
      fn(task, static_cast<std::ptrdiff_t>(units * lane / cut),
         static_cast<std::ptrdiff_t>(units * (lane + 1) / cut),
         static_cast<float*>(scratch) + lane * floats);
    }
  });
  return ok_status();
}

}  // namespace

std::size_t spatial_attention_scratch_bytes(const SpatialAttentionShape& shape, int lanes) {
  if (!check(shape).ok() || lanes < 1 || lanes > kMaxLanes) return 0;
  const SpatialAttentionScratch lane(shape.key_tokens, static_cast<int>(shape.head_dim_qk),
                                     static_cast<int>(shape.head_dim_v));
  return static_cast<std::size_t>(lanes) * static_cast<std::size_t>(lane.floats()) * sizeof(float);
}

Status spatial_attention(const float* q, const float* k, const float* v, float* out,
                         const SpatialAttentionShape& shape, float scale, void* scratch, int lanes,
                         ParallelFor parallel_for) {
  return run(q, k, v, out, shape, scale, scratch, lanes, parallel_for);
}

Status spatial_attention(const Half* q, const Half* k, const Half* v, Half* out,
                         const SpatialAttentionShape& shape, float scale, void* scratch, int lanes,
                         ParallelFor parallel_for) {
  return run(q, k, v, out, shape, scale, scratch, lanes, parallel_for);
}

}  // namespace mobilevd::kernels
