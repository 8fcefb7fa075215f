#include "mobilevd/kernels/temporal_attention.h"

#include <cstddef>
#include <cstdint>

#include "dispatch/arguments.h"
#include "dispatch/variants.h"
#include "temporal_attention/temporal_attention_internal.h"

namespace mobilevd::kernels {
namespace {

/// Outputs from this size on go past the caches: no second-level cache would still hold them when
/// the next layer reads, and not fetching the lines before writing saves a quarter of the traffic.
constexpr std::int64_t kStreamBytes = std::int64_t{8} << 20;

/// About 20 microseconds of arithmetic: less is not worth waking a thread.
constexpr std::int64_t kGrainFlops = 1'000'000;

constexpr Variants<TemporalAttentionVariant> kVariants = {
    &kTemporalAttentionScalar,
    MOBILEVD_IF_AVX2(&kTemporalAttentionAvx2),
    MOBILEVD_IF_AVX512(&kTemporalAttentionAvx512),
    nullptr,
    MOBILEVD_IF_NEON(&kTemporalAttentionNeon),
};

template <typename T>
Status run(const T* q, const T* k, const T* v, T* out, const TemporalAttentionShape& s, float scale,
           ParallelFor parallel_for) {
  const Status startup = startup_status();
  if (!startup.ok()) return startup;
  if (s.batch < 0) return invalid_argument("temporal_attention: batch must be >= 0");
  if (s.frames < 1 || s.frames > kMaxFrames) {
    return invalid_argument("temporal_attention: frames must be 1..32");
  }
  if (s.positions < 0) return invalid_argument("temporal_attention: positions must be >= 0");
  if (s.num_heads < 1) return invalid_argument("temporal_attention: num_heads must be >= 1");
  if (!valid_head_dim(s.head_dim_qk)) {
    return invalid_argument("temporal_attention: head_dim_qk must be 8..128 in steps of 8");
  }
  if (!valid_head_dim(s.head_dim_v)) {
    return invalid_argument("temporal_attention: head_dim_v must be 8..128 in steps of 8");
  }
  if (s.batch == 0 || s.positions == 0) return ok_status();

  std::int64_t heads, row_qk, row_v, entry_qk, entry_v, bytes_qk, bytes_v;
  const bool fits =
      multiply(s.positions, s.num_heads, &heads) && multiply(heads, s.head_dim_qk, &row_qk) &&
      multiply(heads, s.head_dim_v, &row_v) && multiply(row_qk, s.frames, &entry_qk) &&
      multiply(row_v, s.frames, &entry_v) && multiply(entry_qk, s.batch, &bytes_qk) &&
      multiply(entry_v, s.batch, &bytes_v) && multiply(bytes_qk, sizeof(T), &bytes_qk) &&
      multiply(bytes_v, sizeof(T), &bytes_v);
  if (!fits) return invalid_argument("temporal_attention: sizes overflow 64 bits");
  if (q == nullptr || k == nullptr || v == nullptr || out == nullptr) {
    return invalid_argument("temporal_attention: q, k, v and out must not be null");
  }
  if (overlap(out, bytes_v, q, bytes_qk) || overlap(out, bytes_v, k, bytes_qk) ||
      overlap(out, bytes_v, v, bytes_v)) {
    return invalid_argument("temporal_attention: out must not overlap q, k or v");
  }

  TemporalAttentionTask<T> task;
  task.row_qk = static_cast<std::ptrdiff_t>(row_qk);
  task.row_v = task.row_out = static_cast<std::ptrdiff_t>(row_v);
  task.frames = static_cast<int>(s.frames);
  task.head_dim_qk = static_cast<int>(s.head_dim_qk);
  task.head_dim_v = static_cast<int>(s.head_dim_v);
  task.scale = scale;
  // Whole lines only: half a line past the caches costs more than it saves.
  task.stream = bytes_v >= kStreamBytes && reinterpret_cast<std::uintptr_t>(out) % 64 == 0 &&
                s.head_dim_v * sizeof(T) % 64 == 0 && row_v * sizeof(T) % 64 == 0;

  const TemporalAttentionFn<T> fn = [] {
    const TemporalAttentionVariant& chosen = kVariants.chosen();
    if constexpr (sizeof(T) == sizeof(float)) {
      return chosen.f32;
    } else {
      return chosen.f16;
    }
  }();
  const std::int64_t flops = 2 * s.frames * s.frames * (s.head_dim_qk + s.head_dim_v) * s.num_heads;
  const auto grain = static_cast<std::size_t>(1 + kGrainFlops / flops);
  const auto positions = static_cast<std::size_t>(s.positions);

  // The unit of work is a position, of any batch entry: threads then share no cache line of out
  // but at the ends of their ranges.
  parallel_for(static_cast<std::size_t>(s.batch) * positions, grain,
               [&](std::size_t begin, std::size_t end) {
                 while (begin < end) {
                   const std::size_t entry = begin / positions, first = begin % positions;
                   const std::size_t count =
                       end - begin < positions - first ? end - begin : positions - first;
                   TemporalAttentionTask<T> part = task;
                   part.q = q + entry * entry_qk;
                   part.k = k + entry * entry_qk;
                   part.v = v + entry * entry_v;
                   part.out = out + entry * entry_v;
                   fn(part, first * s.num_heads, (first + count) * s.num_heads);
                   begin += count;
                 }
               });
  return ok_status();
}

}  // namespace

Status temporal_attention(const float* q, const float* k, const float* v, float* out,
                          const TemporalAttentionShape& shape, float scale,
                          ParallelFor parallel_for) {
  return run(q, k, v, out, shape, scale, parallel_for);
}

Status temporal_attention(const Half* q, const Half* k, const Half* v, Half* out,
                          const TemporalAttentionShape& shape, float scale,
                          ParallelFor parallel_for) {
  return run(q, k, v, out, shape, scale, parallel_for);
}

}  // namespace mobilevd::kernels
