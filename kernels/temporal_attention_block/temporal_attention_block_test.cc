#include "mobilevd/kernels/temporal_attention_block.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "mobilevd/kernels/dispatch.h"

namespace mobilevd::kernels {
namespace {

constexpr std::size_t kGuard = 32;  // elements around out that must stay as they were
constexpr float kGuardValue = -12344.0f;
constexpr float kEps = 1e-5f;

using Shape = TemporalAttentionBlockShape;

/// A problem, its arrays starting `misalign` elements past an aligned address; nothing lies behind
/// the inputs, so that a sanitizer sees a read past the end.
struct Problem {
  Shape shape;
  float scale;
  std::size_t size, qk, v, misalign;
  std::vector<float> x_store, out_store, norm_weight, norm_bias, out_bias;
  std::vector<float> to_q, to_k, to_v, to_out, packed_qkv, packed_out;
  std::vector<char> scratch;
  float *x, *out;

  Problem(const Shape& s, unsigned seed, float magnitude = 1, std::size_t misaligned = 0)
      : shape(s),
        scale(0.125f),
        size(s.batch * s.frames * s.positions * s.channels),
        qk(s.num_heads * s.head_dim_qk),
        v(s.num_heads * s.head_dim_v),
        misalign(misaligned) {
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal;
    const auto fill = [&](std::vector<float>& to, std::size_t n, float deviation, float mean = 0) {
      to.resize(n);
      for (float& value : to) value = mean + deviation * normal(generator);
    };
    const std::size_t channels = s.channels;
    fill(x_store, size + misalign, magnitude, magnitude / 2);
    fill(norm_weight, channels, 0.2f, 1);
    fill(norm_bias, channels, 0.2f);
    fill(out_bias, channels, 1);
    const float by_input = 1 / std::sqrt(static_cast<float>(channels));
    fill(to_q, qk * channels, 2 * by_input);
    fill(to_k, qk * channels, 2 * by_input);
    fill(to_v, v * channels, by_input);
    fill(to_out, channels * v, 1 / std::sqrt(static_cast<float>(v)));
    const TemporalAttentionBlockSizes sizes = temporal_attention_block_sizes(s);
    packed_qkv.assign(sizes.to_qkv + misalign, kGuardValue);
    packed_out.assign(sizes.to_out + misalign, kGuardValue);
    EXPECT_TRUE(pack_temporal_attention_block(to_q.data(), to_k.data(), to_v.data(), to_out.data(),
                                              s, packed_qkv.data() + misalign,
                                              packed_out.data() + misalign)
                    .ok());
    x = x_store.data() + misalign;
    out_store.assign(size + 2 * kGuard + misalign, kGuardValue);
    out = out_store.data() + kGuard + misalign;
    scratch.resize(temporal_attention_block_scratch_bytes(s, 4));
    // What is in the scratch must not matter.
    std::fill(scratch.begin(), scratch.end(), '\xFF');
  }

  TemporalAttentionBlockWeights weights() const {
    return {norm_weight.data(), norm_bias.data(), packed_qkv.data() + misalign,
            packed_out.data() + misalign, out_bias.data()};
  }

  Status run(ParallelFor parallel_for = serial_for) {
    return temporal_attention_block(x, weights(), out, shape, scale, kEps, scratch.data(),
                                    scratch.size(), parallel_for);
  }

  /// y = a w^T in float64 for w [n][k].
  static std::vector<double> times(const std::vector<double>& a, const std::vector<float>& w,
                                   std::size_t k) {
    const std::size_t rows = a.size() / k, n = w.size() / k;
    std::vector<double> y(rows * n);
    for (std::size_t i = 0; i < rows; ++i) {
      for (std::size_t j = 0; j < n; ++j) {
        for (std::size_t c = 0; c < k; ++c) y[i * n + j] += a[i * k + c] * w[j * k + c];
      }
    }
    return y;
  }

  std::size_t at(std::int64_t b, std::int64_t f, std::int64_t p) const {
    return ((b * shape.frames + f) * shape.positions + p) * shape.channels;
  }

  /// What is added to x at one position, [F][C], in float64 from the definition.
  std::vector<double> expected(std::int64_t b, std::int64_t p) const {
    const std::size_t frames = shape.frames, channels = shape.channels;
    std::vector<double> y(frames * channels);
    for (std::size_t f = 0; f < frames; ++f) {
      const float* row = x + at(b, f, p);
      double mean = 0, variance = 0;
      for (std::size_t c = 0; c < channels; ++c) mean += row[c] / double(channels);
      for (std::size_t c = 0; c < channels; ++c) {
        variance += (row[c] - mean) * (row[c] - mean) / double(channels);
      }
      for (std::size_t c = 0; c < channels; ++c) {
        y[f * channels + c] =
            (row[c] - mean) / std::sqrt(variance + kEps) * norm_weight[c] + norm_bias[c];
      }
    }
    const auto q = times(y, to_q, channels), k = times(y, to_k, channels);
    const auto value = times(y, to_v, channels);
    std::vector<double> attended(frames * v);
    const std::size_t d_qk = shape.head_dim_qk, d_v = shape.head_dim_v;
    for (std::size_t h = 0; h < static_cast<std::size_t>(shape.num_heads); ++h) {
      for (std::size_t i = 0; i < frames; ++i) {
        std::vector<double> weight(frames);
        for (std::size_t j = 0; j < frames; ++j) {
          for (std::size_t c = 0; c < d_qk; ++c) {
            weight[j] += scale * q[i * qk + h * d_qk + c] * k[j * qk + h * d_qk + c];
          }
        }
        const double largest = *std::max_element(weight.begin(), weight.end());
        double sum = 0;
        for (double& w : weight) sum += w = std::exp(w - largest);
        for (std::size_t j = 0; j < frames; ++j) {
          for (std::size_t c = 0; c < d_v; ++c) {
            attended[i * v + h * d_v + c] += weight[j] / sum * value[j * v + h * d_v + c];
          }
        }
      }
    }
    auto result = times(attended, to_out, v);
    for (std::size_t n = 0; n < result.size(); ++n) result[n] += out_bias[n % channels];
    return result;
  }

  /// Of float32: the sums of k terms of the products, and one rounding of the residual.
  void check() const {
    constexpr double kEpsilon = std::numeric_limits<float>::epsilon();
    const double terms = std::sqrt(static_cast<double>(shape.channels + v)) + 24;
    const std::size_t channels = shape.channels;
    for (std::int64_t b = 0; b < shape.batch; ++b) {
      for (std::int64_t p = 0; p < shape.positions; ++p) {
        const std::vector<double> want = expected(b, p);
        double largest = 0;
        for (const double w : want) largest = std::max(largest, std::fabs(w));
        for (std::size_t n = 0; n < want.size(); ++n) {
          const std::size_t i = at(b, n / channels, p) + n % channels;
          const double expected_value = want[n] + x[i];
          const double tolerance =
              kEpsilon * (terms * largest + 2 * (largest + std::fabs(expected_value)));
          ASSERT_LE(std::fabs(out[i] - expected_value), tolerance)
              << "at [b=" << b << ", f=" << n / channels << ", s=" << p << ", c=" << n % channels
              << "]: got " << out[i] << ", float64 " << expected_value;
        }
      }
    }
    check_guards();
  }

  void check_guards() const {
    for (const float* p = out_store.data(); p != out_store.data() + out_store.size(); ++p) {
      if (p >= out && p < out + size) continue;
      ASSERT_EQ(*p, kGuardValue) << "wrote at out[" << p - out << "] of " << size;
    }
  }
};

/// Cuts [0, n) into pieces of one item, run by three threads in no fixed order.
struct Threaded {
  void operator()(std::size_t n, std::size_t /*grain*/, RangeFn body) const {
    std::atomic<std::size_t> next{0};
    const auto work = [&] {
      for (std::size_t i; (i = next.fetch_add(1)) < n;) body(i, i + 1);
    };
    std::thread a(work), b(work);
    work();
    a.join();
    b.join();
  }
};

/// Every test runs on every ISA this CPU has.
class TemporalAttentionBlockTest : public testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    before_ = isa();
    ASSERT_TRUE(set_isa(isa_name(GetParam())).ok());
  }
  void TearDown() override { ASSERT_TRUE(set_isa(isa_name(before_)).ok()); }

 private:
  Isa before_ = Isa::kScalar;
};

TEST_P(TemporalAttentionBlockTest, OddShapes) {
  unsigned seed = 1;
  for (const int frames : {1, 2, 7, 14, 17, 32}) {
    for (const int positions : {0, 1, 3, 19}) {
      for (const auto& [channels, heads, d_qk, d_v] : {std::array<int, 4>{1, 1, 8, 8},
                                                       {8, 1, 8, 16},
                                                       {20, 3, 8, 24},
                                                       {40, 2, 24, 8},
                                                       {48, 5, 16, 8},
                                                       {64, 1, 64, 64},
                                                       {80, 7, 8, 8},
                                                       {96, 3, 32, 32},
                                                       {33, 2, 128, 120}}) {
        const Shape shape{positions == 3 ? 2 : 1, frames, positions, channels, heads, d_qk, d_v};
        SCOPED_TRACE(testing::Message() << "F=" << frames << " S=" << positions << " C=" << channels
                                        << " H=" << heads << " d_qk=" << d_qk << " d_v=" << d_v);
        Problem problem(shape, ++seed);
        ASSERT_TRUE(problem.run().ok());
        problem.check();
        if (HasFatalFailure()) return;
      }
    }
  }
}

/// More than one tile at the model's widths.
TEST_P(TemporalAttentionBlockTest, WideShapes) {
  for (const auto& shape : {Shape{1, 14, 17, 320, 5, 64, 64}, {1, 7, 9, 640, 10, 32, 64}}) {
    Problem problem(shape, 3);
    ASSERT_TRUE(problem.run().ok());
    problem.check();
  }
}

TEST_P(TemporalAttentionBlockTest, UnalignedPointers) {
  for (std::size_t misalign = 1; misalign < 16; misalign += 2) {
    Problem problem({1, 14, 5, 48, 3, 40, 24}, 7, 1, misalign);
    problem.scratch.resize(problem.scratch.size() + misalign);
    ASSERT_TRUE(temporal_attention_block(problem.x, problem.weights(), problem.out, problem.shape,
                                         problem.scale, kEps, problem.scratch.data() + misalign,
                                         problem.scratch.size() - misalign)
                    .ok());
    problem.check();
  }
}

/// The means are 1e4 times the deviations: E[x^2] - E[x]^2 would lose everything.
TEST_P(TemporalAttentionBlockTest, LargeMeansAreSubtractedFirst) {
  Problem problem({1, 7, 5, 64, 1, 64, 64}, 9, 1);
  for (std::size_t n = 0; n < problem.size; ++n) problem.x[n] += 8192;
  // Rounding in the mean moves every deviation of a row by the same little; the weights pass it on.
  const double slack = 16 * 8192 * std::numeric_limits<float>::epsilon();
  ASSERT_TRUE(problem.run().ok());
  for (std::int64_t p = 0; p < problem.shape.positions; ++p) {
    const std::vector<double> want = problem.expected(0, p);
    for (std::size_t n = 0; n < want.size(); ++n) {
      const std::size_t i = problem.at(0, n / 64, p) + n % 64;
      ASSERT_NEAR(problem.out[i], want[n] + problem.x[i], slack) << n;
    }
  }
}

TEST_P(TemporalAttentionBlockTest, OutMayBeX) {
  Problem problem({2, 14, 21, 64, 2, 32, 24}, 5);
  ASSERT_TRUE(problem.run().ok());
  ASSERT_TRUE(temporal_attention_block(problem.x, problem.weights(), problem.x, problem.shape,
                                       problem.scale, kEps, problem.scratch.data(),
                                       problem.scratch.size())
                  .ok());
  ASSERT_EQ(std::memcmp(problem.x, problem.out, problem.size * sizeof(float)), 0);
}

/// Large enough for streaming stores, aligned or not.
TEST_P(TemporalAttentionBlockTest, LargeOutputsStreamPastTheCaches) {
  const Shape shape{1, 14, 4700, 32, 1, 8, 8};
  Problem problem(shape, 3);
  ASSERT_TRUE(problem.run().ok());
  std::vector<float> store(problem.size + 64, kGuardValue);
  float* out = store.data();
  while (reinterpret_cast<std::uintptr_t>(out) % 64 != 0) ++out;
  for (int misalign : {0, 1}) {
    ASSERT_TRUE(temporal_attention_block(problem.x, problem.weights(), out + misalign, shape,
                                         problem.scale, kEps, problem.scratch.data(),
                                         problem.scratch.size())
                    .ok());
    ASSERT_EQ(std::memcmp(out + misalign, problem.out, problem.size * sizeof(float)), 0);
  }
}

TEST_P(TemporalAttentionBlockTest, ThreadsAndSharesGiveTheSameBits) {
  for (const auto& shape : {Shape{2, 14, 200, 64, 2, 64, 32}, {1, 7, 301, 40, 1, 8, 24}}) {
    Problem problem(shape, 5);
    ASSERT_TRUE(problem.run().ok());
    const std::vector<float> serial = problem.out_store;
    for (const std::size_t threads : {1, 2, 3, 7, 1000}) {
      problem.scratch.assign(temporal_attention_block_scratch_bytes(shape, threads), '\xFF');
      std::fill(problem.out_store.begin(), problem.out_store.end(), kGuardValue);
      ASSERT_TRUE(problem.run(Threaded{}).ok());
      ASSERT_EQ(std::memcmp(serial.data(), problem.out_store.data(), serial.size() * 4), 0)
          << "scratch for " << threads << " threads";
    }
  }
}

TEST_P(TemporalAttentionBlockTest, NanAndInfStayInTheirPosition) {
  const Shape shape{2, 14, 11, 32, 2, 16, 8};
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
        -std::numeric_limits<float>::infinity()}) {
    Problem clean(shape, 11), dirty(shape, 11);
    dirty.x[dirty.at(1, 5, 4) + 3] = bad;
    ASSERT_TRUE(clean.run().ok());
    ASSERT_TRUE(dirty.run().ok());
    for (std::int64_t b = 0; b < 2; ++b) {
      for (std::int64_t f = 0; f < 14; ++f) {
        for (std::int64_t p = 0; p < 11; ++p) {
          for (std::size_t c = 0; c < 32; ++c) {
            const std::size_t i = clean.at(b, f, p) + c;
            if (b == 1 && p == 4) {  // through k and v every frame of the position
              ASSERT_TRUE(std::isnan(dirty.out[i])) << "f=" << f << ", c=" << c;
            } else {
              ASSERT_EQ(dirty.out[i], clean.out[i]) << "f=" << f << ", s=" << p << ", c=" << c;
            }
          }
        }
      }
    }
  }
}

TEST_P(TemporalAttentionBlockTest, HugeLogitsDoNotOverflow) {
  Problem problem({1, 14, 9, 64, 2, 64, 64}, 13);
  problem.scale = 1e30f;
  ASSERT_TRUE(problem.run().ok());
  for (std::size_t n = 0; n < problem.size; ++n) ASSERT_TRUE(std::isfinite(problem.out[n])) << n;
}

INSTANTIATE_TEST_SUITE_P(Isa, TemporalAttentionBlockTest, testing::ValuesIn([] {
                           std::size_t count = 0;
                           const Isa* isas = available_isas(&count);
                           return std::vector<Isa>(isas, isas + count);
                         }()),
                         [](const auto& info) { return std::string(isa_name(info.param)); });

TEST(TemporalAttentionBlockErrors, NameTheArgumentAndLeaveOutAlone) {
  const auto message = [](const Shape& shape) {
    std::vector<float> memory(4096, 1), out(4096, 3);
    const TemporalAttentionBlockWeights weights = {memory.data(), memory.data(), memory.data(),
                                                   memory.data(), memory.data()};
    std::vector<char> scratch(1 << 20);
    const Status status = temporal_attention_block(memory.data(), weights, out.data(), shape, 1,
                                                   kEps, scratch.data(), scratch.size());
    EXPECT_EQ(status.code, StatusCode::kInvalidArgument);
    EXPECT_EQ(temporal_attention_block_scratch_bytes(shape, 1), 0u);
    for (const float value : out) EXPECT_EQ(value, 3);
    return std::string(status.message);
  };
  EXPECT_NE(message({-1, 1, 1, 8, 1, 8, 8}).find("batch"), std::string::npos);
  EXPECT_NE(message({1, 0, 1, 8, 1, 8, 8}).find("frames"), std::string::npos);
  EXPECT_NE(message({1, 33, 1, 8, 1, 8, 8}).find("frames"), std::string::npos);
  EXPECT_NE(message({1, 1, -1, 8, 1, 8, 8}).find("positions"), std::string::npos);
  EXPECT_NE(message({1, 1, 1, 0, 1, 8, 8}).find("channels"), std::string::npos);
  EXPECT_NE(message({1, 1, 1, 8, 0, 8, 8}).find("num_heads"), std::string::npos);
  EXPECT_NE(message({1, 1, 1, 8, 1, 12, 8}).find("head_dim_qk"), std::string::npos);
  EXPECT_NE(message({1, 1, 1, 8, 1, 8, 136}).find("head_dim_v"), std::string::npos);
  EXPECT_NE(message({1, 32, INT64_MAX / 64, 8, 1, 8, 8}).find("overflow"), std::string::npos);
}

TEST(TemporalAttentionBlockErrors, NullOverlapAndScratch) {
  Problem problem({1, 7, 3, 16, 1, 8, 8}, 1);
  const TemporalAttentionBlockWeights weights = problem.weights();
  const std::size_t enough = temporal_attention_block_scratch_bytes(problem.shape, 1);
  std::vector<char> scratch(enough);
  const auto call = [&](const float* x, const TemporalAttentionBlockWeights& w, float* out,
                        std::size_t bytes) {
    return temporal_attention_block(x, w, out, problem.shape, 1, kEps, scratch.data(), bytes).ok();
  };
  EXPECT_TRUE(call(problem.x, weights, problem.out, enough));
  EXPECT_FALSE(call(nullptr, weights, problem.out, enough));
  EXPECT_FALSE(call(problem.x, weights, nullptr, enough));
  EXPECT_FALSE(call(problem.x, weights, problem.x + 1, enough));
  EXPECT_FALSE(call(problem.x, weights, problem.packed_qkv.data(), enough));
  EXPECT_FALSE(call(problem.x, weights, problem.out, enough / 2));
  EXPECT_FALSE(call(problem.x, weights, problem.out, 0));
  TemporalAttentionBlockWeights incomplete = weights;
  incomplete.out_bias = nullptr;
  EXPECT_FALSE(call(problem.x, incomplete, problem.out, enough));

  const Shape none{1, 14, 0, 16, 1, 8, 8};
  EXPECT_TRUE(temporal_attention_block(nullptr, {}, nullptr, none, 1, kEps, nullptr, 0).ok());
  EXPECT_EQ(temporal_attention_block_sizes({1, 1, 1, 16, 1, 9, 8}).to_qkv, 0u);
  EXPECT_FALSE(pack_temporal_attention_block(nullptr, nullptr, nullptr, nullptr, problem.shape,
                                             nullptr, nullptr)
                   .ok());
}

TEST(TemporalAttentionBlockHeadDims, FollowFromThePackedSizes) {
  for (std::int64_t heads = 1; heads <= 20; ++heads) {
    for (std::int64_t qk = 8; qk <= 128; qk += 8) {
      for (std::int64_t v = 8; v <= 128; v += 8) {
        Shape shape{1, 1, 1, 16, heads, 0, 0};
        const std::int64_t panels = (heads * (2 * qk + v) + 15) / 16;
        ASSERT_TRUE(temporal_attention_block_head_dims(panels, heads * v, &shape));
        ASSERT_EQ(shape.head_dim_qk, qk);
        ASSERT_EQ(shape.head_dim_v, v);
      }
    }
  }
  Shape shape{1, 1, 1, 16, 3, 0, 0};
  EXPECT_FALSE(temporal_attention_block_head_dims(0, 24, &shape));
  EXPECT_FALSE(temporal_attention_block_head_dims(6, 25, &shape));
  EXPECT_FALSE(temporal_attention_block_head_dims(1, 24, &shape));  // nothing left for q and k
  EXPECT_FALSE(temporal_attention_block_head_dims(7, 24, &shape));  // a panel too many
  EXPECT_EQ(shape.head_dim_v, 0);
}

/// A thread's share is bounded whatever the number of positions, and enough for the largest model.
TEST(TemporalAttentionBlockScratch, IsBounded) {
  for (const std::int64_t channels : {320, 640, 1280}) {
    const Shape shape{1, 14, 1 << 20, channels, channels / 64, 64, 64};
    EXPECT_LE(temporal_attention_block_scratch_bytes(shape, 1), std::size_t{1200} << 10);
    EXPECT_LE(temporal_attention_block_scratch_bytes(shape, 3), std::size_t{3600} << 10);
  }
}

}  // namespace
}  // namespace mobilevd::kernels
