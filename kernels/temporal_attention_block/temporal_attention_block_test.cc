// What temporal_attention_block computes, on every ISA this CPU has.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "mobilevd/kernels/dispatch.h"
#include "temporal_attention_block/temporal_attention_block_problem.h"
#include "testing/emulation.h"

namespace mobilevd::kernels {
namespace {

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
    for (const int positions : {0, 1, 3, 11}) {
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
        if (left_out(++seed)) continue;
        SCOPED_TRACE(testing::Message() << "F=" << frames << " S=" << positions << " C=" << channels
                                        << " H=" << heads << " d_qk=" << d_qk << " d_v=" << d_v);
        Problem problem(shape, seed);
        ASSERT_TRUE(problem.run().ok());
        problem.check();
        // With int8 weights, float64 on the same grids; a value that float32 puts on the other side
        // of a step makes the little difference.
        Problem int8(shape, seed, Precision::kInt8);
        ASSERT_TRUE(int8.run().ok());
        int8.check_guards();
        ASSERT_LE(int8.error(true), 0.005);
        if (HasFatalFailure()) return;
      }
    }
  }
}

/// More than one tile at the model's widths.
TEST_P(TemporalAttentionBlockTest, WideShapes) {
  for (const auto& shape : {Shape{1, 14, 11, 320, 5, 64, 64}, {1, 7, 5, 640, 10, 32, 64}}) {
    Problem problem(shape, 3);
    ASSERT_TRUE(problem.run().ok());
    problem.check();
    Problem int8(shape, 3, Precision::kInt8);
    ASSERT_TRUE(int8.run().ok());
    ASSERT_LE(int8.error(true), 0.005);
    ASSERT_LE(int8.error(false), 0.03);
  }
}

TEST_P(TemporalAttentionBlockTest, UnalignedPointers) {
  for (const Precision precision : {Precision::kFloat32, Precision::kInt8}) {
    Problem aligned({1, 14, 5, 48, 3, 40, 24}, 7, precision);
    ASSERT_TRUE(aligned.run().ok());
    for (std::size_t misalign = 1; misalign < 16; misalign += 2) {
      Problem problem(aligned.shape, 8, precision, misalign);
      problem.to_q = aligned.to_q, problem.to_k = aligned.to_k, problem.to_v = aligned.to_v;
      problem.to_out = aligned.to_out, problem.norm_weight = aligned.norm_weight;
      problem.norm_bias = aligned.norm_bias, problem.out_bias = aligned.out_bias;
      problem.pack();
      std::copy_n(aligned.x, aligned.size, problem.x);
      ASSERT_TRUE(problem.run().ok());
      ASSERT_EQ(std::memcmp(aligned.out, problem.out, problem.size * sizeof(float)), 0);
      problem.check_guards();
    }
  }
}

/// The means are 1e4 times the deviations: E[x^2] - E[x]^2 would lose everything.
TEST_P(TemporalAttentionBlockTest, LargeMeansAreSubtractedFirst) {
  Problem problem({1, 7, 5, 64, 1, 64, 64}, 9);
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

class TemporalAttentionBlockBits : public testing::TestWithParam<std::tuple<Isa, Precision>> {
 protected:
  void SetUp() override {
    before_ = isa();
    ASSERT_TRUE(set_isa(isa_name(std::get<0>(GetParam()))).ok());
  }
  void TearDown() override { ASSERT_TRUE(set_isa(isa_name(before_)).ok()); }
  Precision precision() const { return std::get<1>(GetParam()); }

 private:
  Isa before_ = Isa::kScalar;
};

TEST_P(TemporalAttentionBlockBits, OutMayBeX) {
  Problem problem({2, 14, 21, 64, 2, 32, 24}, 5, precision());
  ASSERT_TRUE(problem.run().ok());
  ASSERT_TRUE(problem.run_to(problem.x).ok());
  ASSERT_EQ(std::memcmp(problem.x, problem.out, problem.size * sizeof(float)), 0);
}

/// Large enough for streaming stores, aligned or not.
TEST_P(TemporalAttentionBlockBits, LargeOutputsStreamPastTheCaches) {
  Problem problem({1, 14, 4700, 32, 1, 8, 8}, 3, precision());
  ASSERT_TRUE(problem.run().ok());
  std::vector<float> store(problem.size + 64, kGuardValue);
  float* out = store.data();
  while (reinterpret_cast<std::uintptr_t>(out) % 64 != 0) ++out;
  for (int misalign : {0, 1}) {
    ASSERT_TRUE(problem.run_to(out + misalign).ok());
    ASSERT_EQ(std::memcmp(out + misalign, problem.out, problem.size * sizeof(float)), 0);
  }
}

TEST_P(TemporalAttentionBlockBits, ThreadsAndSharesGiveTheSame) {
  for (const auto& shape : {Shape{2, 14, 200, 64, 2, 64, 32}, {1, 7, 301, 40, 1, 8, 24}}) {
    Problem problem(shape, 5, precision());
    ASSERT_TRUE(problem.run().ok());
    const std::vector<float> serial = problem.out_store;
    for (const std::size_t threads : {1, 2, 3, 1000}) {
      problem.share_scratch(threads);
      std::fill(problem.out_store.begin(), problem.out_store.end(), kGuardValue);
      ASSERT_TRUE(problem.run(Threaded{}).ok());
      ASSERT_EQ(std::memcmp(serial.data(), problem.out_store.data(), serial.size() * 4), 0)
          << "scratch for " << threads << " threads";
    }
  }
}

TEST_P(TemporalAttentionBlockBits, NanAndInfStayInTheirPosition) {
  const Shape shape{2, 14, 11, 32, 2, 16, 8};
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
        -std::numeric_limits<float>::infinity()}) {
    Problem clean(shape, 11, precision()), dirty(shape, 11, precision());
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

std::vector<Isa> isas() {
  std::size_t count = 0;
  const Isa* first = available_isas(&count);
  return std::vector<Isa>(first, first + count);
}
INSTANTIATE_TEST_SUITE_P(Isa, TemporalAttentionBlockTest, testing::ValuesIn(isas()),
                         [](const auto& info) { return std::string(isa_name(info.param)); });
INSTANTIATE_TEST_SUITE_P(Isa, TemporalAttentionBlockBits,
                         testing::Combine(testing::ValuesIn(isas()),
                                          testing::Values(Precision::kFloat32, Precision::kInt8)),
                         [](const auto& info) {
                           return std::string(isa_name(std::get<0>(info.param))) +
                                  (std::get<1>(info.param) == Precision::kInt8 ? "_int8"
                                                                               : "_float32");
                         });

}  // namespace
}  // namespace mobilevd::kernels
