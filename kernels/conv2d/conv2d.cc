#include "mobilevd/kernels/conv2d.h"

#include <cstdint>

#include "conv/check.h"
#include "conv2d/conv2d_internal.h"
#include "dispatch/variants.h"
#include "gemm/lane_cut.h"

namespace mobilevd::kernels {
namespace {

constexpr Variants<Conv2dVariant> kVariants = {
    &kConv2dScalar, MOBILEVD_IF_AVX2(&kConv2dAvx2), MOBILEVD_IF_AVX512(&kConv2dAvx512),
    nullptr,        MOBILEVD_IF_NEON(&kConv2dNeon),
};

constexpr ConvMessages kSays = MOBILEVD_CONV_MESSAGES("conv2d_3x3");

/// A transform pays from a vector of input channels on: for three outputs, too.
bool transforms(const Conv2dShape& s) { return s.in_channels >= 16; }

/// Rows and columns of outputs of a unit of work.
int unit_side(const Conv2dShape& s) {
  if (!transforms(s)) return 1;
  return s.stride == 1 ? kTileOut : kStridedOut;
}

Status check(const Conv2dShape& s) {
  if (s.batch < 0) return invalid_argument("conv2d_3x3: batch must be >= 0");
  if (s.height < 1 || s.width < 1) {
    return invalid_argument("conv2d_3x3: height and width must be >= 1");
  }
  if (s.in_channels < 1 || s.out_channels < 1) {
    return invalid_argument("conv2d_3x3: in_channels and out_channels must be >= 1");
  }
  if (s.stride != 1 && s.stride != 2) return invalid_argument("conv2d_3x3: stride must be 1 or 2");
  return ok_status();
}

/// Weights of a group's piece, its sums, the chunk's inputs: [frequency][...].
std::size_t winograd_scratch(std::size_t in_channels) {
  return kFrequencies * (kWeightStride + kSumStride + kConvChunkRows * in_channels + kConvChunkPad);
}

/// A row of zeros, then nine taps of the chunk.
std::size_t direct_scratch(std::size_t in_channels) {
  return (in_channels + 15) / 16 * 16 + kConvChunkRows * 9 * in_channels + kConvChunkPad;
}

/// Sums of taps of two panels, nine products of a block, the chunk's inputs.
std::size_t strided_scratch(std::size_t in_channels) {
  return kStridedTapSums * 2 * kPanelColumns * in_channels +
         9 * kConvChunkRows * 2 * kPanelColumns +
         kStridedIn * kStridedIn * kConvChunkRows * in_channels + kConvChunkPad;
}

/// Floats of scratch of one lane, a multiple of a cache line.
std::size_t lane_scratch(const Conv2dShape& s) {
  const auto channels = static_cast<std::size_t>(s.in_channels);
  const int side = unit_side(s);
  const std::size_t floats = side == kTileOut      ? winograd_scratch(channels)
                             : side == kStridedOut ? strided_scratch(channels)
                                                   : direct_scratch(channels);
  return (floats + 15) / 16 * 16;
}

template <typename T, typename W>
Status run(const T* x, const W* weight, T* out, const Conv2dShape& s,
           const ConvEpilogue<T>& epilogue, void* scratch, int lanes, ParallelFor parallel_for) {
  const Status startup = startup_status();
  if (!startup.ok()) return startup;
  if (const Status status = check(s); !status.ok()) return status;
  if (lanes < 1 || lanes > kMaxLanes) return invalid_argument(kSays.lanes);
  if (s.batch == 0) return ok_status();
  const std::int64_t out_height = ceil_div(s.height, s.stride);
  const std::int64_t out_width = ceil_div(s.width, s.stride);
  const Status arrays =
      check_conv(kSays, x, {s.batch, s.height, s.width, s.in_channels}, weight, 9, out,
                 {s.batch, out_height, out_width, s.out_channels}, epilogue, scratch);
  if (!arrays.ok()) return arrays;

  const Conv2dTask<T, W> task = {x,
                                 weight,
                                 out,
                                 epilogue,
                                 static_cast<std::ptrdiff_t>(s.height),
                                 static_cast<std::ptrdiff_t>(s.width),
                                 static_cast<std::ptrdiff_t>(out_height),
                                 static_cast<std::ptrdiff_t>(out_width),
                                 static_cast<std::ptrdiff_t>(s.in_channels),
                                 static_cast<std::ptrdiff_t>(s.out_channels),
                                 static_cast<int>(s.stride)};
  const int side = unit_side(s);
  const std::int64_t units = s.batch * ceil_div(out_height, side) * ceil_div(out_width, side);
  const auto& methods = for_storage<T, W>(kVariants.chosen());
  const Conv2dFn<T, W> fn = side == kTileOut      ? methods.winograd
                            : side == kStridedOut ? methods.strided
                                                  : methods.direct;
  const LaneCut cut(units, ceil_div(s.out_channels, kPanelColumns), kConvChunk, lanes);
  cut.run(parallel_for, scratch, lane_scratch(s), [&](const LanePart& part) { fn(task, part); });
  return ok_status();
}

}  // namespace

std::size_t conv2d_3x3_scratch_bytes(const Conv2dShape& shape, int lanes) {
  if (!check(shape).ok() || lanes < 1 || lanes > kMaxLanes) return 0;
  return static_cast<std::size_t>(lanes) * lane_scratch(shape) * sizeof(float);
}

Status conv2d_3x3(const float* x, const float* weight, float* out, const Conv2dShape& shape,
                  const ConvEpilogue<float>& epilogue, void* scratch, int lanes,
                  ParallelFor parallel_for) {
  return run(x, weight, out, shape, epilogue, scratch, lanes, parallel_for);
}

Status conv2d_3x3(const float* x, const Half* weight, float* out, const Conv2dShape& shape,
                  const ConvEpilogue<float>& epilogue, void* scratch, int lanes,
                  ParallelFor parallel_for) {
  return run(x, weight, out, shape, epilogue, scratch, lanes, parallel_for);
}

Status conv2d_3x3(const Half* x, const Half* weight, Half* out, const Conv2dShape& shape,
                  const ConvEpilogue<Half>& epilogue, void* scratch, int lanes,
                  ParallelFor parallel_for) {
  return run(x, weight, out, shape, epilogue, scratch, lanes, parallel_for);
}

}  // namespace mobilevd::kernels
