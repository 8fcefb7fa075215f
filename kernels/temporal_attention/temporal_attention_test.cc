#include "mobilevd/kernels/temporal_attention.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "testing/emulation.h"
#include "testing/isa_test.h"

namespace mobilevd::kernels {
namespace {

using namespace testing_isa;

constexpr std::size_t kGuard = 32;        // elements around out that must stay as they were
constexpr float kGuardValue = -12344.0f;  // exact in binary16, too

/// What a result of type T may be off by, as a share of the largest value it is a mean of: float32
/// arithmetic in both cases, then one rounding to T.
template <typename T>
constexpr double kTolerance = std::is_same_v<T, float> ? 1e-6 : 1e-6 + 0.5 / 1024;

std::size_t index(const TemporalAttentionShape& s, std::int64_t b, std::int64_t f, std::int64_t p,
                  std::int64_t h, std::int64_t c, std::int64_t d) {
  return (((b * s.frames + f) * s.positions + p) * s.num_heads + h) * d + c;
}

/// Arrays of one problem, starting `misalign` elements past an aligned address; nothing lies
/// behind q, k and v, so that a sanitizer sees a read past the end.
template <typename T>
struct Problem {
  TemporalAttentionShape shape;
  float scale;
  std::vector<T> q_store, k_store, v_store, out_store;
  T *q, *k, *v, *out;
  std::size_t size_qk, size_v;

  Problem(const TemporalAttentionShape& s, unsigned seed, float magnitude = 1, int misalign = 0)
      : shape(s), scale(1 / std::sqrt(static_cast<float>(s.head_dim_qk))) {
    const std::size_t cells = s.batch * s.frames * s.positions * s.num_heads;
    size_qk = cells * s.head_dim_qk;
    size_v = cells * s.head_dim_v;
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal;
    const auto fill = [&](std::vector<T>& store, std::size_t size, float size_of) {
      store.assign(size + misalign, narrow<T>(0));
      for (T& x : store) x = narrow<T>(size_of * normal(generator));
      return store.data() + misalign;
    };
    q = fill(q_store, size_qk, magnitude);
    k = fill(k_store, size_qk, magnitude);
    v = fill(v_store, size_v, 1);
    out_store.assign(size_v + 2 * kGuard + misalign, narrow<T>(kGuardValue));
    out = out_store.data() + kGuard + misalign;
  }

  Status run(ParallelFor parallel_for = serial_for) {
    return temporal_attention(q, k, v, out, shape, scale, parallel_for);
  }

  /// One output vector (length d_v) in float64, from the definition.
  std::vector<double> expected(std::int64_t b, std::int64_t i, std::int64_t p,
                               std::int64_t h) const {
    const auto& s = shape;
    std::vector<double> weight(s.frames), result(s.head_dim_v, 0.0);
    for (std::int64_t j = 0; j < s.frames; ++j) {
      for (std::int64_t c = 0; c < s.head_dim_qk; ++c) {
        weight[j] += static_cast<double>(widen(q[index(s, b, i, p, h, c, s.head_dim_qk)])) *
                     widen(k[index(s, b, j, p, h, c, s.head_dim_qk)]);
      }
      weight[j] *= scale;
    }
    const double largest = *std::max_element(weight.begin(), weight.end());
    double sum = 0;
    for (double& w : weight) sum += w = std::exp(w - largest);
    for (std::int64_t j = 0; j < s.frames; ++j) {
      for (std::int64_t c = 0; c < s.head_dim_v; ++c) {
        result[c] += weight[j] / sum * widen(v[index(s, b, j, p, h, c, s.head_dim_v)]);
      }
    }
    return result;
  }

  void check(double tolerance) const {
    double largest = 0;
    for (std::size_t n = 0; n < size_v; ++n) {
      largest = std::max(largest, std::fabs(static_cast<double>(widen(v[n]))));
    }
    const auto& s = shape;
    for (std::int64_t b = 0; b < s.batch; ++b) {
      for (std::int64_t i = 0; i < s.frames; ++i) {
        for (std::int64_t p = 0; p < s.positions; ++p) {
          for (std::int64_t h = 0; h < s.num_heads; ++h) {
            const std::vector<double> want = expected(b, i, p, h);
            for (std::int64_t c = 0; c < s.head_dim_v; ++c) {
              const double got = widen(out[index(s, b, i, p, h, c, s.head_dim_v)]);
              ASSERT_LE(std::fabs(got - want[c]), tolerance * largest)
                  << "at [b=" << b << ", f=" << i << ", s=" << p << ", h=" << h << ", c=" << c
                  << "]: got " << got << ", float64 " << want[c];
            }
          }
        }
      }
    }
    check_guards();
  }

  void check_guards() const {
    for (const T* x = out_store.data(); x != out_store.data() + out_store.size(); ++x) {
      if (x >= out && x < out + size_v) continue;
      ASSERT_EQ(widen(*x), kGuardValue) << "wrote at out[" << x - out << "] of " << size_v;
    }
  }
};

class TemporalAttentionTest : public IsaTest {};

template <typename T>
void check_shapes() {
  unsigned seed = 0;
  for (const int frames : {1, 2, 3, 7, 8, 9, 13, 14, 16, 17, 25, 32}) {
    for (const int positions : {0, 1, 3, 17}) {
      for (const int heads : {1, 3, 5}) {
        for (const auto& [d_qk, d_v] : {std::pair{8, 8},
                                        {24, 24},
                                        {32, 64},
                                        {40, 40},
                                        {64, 64},
                                        {64, 24},
                                        {128, 128},
                                        {8, 120}}) {
          if (left_out(++seed)) continue;
          const TemporalAttentionShape shape{
              positions == 3 ? 2 : 1, frames, positions, heads, d_qk, d_v};
          SCOPED_TRACE(testing::Message() << "F=" << frames << " S=" << positions << " H=" << heads
                                          << " d_qk=" << d_qk << " d_v=" << d_v);
          Problem<T> problem(shape, seed);
          ASSERT_TRUE(problem.run().ok());
          problem.check(kTolerance<T>);
          if (testing::Test::HasFatalFailure()) return;
        }
      }
    }
  }
}

TEST_P(TemporalAttentionTest, OddShapesFloat32) { check_shapes<float>(); }
TEST_P(TemporalAttentionTest, OddShapesFloat16) { check_shapes<Half>(); }

template <typename T>
void check_unaligned() {
  for (int misalign = 1; misalign < 16; ++misalign) {
    Problem<T> problem({1, 14, 5, 3, 40, 40}, 7, 1, misalign);
    ASSERT_TRUE(problem.run().ok());
    problem.check(kTolerance<T>);
  }
}

TEST_P(TemporalAttentionTest, UnalignedPointers) {
  check_unaligned<float>();
  check_unaligned<Half>();
}

/// Large enough for streaming stores, aligned or not.
TEST_P(TemporalAttentionTest, LargeOutputsStreamPastTheCaches) {
  for (const std::size_t misalign : {0, 1}) {
    const TemporalAttentionShape shape{1, 14, 515, 5, 64, 64};
    const std::size_t size = 14 * 515 * 5 * 64;
    Problem<float> problem(shape, 3);
    std::vector<float> store(size + 64, kGuardValue);
    float* out = store.data();
    while (reinterpret_cast<std::uintptr_t>(out) % 64 != 0) ++out;
    out += misalign;
    ASSERT_TRUE(problem.run().ok());
    ASSERT_TRUE(
        temporal_attention(problem.q, problem.k, problem.v, out, shape, problem.scale).ok());
    ASSERT_EQ(std::memcmp(out, problem.out, size * sizeof(float)), 0);
    problem.check(kTolerance<float>);
  }
}

TEST_P(TemporalAttentionTest, ThreadsAndCutsGiveTheSameBits) {
  for (const int frames : {7, 14, 25}) {
    Problem<float> problem({2, frames, 37, 3, 64, 32}, 5);
    ASSERT_TRUE(problem.run().ok());
    const std::vector<float> serial = problem.out_store;
    for (const std::size_t piece : {1, 2, 5, 36, 37, 38, 1000}) {
      std::fill(problem.out_store.begin(), problem.out_store.end(), kGuardValue);
      ASSERT_TRUE(problem.run(Threaded{piece}).ok());
      ASSERT_EQ(std::memcmp(serial.data(), problem.out_store.data(), serial.size() * 4), 0)
          << "cut into pieces of " << piece;
    }
  }
}

TEST_P(TemporalAttentionTest, NanAndInfStayInTheirPositionAndHead) {
  const TemporalAttentionShape shape{2, 14, 6, 3, 24, 24};
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
        -std::numeric_limits<float>::infinity()}) {
    for (const int tensor : {0, 1, 2}) {
      Problem<float> clean(shape, 11), dirty(shape, 11);
      float* const target = tensor == 0 ? dirty.q : tensor == 1 ? dirty.k : dirty.v;
      target[index(shape, 1, 5, 4, 1, 7, 24)] = bad;
      ASSERT_TRUE(clean.run().ok());
      ASSERT_TRUE(dirty.run().ok());
      bool reached = false;
      for (std::size_t n = 0; n < clean.size_v; ++n) {
        const std::size_t h = n / 24 % 3, p = n / 72 % 6, f = n / 432 % 14, b = n / 6048;
        const bool own = b == 1 && p == 4 && h == 1;
        // A query is one frame's own affair: the other frames stay clean, too.
        if (own && (tensor != 0 || f == 5)) {
          reached |= !std::isfinite(dirty.out[n]);
          continue;
        }
        ASSERT_EQ(clean.out[n], dirty.out[n])
            << bad << " in tensor " << tensor << " reached [b=" << b << ", f=" << f << ", s=" << p
            << ", h=" << h << "]";
      }
      EXPECT_TRUE(reached) << bad << " in tensor " << tensor << " was swallowed";
    }
  }
}

/// Logits of 1e6 and more: the softmax is then one-hot wherever the two largest are further apart
/// than float32 can blur.
TEST_P(TemporalAttentionTest, HugeLogitsDoNotOverflow) {
  for (const float magnitude : {1e3f, 1e6f, 1e15f}) {
    const TemporalAttentionShape shape{1, 14, 9, 2, 64, 64};
    Problem<float> problem(shape, 13, magnitude);
    ASSERT_TRUE(problem.run().ok());
    for (std::size_t n = 0; n < problem.size_v; ++n) ASSERT_TRUE(std::isfinite(problem.out[n]));
    int checked = 0;
    for (std::int64_t i = 0; i < shape.frames; ++i) {
      for (std::int64_t p = 0; p < shape.positions; ++p) {
        std::vector<double> logit(shape.frames);
        for (std::int64_t j = 0; j < shape.frames; ++j) {
          for (std::int64_t c = 0; c < 64; ++c) {
            logit[j] += static_cast<double>(problem.q[index(shape, 0, i, p, 0, c, 64)]) *
                        problem.k[index(shape, 0, j, p, 0, c, 64)] * problem.scale;
          }
        }
        const std::size_t best = std::max_element(logit.begin(), logit.end()) - logit.begin();
        const double top = logit[best];
        std::nth_element(logit.begin(), logit.begin() + 1, logit.end(), std::greater<>());
        if (top - logit[1] < 30 + 1e-5 * std::fabs(top)) continue;
        ++checked;
        for (std::int64_t c = 0; c < 64; ++c) {
          ASSERT_EQ(problem.out[index(shape, 0, i, p, 0, c, 64)],
                    problem.v[index(shape, 0, best, p, 0, c, 64)])
              << "at [f=" << i << ", s=" << p << ", c=" << c << "], magnitude " << magnitude;
        }
      }
    }
    EXPECT_GT(checked, 50);
  }
}

TEST_P(TemporalAttentionTest, EqualKeysGiveTheMean) {
  Problem<float> problem({1, 32, 2, 1, 8, 8}, 17, 0);  // q = k = 0: every weight is 1/F
  ASSERT_TRUE(problem.run().ok());
  problem.check(kTolerance<float>);
}

MOBILEVD_TEST_EVERY_ISA(TemporalAttentionTest);

TEST(TemporalAttentionErrors, NameTheArgumentAndLeaveOutAlone) {
  const auto message = [](const TemporalAttentionShape& shape) {
    float x[64] = {}, out[64] = {1};
    const Status status = temporal_attention(x, x, x, out, shape, 1.0f);
    EXPECT_EQ(status.code, StatusCode::kInvalidArgument);
    EXPECT_EQ(out[0], 1);
    return std::string(status.message);
  };
  EXPECT_NE(message({-1, 1, 1, 1, 8, 8}).find("batch"), std::string::npos);
  EXPECT_NE(message({1, 0, 1, 1, 8, 8}).find("frames"), std::string::npos);
  EXPECT_NE(message({1, 33, 1, 1, 8, 8}).find("frames"), std::string::npos);
  EXPECT_NE(message({1, 1, -1, 1, 8, 8}).find("positions"), std::string::npos);
  EXPECT_NE(message({1, 1, 1, 0, 8, 8}).find("num_heads"), std::string::npos);
  EXPECT_NE(message({1, 1, 1, 1, 12, 8}).find("head_dim_qk"), std::string::npos);
  EXPECT_NE(message({1, 1, 1, 1, 136, 8}).find("head_dim_qk"), std::string::npos);
  EXPECT_NE(message({1, 1, 1, 1, 8, 0}).find("head_dim_v"), std::string::npos);
  EXPECT_NE(message({1, 32, INT64_MAX / 8, 1, 8, 8}).find("overflow"), std::string::npos);
}

TEST(TemporalAttentionErrors, NullAndOverlap) {
  float x[16] = {}, y[16] = {};
  const TemporalAttentionShape shape{1, 1, 1, 1, 8, 8};
  EXPECT_FALSE(temporal_attention(nullptr, x, x, y, shape, 1.0f).ok());
  EXPECT_FALSE(temporal_attention(x, x, x, x, shape, 1.0f).ok());
  EXPECT_FALSE(temporal_attention(x, x, x, x + 7, shape, 1.0f).ok());
  EXPECT_TRUE(temporal_attention(x, x, x, x + 8, shape, 1.0f).ok());
  const float* none = nullptr;
  EXPECT_TRUE(
      temporal_attention(none, none, none, static_cast<float*>(nullptr), {1, 14, 0, 1, 8, 8}, 1.0f)
          .ok());
}

}  // namespace
}  // namespace mobilevd::kernels
