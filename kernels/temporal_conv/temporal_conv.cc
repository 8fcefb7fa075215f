#include "mobilevd/kernels/temporal_conv.h"

#include <algorithm>
#include <cstdint>

#include "dispatch/arguments.h"
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

TemporalConvFn<float, float> function(const TemporalConvVariant& v, const float*, const float*) {
  return v.f32;
}
TemporalConvFn<float, Half> function(const TemporalConvVariant& v, const float*, const Half*) {
  return v.f32_f16;
}
TemporalConvFn<Half, Half> function(const TemporalConvVariant& v, const Half*, const Half*) {
  return v.f16;
}

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
  if (lanes < 1 || lanes > kMaxLanes) {
    return invalid_argument("temporal_conv: lanes must be 1..1024");
  }
  if (s.batch == 0 || s.positions == 0) return ok_status();
  const std::int64_t panels = ceil_div(s.out_channels, kPanelColumns);
  std::int64_t x_bytes, out_bytes, weight_bytes;
  if (!array_bytes({s.batch, s.frames, s.positions, s.in_channels}, sizeof(T), &x_bytes) ||
      !array_bytes({s.batch, s.frames, s.positions, s.out_channels}, sizeof(T), &out_bytes) ||
      !array_bytes({panels, 3, s.in_channels, kPanelColumns}, sizeof(W), &weight_bytes)) {
    return invalid_argument("temporal_conv: sizes overflow 64 bits");
  }
  if (x == nullptr || weight == nullptr || out == nullptr || scratch == nullptr) {
    return invalid_argument("temporal_conv: x, weight, out and scratch must not be null");
  }
  if (reinterpret_cast<std::uintptr_t>(scratch) % 64 != 0) {
    return invalid_argument("temporal_conv: scratch must be 64-byte aligned");
  }
  if (overlap(out, out_bytes, x, x_bytes) || overlap(out, out_bytes, weight, weight_bytes) ||
      (epilogue.residual != nullptr && epilogue.residual != out &&
       overlap(out, out_bytes, epilogue.residual, out_bytes))) {
    return invalid_argument("temporal_conv: out must not overlap x, weight or residual");
  }

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
  const auto fn = function(variant, x, weight);
  const LaneCut cut(s.batch * blocks, panels, 1, lanes);
  const std::size_t floats = lane_scratch(s);
  parallel_for(cut.lanes(), 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t lane = begin; lane < end; ++lane) {
      fn(task, {cut.unit_begin(lane), cut.unit_end(lane), cut.panel_begin(lane),
                cut.panel_end(lane), static_cast<float*>(scratch) + lane * floats});
    }
  });
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
