// What does not depend on the ISA: packing, what is refused, the size of scratch.
#include <cstring>
#include <limits>

#include "mobilevd/kernels/conv_int8.h"
#include "testing/isa_test.h"

namespace mobilevd::kernels {
namespace {

using namespace testing_isa;

TEST(ConvInt8Pack, LayoutIsTheHeaders) {
  for (const int taps : {3, 9}) {
    for (const auto& [in, out] : {std::pair{1, 1}, {8, 16}, {13, 20}, {20, 33}}) {
      SCOPED_TRACE(testing::Message() << in << " -> " << out << ", " << taps << " taps");
      const int panels = (out + 15) / 16, groups = (in + 7) / 8;
      const ConvInt8Sizes sizes = conv_int8_sizes(in, out, taps);
      ASSERT_EQ(sizes.packed, static_cast<std::size_t>(panels * taps * groups * 16 * 8));
      ASSERT_EQ(sizes.scales, static_cast<std::size_t>(panels * 16));
      Guarded<float> weight(out * in * taps, 1), scales(sizes.scales, 1);
      weight.fill_normal(1);
      for (int i = 0; i < in * taps; ++i) weight[i] = 0;  // the first channel has no largest weight
      std::vector<std::int8_t> packed(sizes.packed + 64, 99);
      ASSERT_TRUE(pack_conv_int8(weight.data(), packed.data(), scales.data(), in, out, taps).ok());
      std::size_t at = 0;
      for (int panel = 0; panel < panels; ++panel) {
        for (int tap = 0; tap < taps; ++tap) {
          for (int group = 0; group < groups; ++group) {
            for (int i = 0; i < 16 * 8; ++i, ++at) {
              const int o = panel * 16 + i / 8, c = group * 8 + i % 8;
              double want = 0, largest = 0;
              for (int j = 0; o < out && j < in * taps; ++j) {
                largest = std::max(largest, std::fabs(double{weight[o * in * taps + j]}));
              }
              ASSERT_EQ(scales[o], static_cast<float>(largest) / 127);
              if (largest > 0 && c < in) {
                want = std::nearbyint(weight[(o * in + c) * taps + tap] * (127 / largest));
              }
              ASSERT_EQ(packed[at], want) << "at " << at;
            }
          }
        }
      }
      for (; at < packed.size(); ++at) ASSERT_EQ(packed[at], 99);
      scales.expect_guards_untouched();
    }
  }
}

TEST(ConvInt8Pack, RefusesWhatItCannotPack) {
  std::vector<float> weight(4 * 8 * 9, 1.0f), scales(16);
  std::vector<std::int8_t> packed(16 * 8 * 9);
  const auto message = [&](std::int64_t in, std::int64_t out, int taps) {
    const Status status =
        pack_conv_int8(weight.data(), packed.data(), scales.data(), in, out, taps);
    EXPECT_EQ(status.code, StatusCode::kInvalidArgument);
    EXPECT_EQ(conv_int8_sizes(in, out, taps).packed == 0, !std::strstr(status.message, "NaN"));
    return std::string(status.message);
  };
  EXPECT_NE(message(0, 4, 9).find("in_channels"), std::string::npos);
  EXPECT_NE(message(8193, 4, 9).find("in_channels"), std::string::npos);
  EXPECT_NE(message(8, 0, 9).find("out_channels"), std::string::npos);
  EXPECT_NE(message(8, INT64_MAX, 9).find("out_channels"), std::string::npos);
  EXPECT_NE(message(8, 4, 4).find("taps"), std::string::npos);
  EXPECT_EQ(conv_int8_sizes(8, 0, 9).scales, 0u);
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
    weight[77] = bad;
    EXPECT_NE(message(8, 4, 9).find("NaN or Inf"), std::string::npos);
  }
  weight[77] = 1;
  EXPECT_TRUE(pack_conv_int8(weight.data(), packed.data(), scales.data(), 8, 4, 9).ok());
  EXPECT_FALSE(pack_conv_int8(nullptr, packed.data(), scales.data(), 8, 4, 9).ok());
  EXPECT_FALSE(pack_conv_int8(weight.data(), nullptr, scales.data(), 8, 4, 9).ok());
  EXPECT_FALSE(pack_conv_int8(weight.data(), packed.data(), nullptr, 8, 4, 9).ok());
}

template <typename Shape>
struct Call {
  const float* x;
  const std::int8_t* weight;
  const float* scales;
  float* out;
  Shape shape;
  Int8Range range;
  ConvEpilogue<float> epilogue;
  char* scratch;
  int lanes = 1;
};
Status run(const Call<Conv2dShape>& c) {
  return conv2d_3x3_int8(c.x, c.weight, c.scales, c.out, c.shape, c.range, c.epilogue, c.scratch,
                         c.lanes);
}
Status run(const Call<TemporalConvShape>& c) {
  return temporal_conv_int8(c.x, c.weight, c.scales, c.out, c.shape, c.range, c.epilogue, c.scratch,
                            c.lanes);
}

/// Makes one change to a call that is fine, and expects it refused in words that contain `says`.
template <typename Shape>
struct Refused {
  const Shape shape;
  const std::size_t scratch_bytes;

  template <typename Change>
  void operator()(Change&& change, const char* says) const {
    SCOPED_TRACE(says);
    Guarded<float> x(16 * 16), out(16 * 16), scales(16);
    std::vector<std::int8_t> weight(conv_int8_sizes(16, 16, 9).packed);
    x.fill_normal(1);
    out.fill_normal(2);
    scales.fill_normal(3);
    const std::vector<float> before(out.data(), out.data() + out.size());
    Scratch scratch(scratch_bytes + 64);
    Call<Shape> call{x.data(), weight.data(), scales.data(), out.data(), shape, {0.5f, 3},
                     {},       scratch.data()};
    const Call<Shape> fine = call;
    change(call);
    const Status status = run(call);
    EXPECT_EQ(status.code, StatusCode::kInvalidArgument);
    EXPECT_NE(std::string(status.message).find(says), std::string::npos) << status.message;
    EXPECT_EQ(std::memcmp(out.data(), before.data(), before.size() * sizeof(float)), 0);
    EXPECT_TRUE(run(fine).ok());
    out.expect_guards_untouched();
  }
};

/// What both kernels refuse.
template <typename Shape>
void check_refused(const Refused<Shape>& refused) {
  refused([](auto& c) { c.shape.batch = -1; }, "batch");
  refused([](auto& c) { c.shape.in_channels = 0; }, "in_channels");
  refused([](auto& c) { c.shape.in_channels = 8193; }, "in_channels");
  refused([](auto& c) { c.shape.out_channels = 0; }, "out_channels");
  refused([](auto& c) { c.shape.batch = std::int64_t{1} << 60; }, "overflow");
  refused([](auto& c) { c.lanes = 0; }, "lanes");
  refused([](auto& c) { c.lanes = 1025; }, "lanes");
  for (const float scale :
       {0.0f, -1.0f, 1e-31f, std::nanf(""), std::numeric_limits<float>::infinity()}) {
    refused([&](auto& c) { c.range.scale = scale; }, "scale");
  }
  refused([](auto& c) { c.range.zero_point = -129; }, "zero_point");
  refused([](auto& c) { c.range.zero_point = 128; }, "zero_point");
  refused([](auto& c) { c.x = nullptr; }, "null");
  refused([](auto& c) { c.weight = nullptr; }, "null");
  refused([](auto& c) { c.scales = nullptr; }, "null");
  refused([](auto& c) { c.out = nullptr; }, "null");
  refused([](auto& c) { c.scratch = nullptr; }, "null");
  refused([](auto& c) { c.scratch += 4; }, "aligned");
  refused([](auto& c) { c.x = c.out; }, "overlap");
  refused([](auto& c) { c.weight = reinterpret_cast<std::int8_t*>(c.out + 5); }, "overlap");
  refused([](auto& c) { c.scales = c.out; }, "overlap");
  refused([](auto& c) { c.epilogue.residual = c.out + 1; }, "overlap");
  refused([](auto& c) { c.epilogue.bias = c.out; }, "overlap");
  refused([](auto& c) { c.epilogue.activation = static_cast<ConvActivation>(3); }, "activation");
}

TEST(ConvInt8Errors, NameTheArgumentAndLeaveOutAlone) {
  const Conv2dShape s{1, 4, 4, 16, 16, 1};
  const Refused<Conv2dShape> refused{s, conv2d_3x3_int8_scratch_bytes(s, 1)};
  check_refused(refused);
  refused([](auto& c) { c.shape.height = 0; }, "height");
  refused(
      [](auto& c) {  // a channel is a group of 8 in the weight
        c.shape.in_channels = 1;
        const auto bytes = conv_int8_sizes(1, c.shape.out_channels, 9).packed;
        c.weight = reinterpret_cast<const std::int8_t*>(c.out) - (bytes - 1);
      },
      "overlap");
  refused([](auto& c) { c.shape.width = 0; }, "width");
  refused([](auto& c) { c.shape.stride = 3; }, "stride");
  EXPECT_EQ(conv2d_3x3_int8_scratch_bytes({1, 4, 4, 16, 16, 3}, 1), 0u);
  EXPECT_EQ(conv2d_3x3_int8_scratch_bytes({1, 4, 4, 8193, 16, 1}, 1), 0u);
  EXPECT_EQ(conv2d_3x3_int8_scratch_bytes({1, INT64_MAX / 4, 4, 16, 16, 1}, 1), 0u);
  EXPECT_EQ(conv2d_3x3_int8_scratch_bytes(s, 0), 0u);
}

TEST(ConvInt8Errors, NameTheArgumentOfTemporalConvToo) {
  const TemporalConvShape s{1, 4, 4, 16, 16};
  const Refused<TemporalConvShape> refused{s, temporal_conv_int8_scratch_bytes(s, 1)};
  check_refused(refused);
  refused([](auto& c) { c.shape.frames = 0; }, "frames");
  refused([](auto& c) { c.shape.positions = -1; }, "positions");
  EXPECT_EQ(temporal_conv_int8_scratch_bytes({1, 0, 4, 16, 16}, 1), 0u);
  EXPECT_EQ(temporal_conv_int8_scratch_bytes({1, 4, INT64_MAX / 4, 16, 16}, 1), 0u);
  EXPECT_EQ(temporal_conv_int8_scratch_bytes(s, 1025), 0u);
}

TEST(ConvInt8Errors, EmptyBatchNeedsNoPointers) {
  const Call<Conv2dShape> pictures{nullptr, nullptr, nullptr, nullptr, {0, 4, 4, 8, 8, 1},
                                   {},      {},      nullptr};
  EXPECT_TRUE(run(pictures).ok());
  Call<TemporalConvShape> clips{nullptr,         nullptr, nullptr, nullptr,
                                {0, 4, 4, 8, 8}, {},      {},      nullptr};
  EXPECT_TRUE(run(clips).ok());
  clips.shape = {1, 4, 0, 8, 8};
  EXPECT_TRUE(run(clips).ok());
  clips.shape = {1, 4, 1, 8, 8};
  EXPECT_FALSE(run(clips).ok());
}

TEST(ConvInt8Scratch, IsBoundedAsTheHeaderSays) {
  for (const std::int64_t in : {1, 16, 320, 1280, 8192}) {
    for (const std::int64_t stride : {1, 2}) {
      const Conv2dShape s{100, 256, 128, in, 320, stride};
      const std::int64_t picture = 256 * 128 * ((in + 15) / 16 * 16);
      const std::int64_t shared = std::max<std::int64_t>(8 << 20, picture) + 8192;
      const std::int64_t lane = 31 * 1024 / 10 * ((in + 63) / 64 * 64) + 600 * 1024;
      const std::size_t bytes = conv2d_3x3_int8_scratch_bytes(s, 2);
      EXPECT_GT(bytes, static_cast<std::size_t>(picture)) << in << " channels, stride " << stride;
      EXPECT_LE(bytes, static_cast<std::size_t>(shared + 2 * lane))
          << in << " channels, stride " << stride;
      const TemporalConvShape clip{1, 14, 256 * 128, in, 320};
      const std::size_t of_clip = temporal_conv_int8_scratch_bytes(clip, 2);
      EXPECT_GT(of_clip, std::size_t{7 << 20});
      EXPECT_LE(of_clip, static_cast<std::size_t>((8 << 20) + 8192 + 2 * lane)) << in;
    }
  }
}

}  // namespace
}  // namespace mobilevd::kernels
