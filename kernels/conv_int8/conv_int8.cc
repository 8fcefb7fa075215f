#include "mobilevd/kernels/conv_int8.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "conv/check.h"
#include "conv_int8/conv_int8_internal.h"
#include "dispatch/variants.h"
#include "gemm/lane_cut.h"

namespace mobilevd::kernels {
namespace {

constexpr Variants<ConvInt8Variant> kVariants = {
    &kConvInt8Scalar,
    MOBILEVD_IF_AVX2(&kConvInt8Avx2),
    nullptr,
    MOBILEVD_IF_AVX512_VNNI(&kConvInt8Avx512Vnni),
    MOBILEVD_IF_NEON(&kConvInt8Neon),
    MOBILEVD_IF_NEON_DOTPROD(&kConvInt8NeonDotprod),
    MOBILEVD_IF_NEON_I8MM(&kConvInt8NeonI8mm),
};

/// Bytes of pictures in 8 bits at a time: they stay in the last cache between the two passes.
constexpr std::int64_t kGroupBytes = 8 << 20;
/// A lane's share of a pass over features, in pixels.
constexpr std::size_t kPixelsAtOnce = 64;

/// Both convolutions, see ConvInt8Task.
struct Geometry {
  std::int64_t pictures, height, width, in_channels, out_channels;
  int stride, filter_width;

  std::int64_t out_height() const { return ceil_div(height, stride); }
  std::int64_t out_width() const { return ceil_div(width, stride); }
  std::int64_t pixel_bytes() const { return ceil_div(in_channels, kInt8Pixel) * kInt8Pixel; }
  int taps() const { return 3 * filter_width; }

  /// Pictures that are worked on at once; their bytes are `group_bytes`.
  std::int64_t group(std::int64_t* group_bytes) const {
    const std::int64_t picture = height * width * pixel_bytes();
    const std::int64_t count =
        std::clamp<std::int64_t>(kGroupBytes / picture, 1, std::max<std::int64_t>(pictures, 1));
    *group_bytes = ceil_div(count * picture, 64) * 64;
    return count;
  }
};

Geometry geometry(const Conv2dShape& s) {
  return {s.batch, s.height, s.width, s.in_channels, s.out_channels, static_cast<int>(s.stride), 3};
}
Geometry geometry(const TemporalConvShape& s) {
  return {s.batch, s.frames, s.positions, s.in_channels, s.out_channels, 1, 1};
}

constexpr std::int64_t kMostChannels = 8192;
bool valid_outputs(std::int64_t channels) { return channels >= 1 && channels <= 2147483632; }

/// What is wrong with sizes, by the kernel's own names of them; null if nothing is.
const char* wrong(const Conv2dShape& s) {
  if (s.batch < 0) return "conv2d_3x3_int8: batch must be >= 0";
  if (s.height < 1 || s.width < 1) return "conv2d_3x3_int8: height and width must be >= 1";
  if (s.in_channels < 1 || s.in_channels > kMostChannels || !valid_outputs(s.out_channels)) {
    return "conv2d_3x3_int8: in_channels must be 1..8192, out_channels 1..2^31-16";
  }
  if (s.stride != 1 && s.stride != 2) return "conv2d_3x3_int8: stride must be 1 or 2";
  return nullptr;
}
const char* wrong(const TemporalConvShape& s) {
  if (s.batch < 0) return "temporal_conv_int8: batch must be >= 0";
  if (s.frames < 1) return "temporal_conv_int8: frames must be >= 1";
  if (s.positions < 0) return "temporal_conv_int8: positions must be >= 0";
  if (s.in_channels < 1 || s.in_channels > kMostChannels || !valid_outputs(s.out_channels)) {
    return "temporal_conv_int8: in_channels must be 1..8192, out_channels 1..2^31-16";
  }
  return nullptr;
}

std::size_t winograd_floats(const Geometry& g) {
  const std::int64_t pieces = ceil_div(g.in_channels, kInt8PieceChannels);
  return static_cast<std::size_t>(
      kInt8Frequencies * (kInt8SumStride + kInt8WeightStride / 2 + pieces * kInt8InputStride / 2));
}

std::size_t direct_floats(const Geometry& g) {
  const std::int64_t depth = g.taps() * ceil_div(g.in_channels, kInt8Group) * kInt8Group;
  const std::int64_t rows = std::clamp(kDirectBytes / depth, kDirectLeast, kDirectMost);
  return static_cast<std::size_t>(ceil_div(g.out_channels, 16) * 16 + kDirectMost + 16 +
                                  (rows + kDirectPadding) * depth / 4);
}

/// Transforms pay from a whole vector of input channels on.
bool may_transform(const Geometry& g) {
  return g.filter_width == 3 && g.stride == 1 && g.in_channels >= 16;
}

/// Floats of scratch of one lane, of any ISA; a multiple of a cache line.
std::size_t lane_floats(const Geometry& g) {
  const std::size_t floats =
      may_transform(g) ? std::max(winograd_floats(g), direct_floats(g)) : direct_floats(g);
  return (floats + 15) / 16 * 16;
}

/// Bytes of scratch beside the lanes': a group of pictures and a pixel of padding.
std::size_t shared_bytes(const Geometry& g) {
  std::int64_t bytes;
  g.group(&bytes);
  return static_cast<std::size_t>(bytes + ceil_div(g.pixel_bytes(), 64) * 64);
}

template <typename Shape>
std::size_t scratch_bytes(const Shape& shape, int lanes) {
  if (wrong(shape) != nullptr || lanes < 1 || lanes > kMaxLanes) return 0;
  const Geometry g = geometry(shape);
  if (g.width == 0) return 64;
  std::int64_t bytes;
  if (!array_bytes({g.height, g.width, g.pixel_bytes()}, 1, &bytes)) return 0;
  return shared_bytes(g) + static_cast<std::size_t>(lanes) * lane_floats(g) * sizeof(float);
}

template <typename Shape>
Status run(const ConvMessages& says, const char* range_message, const float* x,
           const std::int8_t* weight, const float* scales, float* out, const Shape& shape,
           const Int8Range& range, const ConvEpilogue<float>& epilogue, void* scratch, int lanes,
           ParallelFor parallel_for) {
  const Status startup = startup_status();
  if (!startup.ok()) return startup;
  if (const char* message = wrong(shape)) return invalid_argument(message);
  if (lanes < 1 || lanes > kMaxLanes) return invalid_argument(says.lanes);
  if (!std::isfinite(range.scale) || range.scale < 0x1p-100f || range.zero_point < -128 ||
      range.zero_point > 127) {
    return invalid_argument(range_message);
  }
  const Geometry g = geometry(shape);
  if (g.pictures == 0 || g.width == 0) return ok_status();
  if (scales == nullptr) return invalid_argument(says.null);
  const Status arrays =
      check_conv(says, x, {g.pictures, g.height, g.width, g.in_channels}, weight, g.taps(), out,
                 {g.pictures, g.out_height(), g.out_width(), g.out_channels}, epilogue, scratch);
  if (!arrays.ok()) return arrays;
  const ConvInt8Sizes sizes = conv_int8_sizes(g.in_channels, g.out_channels, g.taps());
  const std::int64_t out_bytes = g.pictures * g.out_height() * g.out_width() * g.out_channels * 4;
  if (overlap(out, out_bytes, weight, static_cast<std::int64_t>(sizes.packed)) ||
      overlap(out, out_bytes, scales, static_cast<std::int64_t>(sizes.scales) * 4)) {
    return invalid_argument(says.overlap);
  }

  const ConvInt8Variant& variant = kVariants.chosen();
  std::int64_t group_bytes;
  const std::int64_t group = g.group(&group_bytes);
  auto* const q = static_cast<std::int8_t*>(scratch);
  std::int8_t* const padding = q + group_bytes;
  std::memset(padding, range.zero_point, static_cast<std::size_t>(g.pixel_bytes()));
  void* const lanes_scratch = q + shared_bytes(g);
  const bool transforms = may_transform(g) && variant.winograd != nullptr;
  const ConvInt8Fn fn = transforms ? variant.winograd : variant.direct;
  const int side = transforms ? kInt8TileOut : 1;
  const std::int64_t picture_pixels = g.height * g.width;
  const std::int64_t picture_outputs = g.out_height() * g.out_width();
  const std::int64_t picture_units = ceil_div(g.out_height(), side) * ceil_div(g.out_width(), side);

  for (std::int64_t first = 0; first < g.pictures; first += group) {
    const std::int64_t pictures = std::min(group, g.pictures - first);
    const float* const from = x + first * picture_pixels * g.in_channels;
    parallel_for(static_cast<std::size_t>(pictures * picture_pixels), kPixelsAtOnce,
                 [&](std::size_t begin, std::size_t end) {
                   variant.quantise(from + begin * static_cast<std::size_t>(g.in_channels),
                                    static_cast<std::ptrdiff_t>(end - begin),
                                    static_cast<std::ptrdiff_t>(g.in_channels), range,
                                    q + begin * static_cast<std::size_t>(g.pixel_bytes()));
                 });
    ConvEpilogue<float> finish = epilogue;
    const std::int64_t done = first * picture_outputs * g.out_channels;
    if (finish.residual != nullptr) finish.residual += done;
    const ConvInt8Task task = {q,
                               padding,
                               weight,
                               scales,
                               out + done,
                               finish,
                               range,
                               static_cast<std::ptrdiff_t>(g.pixel_bytes()),
                               static_cast<std::ptrdiff_t>(g.in_channels),
                               static_cast<std::ptrdiff_t>(g.out_channels),
                               static_cast<std::ptrdiff_t>(g.height),
                               static_cast<std::ptrdiff_t>(g.width),
                               static_cast<std::ptrdiff_t>(g.out_height()),
                               static_cast<std::ptrdiff_t>(g.out_width()),
                               g.stride,
                               g.filter_width};
    const LaneCut cut(pictures * picture_units, ceil_div(g.out_channels, kPanelColumns),
                      transforms ? kInt8Tiles : kDirectLeast, lanes);
    cut.run(parallel_for, lanes_scratch, lane_floats(g),
            [&](const LanePart& part) { fn(task, part); });
  }
  return ok_status();
}

}  // namespace

std::size_t conv2d_3x3_int8_scratch_bytes(const Conv2dShape& shape, int lanes) {
  return scratch_bytes(shape, lanes);
}
std::size_t temporal_conv_int8_scratch_bytes(const TemporalConvShape& shape, int lanes) {
  return scratch_bytes(shape, lanes);
}

Status conv2d_3x3_int8(const float* x, const std::int8_t* weight, const float* scales, float* out,
                       const Conv2dShape& shape, const Int8Range& range,
                       const ConvEpilogue<float>& epilogue, void* scratch, int lanes,
                       ParallelFor parallel_for) {
  return run(MOBILEVD_CONV_MESSAGES("conv2d_3x3_int8"),
             "conv2d_3x3_int8: scale must be finite and at least 2^-100, zero_point -128..127", x,
             weight, scales, out, shape, range, epilogue, scratch, lanes, parallel_for);
}

Status temporal_conv_int8(const float* x, const std::int8_t* weight, const float* scales,
                          float* out, const TemporalConvShape& shape, const Int8Range& range,
                          const ConvEpilogue<float>& epilogue, void* scratch, int lanes,
                          ParallelFor parallel_for) {
  return run(MOBILEVD_CONV_MESSAGES("temporal_conv_int8"),
             "temporal_conv_int8: scale must be finite and at least 2^-100, zero_point -128..127",
             x, weight, scales, out, shape, range, epilogue, scratch, lanes, parallel_for);
}

}  // namespace mobilevd::kernels
