#include "mobilevd/kernels/temporal_conv.h"

#include <cstdint>

#include "conv/check.h"
#include "dispatch/variants.h"
#include "gemm/lane_cut.h"
#include "temporal_conv/temporal_conv_internal.h"

namespace mobilevd::kernels {
namespace {

constexpr Variants<TemporalConvVariant> kVariants = {
    &kTemporalConvScalar,
    MOBILEVD_IF_AVX2(&kTemporalConvAvx2),
    MOBILEVD_IF_AVX512(&kTemporalConvAvx512),
    nullptr,
    MOBILEVD_IF_NEON(&kTemporalConvNeon),
};

constexpr ConvMessages kSays = MOBILEVD_CONV_MESSAGES("temporal_conv");

Status check(const TemporalConvShape& s) {
  if (s.batch < 0) return invalid_argument("temporal_conv: batch must be >= 0");
  if (s.frames < 1) return invalid_argument("temporal_conv: frames must be >= 1");
  if (s.positions < 0) return invalid_argument("temporal_conv: positions must be >= 0");
  if (s.in_channels < 1 || s.out_channels < 1) {
    return invalid_argument("temporal_conv: in_channels and out_channels must be >= 1");
  }
  return ok_status();
}

/// Floats of scratch of one lane: a block of every frame, and what packing writes past the last.
std::size_t lane_scratch(const TemporalConvShape& s) {
  return static_cast<std::size_t>(s.frames * s.in_channels * kTemporalConvPositions + 31) / 16 * 16;
}

template <typename T, typename W>
Status run(const T* x, const W* weight, T* out, const TemporalConvShape& s,
           const ConvEpilogue<T>& epilogue, void* scratch, int lanes, ParallelFor parallel_for) {
  const Status startup = startup_status();
  if (!startup.ok()) return startup;
  if (const Status status = check(s); !status.ok()) return status;
  if (lanes < 1 || lanes > kMaxLanes) return invalid_argument(kSays.lanes);
  if (s.batch == 0 || s.positions == 0) return ok_status();
  const Status arrays =
      check_conv(kSays, x, {s.batch, s.frames, s.positions, s.in_channels}, weight, 3, out,
                 {s.batch, s.frames, s.positions, s.out_channels}, epilogue, scratch);
  if (!arrays.ok()) return arrays;

  const TemporalConvVariant& variant = kVariants.chosen();
  const std::int64_t blocks = ceil_div(s.positions, variant.block_positions);
  const TemporalConvTask<T, W> task = {x,
                                       weight,
                                       out,
                                       epilogue,
                                       static_cast<std::ptrdiff_t>(s.frames),
                                       static_cast<std::ptrdiff_t>(s.positions),
                                       static_cast<std::ptrdiff_t>(s.in_channels),
                                       static_cast<std::ptrdiff_t>(s.out_channels),
                                       static_cast<std::ptrdiff_t>(blocks)};
  const auto fn = for_storage<T, W>(variant);
  const LaneCut cut(s.batch * blocks, ceil_div(s.out_channels, kPanelColumns), 1, lanes);
  cut.run(parallel_for, scratch, lane_scratch(s), [&](const LanePart& part) { fn(task, part); });
  return ok_status();
}

}  // namespace

std::size_t temporal_conv_scratch_bytes(const TemporalConvShape& shape, int lanes) {
  if (!check(shape).ok() || lanes < 1 || lanes > kMaxLanes) return 0;
  return static_cast<std::size_t>(lanes) * lane_scratch(shape) * sizeof(float);
}

Status temporal_conv(const float* x, const float* weight, float* out,
                     const TemporalConvShape& shape, const ConvEpilogue<float>& epilogue,
                     void* scratch, int lanes, ParallelFor parallel_for) {
  return run(x, weight, out, shape, epilogue, scratch, lanes, parallel_for);
}

Status temporal_conv(const float* x, const Half* weight, float* out, const TemporalConvShape& shape,
                     const ConvEpilogue<float>& epilogue, void* scratch, int lanes,
                     ParallelFor parallel_for) {
  return run(x, weight, out, shape, epilogue, scratch, lanes, parallel_for);
}

Status temporal_conv(const Half* x, const Half* weight, Half* out, const TemporalConvShape& shape,
                     const ConvEpilogue<Half>& epilogue, void* scratch, int lanes,
                     ParallelFor parallel_for) {
  return run(x, weight, out, shape, epilogue, scratch, lanes, parallel_for);
}

}  // namespace mobilevd::kernels
