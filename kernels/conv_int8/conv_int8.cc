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

/// Bytes of features in 8 bits at a time: they stay in the last cache between the two passes.
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

  /// What is worked on at once: whole pictures, at least one; of a clip a strip of its positions.
  struct Group {
    std::int64_t pictures, columns;
    std::int64_t bytes;  ///< of its features in 8 bits, whole cache lines
  };
  Group group() const {
    const std::int64_t column = height * pixel_bytes(), picture = width * column;
    Group result{1, width, 0};
    if (filter_width == 1) {
      result.columns = std::clamp(kGroupBytes / column, std::min(kInt8LeastRows, width), width);
    } else {
      result.pictures =
          std::clamp<std::int64_t>(kGroupBytes / picture, 1, std::max<std::int64_t>(pictures, 1));
    }
    result.bytes = ceil_div(result.pictures * result.columns * column, 64) * 64;
    return result;
  }
};

Geometry geometry(const Conv2dShape& s) {
  return {s.batch, s.height, s.width, s.in_channels, s.out_channels, static_cast<int>(s.stride), 3};
}
Geometry geometry(const TemporalConvShape& s) {
  return {s.batch, s.frames, s.positions, s.in_channels, s.out_channels, 1, 1};
}

bool valid_outputs(std::int64_t channels) { return channels >= 1 && channels <= kInt8MostOutputs; }

/// What is wrong with sizes, by the kernel's own names of them; null if nothing is.
const char* wrong(const Conv2dShape& s) {
  if (s.batch < 0) return "conv2d_3x3_int8: batch must be >= 0";
  if (s.height < 1 || s.width < 1) return "conv2d_3x3_int8: height and width must be >= 1";
  if (s.in_channels < 1 || s.in_channels > kInt8MostChannels || !valid_outputs(s.out_channels)) {
    return "conv2d_3x3_int8: in_channels must be 1..8192, out_channels 1..2^31-16";
  }
  if (s.stride != 1 && s.stride != 2) return "conv2d_3x3_int8: stride must be 1 or 2";
  return nullptr;
}
const char* wrong(const TemporalConvShape& s) {
  if (s.batch < 0) return "temporal_conv_int8: batch must be >= 0";
  if (s.frames < 1) return "temporal_conv_int8: frames must be >= 1";
  if (s.positions < 0) return "temporal_conv_int8: positions must be >= 0";
  if (s.in_channels < 1 || s.in_channels > kInt8MostChannels || !valid_outputs(s.out_channels)) {
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
  return static_cast<std::size_t>(ceil_div(g.out_channels, 16) * 16 + kInt8MostRows +
                                  kInt8PaddingRows + 3 +
                                  (int8_rows(depth) + kInt8PaddingRows) * depth / 4);
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

/// Bytes of scratch beside the lanes': a group and a pixel of padding.
std::size_t shared_bytes(const Geometry& g) {
  return static_cast<std::size_t>(g.group().bytes + ceil_div(g.pixel_bytes(), 64) * 64);
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
  const Geometry::Group group = g.group();
  auto* const q = static_cast<std::int8_t*>(scratch);
  std::int8_t* const padding = q + group.bytes;
  std::memset(padding, range.zero_point, static_cast<std::size_t>(g.pixel_bytes()));
  void* const lanes_scratch = q + shared_bytes(g);
  const bool transforms = may_transform(g) && variant.winograd != nullptr;
  const ConvInt8Fn fn = transforms ? variant.winograd : variant.direct;
  const int side = transforms ? kInt8TileOut : 1;
  const auto work = [&](std::int64_t first, std::int64_t pictures, std::int64_t begin,
                        std::int64_t columns) {
    // Whole pictures are one line of pixels; a strip has a line of each frame.
    const bool whole = columns == g.width;
    const std::int64_t lines = whole ? 1 : g.height;
    const std::int64_t pixels = whole ? pictures * g.height * g.width : columns;
    for (std::int64_t line = 0; line < lines; ++line) {
      const float* const from = x + ((first * g.height + line) * g.width + begin) * g.in_channels;
      std::int8_t* const to = q + line * pixels * g.pixel_bytes();
      parallel_for(static_cast<std::size_t>(pixels), kPixelsAtOnce,
                   [&](std::size_t i, std::size_t end) {
                     variant.quantise(from + i * static_cast<std::size_t>(g.in_channels),
                                      static_cast<std::ptrdiff_t>(end - i),
                                      static_cast<std::ptrdiff_t>(g.in_channels), range,
                                      to + i * static_cast<std::size_t>(g.pixel_bytes()));
                   });
    }
    const std::int64_t out_columns = ceil_div(columns, g.stride);
    const std::int64_t done =
        (first * g.out_height() * g.out_width() + begin / g.stride) * g.out_channels;
    ConvEpilogue<float> finish = epilogue;
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
                               static_cast<std::ptrdiff_t>(columns),
                               static_cast<std::ptrdiff_t>(g.out_height()),
                               static_cast<std::ptrdiff_t>(out_columns),
                               static_cast<std::ptrdiff_t>(g.out_width()),
                               g.stride,
                               g.filter_width};
    const std::int64_t units =
        pictures * ceil_div(g.out_height(), side) * ceil_div(out_columns, side);
    const LaneCut cut(units, ceil_div(g.out_channels, kPanelColumns),
                      transforms ? kInt8Tiles : kInt8LeastRows, lanes);
    cut.run(parallel_for, lanes_scratch, lane_floats(g),
            [&](const LanePart& part) { fn(task, part); });
  };
  for (std::int64_t first = 0; first < g.pictures; first += group.pictures) {
    for (std::int64_t begin = 0; begin < g.width; begin += group.columns) {
      work(first, std::min(group.pictures, g.pictures - first), begin,
           std::min(group.columns, g.width - begin));
    }
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
