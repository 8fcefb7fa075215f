#include "mobilevd/kernels/conv2d.h"

#include <cstring>

#include "testing/activated.h"
#include "testing/emulation.h"
#include "testing/isa_test.h"

namespace mobilevd::kernels {
namespace {

using namespace testing_isa;

class Conv2dTest : public IsaTest {};
MOBILEVD_TEST_EVERY_ISA(Conv2dTest);

template <typename T, typename W>
struct Problem {
  Conv2dShape shape;
  std::int64_t out_height, out_width;
  Guarded<T> x, residual, out;
  Guarded<W> weight, packed;
  Guarded<float> bias;
  ConvEpilogue<T> epilogue;

  Problem(const Conv2dShape& s, unsigned seed, int misalign = 0)
      : shape(s),
        out_height((s.height + s.stride - 1) / s.stride),
        out_width((s.width + s.stride - 1) / s.stride),
        x(s.batch * s.height * s.width * s.in_channels, misalign),
        residual(out_size(), misalign),
        out(out_size(), misalign),
        weight(s.out_channels * s.in_channels * 9, misalign),
        packed(conv_packed_size(s.in_channels, s.out_channels, 9), misalign),
        bias(s.out_channels, misalign) {
    x.fill_normal(seed);
    residual.fill_normal(seed + 1);
    weight.fill_normal(seed + 2, 1 / std::sqrt(9.0f * s.in_channels));
    bias.fill_normal(seed + 3);
    EXPECT_TRUE(
        pack_conv_weight(weight.data(), packed.data(), s.in_channels, s.out_channels, 9).ok());
    packed.expect_guards_untouched();
  }

  std::size_t out_size() const { return shape.batch * out_height * out_width * shape.out_channels; }

  Status run(int lanes = 1, ParallelFor parallel_for = serial_for) {
    Scratch scratch(conv2d_3x3_scratch_bytes(shape, lanes));
    return conv2d_3x3(x.data(), packed.data(), out.data(), shape, epilogue, scratch.data(), lanes,
                      parallel_for);
  }

  /// An output before the epilogue in float64, from the definition; `magnitude` is the sum of the
  /// absolute products, what rounding errors are relative to.
  double expected(std::int64_t n, std::int64_t y, std::int64_t xx, std::int64_t o,
                  double* magnitude) const {
    const Conv2dShape& s = shape;
    double sum = 0;
    *magnitude = 0;
    for (int tap = 0; tap < 9; ++tap) {
      const std::int64_t iy = y * s.stride + tap / 3 - 1, ix = xx * s.stride + tap % 3 - 1;
      if (iy < 0 || iy >= s.height || ix < 0 || ix >= s.width) continue;
      for (std::int64_t c = 0; c < s.in_channels; ++c) {
        const double product = static_cast<double>(widen(
                                   x[((n * s.height + iy) * s.width + ix) * s.in_channels + c])) *
                               widen(weight[(o * s.in_channels + c) * 9 + tap]);
        sum += product;
        *magnitude += std::fabs(product);
      }
    }
    return sum;
  }

  void check() const {
    double largest_magnitude = 0;
    std::vector<double> want(out_size());
    std::size_t i = 0;
    for (std::int64_t n = 0; n < shape.batch; ++n) {
      for (std::int64_t y = 0; y < out_height; ++y) {
        for (std::int64_t xx = 0; xx < out_width; ++xx) {
          for (std::int64_t o = 0; o < shape.out_channels; ++o, ++i) {
            double magnitude;
            want[i] = expected(n, y, xx, o, &magnitude);
            largest_magnitude = std::max(largest_magnitude, magnitude);
            if (epilogue.bias != nullptr) want[i] += epilogue.bias[o];
            if (epilogue.residual != nullptr) want[i] += widen(epilogue.residual[i]);
            want[i] = activated(epilogue.activation, want[i]);
          }
        }
      }
    }
    for (i = 0; i < want.size(); ++i) {
      // Winograd's transforms grow the rounding errors of a tile's sums; see winograd_inl.h.
      const double tolerance =
          4e-6 * (largest_magnitude + 0.1) + 1.1 * kStorageEpsilon<T> * std::fabs(want[i]);
      ASSERT_LE(std::fabs(widen(out[i]) - want[i]), tolerance)
          << "at [pixel " << i / shape.out_channels << ", channel " << i % shape.out_channels
          << "]: got " << widen(out[i]) << ", float64 " << want[i];
    }
    out.expect_guards_untouched();
  }
};

template <typename T, typename W>
void check_shapes() {
  unsigned seed = 1, cases = 0;
  for (const auto& [height, width] : {std::pair{1, 1}, {2, 3}, {4, 8}, {5, 9}, {13, 4}}) {
    for (const auto& [in, out] :
         {std::pair{1, 1}, {8, 20}, {16, 16}, {40, 24}, {70, 100}, {130, 4}, {24, 48}}) {
      for (const int stride : {1, 2}) {
        const Conv2dShape shape{height == 4 ? 3 : 1, height, width, in, out, stride};
        if (left_out(cases++)) continue;
        SCOPED_TRACE(testing::Message() << shape.batch << "x" << height << "x" << width << "x" << in
                                        << " -> " << out << " stride " << stride);
        Problem<T, W> problem(shape, seed += 7);
        ASSERT_TRUE(problem.run().ok());
        problem.check();
        if (testing::Test::HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(Conv2dTest, OddShapesFloat32) { check_shapes<float, float>(); }
TEST_P(Conv2dTest, OddShapesFloat16Weights) { check_shapes<float, Half>(); }
TEST_P(Conv2dTest, OddShapesFloat16) { check_shapes<Half, Half>(); }

TEST_P(Conv2dTest, Epilogues) {
  for (const int stride : {1, 2}) {
    for (int bits = 0; bits < 12; ++bits) {
      Problem<float, float> problem({2, 7, 6, 24, 37, stride}, 5);
      problem.epilogue = {bits & 1 ? problem.bias.data() : nullptr,
                          bits & 2 ? problem.residual.data() : nullptr,
                          static_cast<ConvActivation>(bits / 4)};
      ASSERT_TRUE(problem.run().ok());
      problem.check();
    }
  }
}

TEST_P(Conv2dTest, OutMayBeTheResidual) {
  Problem<float, float> apart({1, 6, 6, 32, 32, 1}, 9), together({1, 6, 6, 32, 32, 1}, 9);
  apart.epilogue.residual = apart.residual.data();
  ASSERT_TRUE(apart.run().ok());
  std::memcpy(together.out.data(), together.residual.data(), together.out.size() * 4);
  together.epilogue.residual = together.out.data();
  ASSERT_TRUE(together.run().ok());
  ASSERT_EQ(std::memcmp(apart.out.data(), together.out.data(), apart.out.size() * 4), 0);
}

TEST_P(Conv2dTest, UnalignedPointers) {
  for (int misalign = 1; misalign < 16; misalign += 3) {
    Problem<float, float> problem({1, 5, 5, 24, 40, 1}, 3, misalign);
    problem.epilogue = {problem.bias.data(), problem.residual.data(), ConvActivation::kSilu};
    ASSERT_TRUE(problem.run().ok());
    problem.check();
    Problem<Half, Half> half({1, 5, 5, 24, 40, 1}, 3, misalign);
    ASSERT_TRUE(half.run().ok());
    half.check();
  }
}

/// More tiles than a chunk, more channels than a piece, more panels than a group.
TEST_P(Conv2dTest, LanesAndThreadsGiveTheSameBits) {
  for (const int stride : {1, 2}) {
    Problem<float, float> problem({3, 19, 23, 20, 84, stride}, 4);
    if (GetParam() != Isa::kScalar) problem.shape.batch = 3;
    ASSERT_TRUE(problem.run().ok());
    problem.check();
    std::vector<float> alone(problem.out.data(), problem.out.data() + problem.out.size());
    for (const int lanes : {2, 3, 4, 7, 16}) {
      for (const std::size_t piece : {1, 3}) {
        std::memset(problem.out.data(), 0xFF, problem.out.size() * 4);
        ASSERT_TRUE(problem.run(lanes, Threaded{piece}).ok());
        ASSERT_EQ(std::memcmp(alone.data(), problem.out.data(), alone.size() * 4), 0)
            << lanes << " lanes in pieces of " << piece;
      }
    }
  }
}

TEST_P(Conv2dTest, ManyInputChannels) {
  Problem<float, float> problem({1, 8, 8, 200, 32, 1}, 4);
  ASSERT_TRUE(problem.run().ok());
  problem.check();
}

TEST_P(Conv2dTest, NanReachesOnlyWhatReadsIt) {
  for (const auto& [stride, activation] : {std::pair{1, ConvActivation::kNone},
                                           {2, ConvActivation::kRelu},
                                           {1, ConvActivation::kRelu},
                                           {1, ConvActivation::kSilu}}) {
    Problem<float, float> clean({2, 12, 12, 16, 16, stride}, 6),
        dirty({2, 12, 12, 16, 16, stride}, 6);
    clean.epilogue.activation = dirty.epilogue.activation = activation;
    dirty.x[((0 * 12 + 5) * 12 + 6) * 16 + 3] = std::numeric_limits<float>::quiet_NaN();
    ASSERT_TRUE(clean.run().ok());
    ASSERT_TRUE(dirty.run().ok());
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(clean.out.size()); ++i) {
      const std::int64_t pixel = i / 16, y = pixel / clean.out_width % clean.out_height * stride;
      const std::int64_t x = pixel % clean.out_width * stride;
      const bool second = pixel >= clean.out_width * clean.out_height;
      const bool reads = !second && std::abs(y - 5) <= 1 && std::abs(x - 6) <= 1;
      // Winograd computes 4x4 outputs from the same 6x6 inputs.
      const bool near = !second && std::abs(y - 5) <= 5 && std::abs(x - 6) <= 5;
      if (reads) {
        ASSERT_TRUE(std::isnan(dirty.out[i])) << "swallowed at pixel " << pixel;
      } else if (!near) {
        ASSERT_EQ(clean.out[i], dirty.out[i]) << "reached pixel " << pixel;
      }
    }
  }
}

TEST_P(Conv2dTest, EmptyBatchNeedsNoPointers) {
  const float* none = nullptr;
  EXPECT_TRUE(
      conv2d_3x3(none, none, static_cast<float*>(nullptr), {0, 4, 4, 8, 8, 1}, {}, nullptr, 1)
          .ok());
}

TEST_P(Conv2dTest, BadArgumentsAreRefusedAndOutIsUntouched) {
  const auto refused = [](auto&& change, const char* says) {
    Problem<float, float> p({1, 4, 4, 16, 16, 1}, 2);
    const std::vector<float> before(p.out.data(), p.out.data() + p.out.size());
    struct Call {
      const float *x, *weight;
      float* out;
      Conv2dShape shape;
      ConvEpilogue<float> epilogue;
      char* scratch;
      int lanes;
    };
    Scratch scratch(conv2d_3x3_scratch_bytes(p.shape, 1) + 64);
    Call call{p.x.data(), p.packed.data(), p.out.data(), p.shape, p.epilogue, scratch.data(), 1};
    change(call);
    const Status status = conv2d_3x3(call.x, call.weight, call.out, call.shape, call.epilogue,
                                     call.scratch, call.lanes);
    EXPECT_EQ(status.code, StatusCode::kInvalidArgument) << says;
    EXPECT_NE(std::string(status.message).find(says), std::string::npos) << status.message;
    EXPECT_EQ(std::memcmp(p.out.data(), before.data(), before.size() * sizeof(float)), 0);
  };
  refused([](auto& c) { c.shape.batch = -1; }, "batch");
  refused([](auto& c) { c.shape.height = 0; }, "height");
  refused([](auto& c) { c.shape.width = 0; }, "width");
  refused([](auto& c) { c.shape.in_channels = 0; }, "in_channels");
  refused([](auto& c) { c.shape.out_channels = 0; }, "out_channels");
  refused([](auto& c) { c.shape.stride = 3; }, "stride");
  refused([](auto& c) { c.shape.batch = std::int64_t{1} << 60; }, "overflow");
  refused([](auto& c) { c.lanes = 0; }, "lanes");
  refused([](auto& c) { c.x = nullptr; }, "null");
  refused([](auto& c) { c.weight = nullptr; }, "null");
  refused([](auto& c) { c.scratch = nullptr; }, "null");
  refused([](auto& c) { c.scratch += 4; }, "aligned");
  refused([](auto& c) { c.x = c.out; }, "overlap");
  refused([](auto& c) { c.epilogue.residual = c.out + 1; }, "overlap");
  refused([](auto& c) { c.epilogue.bias = c.out; }, "overlap");
  refused([](auto& c) { c.epilogue.activation = static_cast<ConvActivation>(3); }, "activation");
  EXPECT_EQ(conv2d_3x3_scratch_bytes({1, 4, 4, 16, 16, 3}, 1), 0u);
  EXPECT_EQ(conv2d_3x3_scratch_bytes({1, 4, 4, 16, 16, 1}, 0), 0u);
}

}  // namespace
}  // namespace mobilevd::kernels
