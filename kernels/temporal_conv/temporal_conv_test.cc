#include "mobilevd/kernels/temporal_conv.h"

#include "testing/activated.h"
#include "testing/emulation.h"
#include "testing/isa_test.h"

namespace mobilevd::kernels {
namespace {

using namespace testing_isa;

class TemporalConvTest : public IsaTest {};
MOBILEVD_TEST_EVERY_ISA(TemporalConvTest);

template <typename T, typename W>
struct Problem {
  TemporalConvShape shape;
  Guarded<T> x, residual, out;
  Guarded<W> weight, packed;
  Guarded<float> bias;
  ConvEpilogue<T> epilogue;

  Problem(const TemporalConvShape& s, unsigned seed, int misalign = 0)
      : shape(s),
        x(rows() * s.in_channels, misalign),
        residual(rows() * s.out_channels, misalign),
        out(rows() * s.out_channels, misalign),
        weight(s.out_channels * s.in_channels * 3, misalign),
        packed(conv_packed_size(s.in_channels, s.out_channels, 3), misalign),
        bias(s.out_channels, misalign) {
    x.fill_normal(seed);
    residual.fill_normal(seed + 1);
    weight.fill_normal(seed + 2, 1 / std::sqrt(3.0f * s.in_channels));
    bias.fill_normal(seed + 3);
    EXPECT_TRUE(
        pack_conv_weight(weight.data(), packed.data(), s.in_channels, s.out_channels, 3).ok());
  }

  std::int64_t rows() const { return shape.batch * shape.frames * shape.positions; }

  Status run(int lanes = 1, ParallelFor parallel_for = serial_for) {
    Scratch scratch(temporal_conv_scratch_bytes(shape, lanes));
    return temporal_conv(x.data(), packed.data(), out.data(), shape, epilogue, scratch.data(),
                         lanes, parallel_for);
  }

  void check() const {
    for (std::int64_t row = 0; row < rows(); ++row) {
      const std::int64_t f = row / shape.positions % shape.frames;
      for (std::int64_t o = 0; o < shape.out_channels; ++o) {
        double want = 0, magnitude = 0;
        for (int tap = 0; tap < 3; ++tap) {
          if (f + tap - 1 < 0 || f + tap - 1 >= shape.frames) continue;
          const T* in = &x[(row + (tap - 1) * shape.positions) * shape.in_channels];
          for (std::int64_t c = 0; c < shape.in_channels; ++c) {
            const double product = static_cast<double>(widen(in[c])) *
                                   widen(weight[(o * shape.in_channels + c) * 3 + tap]);
            want += product;
            magnitude += std::fabs(product);
          }
        }
        const std::int64_t i = row * shape.out_channels + o;
        if (epilogue.bias != nullptr) want += epilogue.bias[o];
        if (epilogue.residual != nullptr) want += widen(epilogue.residual[i]);
        want = activated(epilogue.activation, want);
        const double tolerance =
            1e-6 * (magnitude + 0.1) + 1.1 * kStorageEpsilon<T> * std::fabs(want);
        ASSERT_LE(std::fabs(widen(out[i]) - want), tolerance)
            << "at [row " << row << ", channel " << o << "]: got " << widen(out[i]) << ", float64 "
            << want;
      }
    }
    out.expect_guards_untouched();
  }
};

template <typename T, typename W>
void check_shapes() {
  unsigned seed = 1, cases = 0;
  for (const int frames : {1, 2, 3, 7, 14}) {
    for (const int positions : {1, 3, 17}) {
      for (const auto& [in, out] : {std::pair{1, 1}, {16, 16}, {24, 40}, {100, 20}}) {
        const TemporalConvShape shape{positions == 3 ? 2 : 1, frames, positions, in, out};
        if (left_out(cases++)) continue;
        SCOPED_TRACE(testing::Message()
                     << "F=" << frames << " S=" << positions << " " << in << " -> " << out);
        Problem<T, W> problem(shape, seed += 7);
        ASSERT_TRUE(problem.run().ok());
        problem.check();
        if (testing::Test::HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(TemporalConvTest, OddShapesFloat32) { check_shapes<float, float>(); }
TEST_P(TemporalConvTest, OddShapesFloat16Weights) { check_shapes<float, Half>(); }
TEST_P(TemporalConvTest, OddShapesFloat16) { check_shapes<Half, Half>(); }

TEST_P(TemporalConvTest, EpiloguesAndUnalignedPointers) {
  for (int bits = 0; bits < 12; ++bits) {
    Problem<float, float> problem({2, 5, 6, 24, 37}, 5, bits);
    problem.epilogue = {bits & 1 ? problem.bias.data() : nullptr,
                        bits & 2 ? problem.residual.data() : nullptr,
                        static_cast<ConvActivation>(bits / 4)};
    ASSERT_TRUE(problem.run().ok());
    problem.check();
  }
}

TEST_P(TemporalConvTest, LanesAndThreadsGiveTheSameBits) {
  Problem<float, float> problem({2, 7, 61, 20, 150}, 4);
  ASSERT_TRUE(problem.run().ok());
  problem.check();
  std::vector<float> alone(problem.out.data(), problem.out.data() + problem.out.size());
  for (const int lanes : {2, 3, 16, 40}) {
    for (const std::size_t piece : {1, 3}) {
      std::memset(problem.out.data(), 0xFF, problem.out.size() * 4);
      ASSERT_TRUE(problem.run(lanes, Threaded{piece}).ok());
      ASSERT_EQ(std::memcmp(alone.data(), problem.out.data(), alone.size() * 4), 0)
          << lanes << " lanes in pieces of " << piece;
    }
  }
}

TEST_P(TemporalConvTest, NanStaysInItsPositionAndNeighbouringFrames) {
  Problem<float, float> clean({1, 7, 20, 16, 16}, 6), dirty({1, 7, 20, 16, 16}, 6);
  clean.epilogue.activation = dirty.epilogue.activation = ConvActivation::kRelu;
  dirty.x[(3 * 20 + 9) * 16 + 5] = std::numeric_limits<float>::quiet_NaN();
  ASSERT_TRUE(clean.run().ok());
  ASSERT_TRUE(dirty.run().ok());
  for (std::size_t i = 0; i < clean.out.size(); ++i) {
    const std::size_t f = i / 320, s = i / 16 % 20;
    if (s == 9 && f >= 2 && f <= 4) {
      ASSERT_TRUE(std::isnan(dirty.out[i])) << "swallowed at frame " << f;
    } else {
      ASSERT_EQ(clean.out[i], dirty.out[i]) << "reached frame " << f << ", position " << s;
    }
  }
}

TEST_P(TemporalConvTest, BadArgumentsAreRefused) {
  const auto message = [](const TemporalConvShape& shape, int lanes) {
    alignas(64) float x[64] = {}, scratch[4096];
    float weight[16 * 3 * 4] = {}, out[64] = {1};
    const Status status = temporal_conv(x, weight, out, shape, {}, scratch, lanes);
    EXPECT_EQ(status.code, StatusCode::kInvalidArgument);
    EXPECT_EQ(out[0], 1);
    return std::string(status.message);
  };
  EXPECT_NE(message({-1, 2, 2, 4, 4}, 1).find("batch"), std::string::npos);
  EXPECT_NE(message({1, 0, 2, 4, 4}, 1).find("frames"), std::string::npos);
  EXPECT_NE(message({1, 2, -2, 4, 4}, 1).find("positions"), std::string::npos);
  EXPECT_NE(message({1, 2, 2, 0, 4}, 1).find("in_channels"), std::string::npos);
  EXPECT_NE(message({1, 2, 2, 4, 4}, 0).find("lanes"), std::string::npos);
  EXPECT_NE(message({1, 2, INT64_MAX / 4, 4, 4}, 1).find("overflow"), std::string::npos);
  EXPECT_EQ(temporal_conv_scratch_bytes({1, 0, 2, 4, 4}, 1), 0u);
  const float* none = nullptr;
  EXPECT_TRUE(
      temporal_conv(none, none, static_cast<float*>(nullptr), {1, 2, 0, 4, 4}, {}, nullptr, 1)
          .ok());
  EXPECT_FALSE(
      temporal_conv(none, none, static_cast<float*>(nullptr), {1, 2, 1, 4, 4}, {}, nullptr, 1)
          .ok());
}

}  // namespace
}  // namespace mobilevd::kernels
