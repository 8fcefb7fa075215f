#include "mobilevd/kernels/spatial_attention.h"

#include "testing/emulation.h"
#include "testing/isa_test.h"

namespace mobilevd::kernels {
namespace {

using testing_isa::Guarded;
using testing_isa::kStorageEpsilon;
using testing_isa::Scratch;
using testing_isa::Threaded;
using testing_isa::widen;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// What a result may be off by, as a share of the largest value it is a mean of: float32
/// arithmetic in both cases, then one rounding to T.
template <typename T>
constexpr double kTolerance = std::is_same_v<T, float> ? 1e-6 : 1e-6 + kStorageEpsilon<T>;

SpatialAttentionShape self_attention(std::int64_t batch, std::int64_t tokens, std::int64_t heads,
                                     std::int64_t d_qk, std::int64_t d_v) {
  return {batch, tokens, tokens, heads, d_qk, d_v};
}

/// Arrays of one problem, starting `misalign` elements past an aligned address.
template <typename T>
struct Problem {
  SpatialAttentionShape shape;
  float scale;
  Guarded<T> q, k, v, out;

  Problem(const SpatialAttentionShape& s, unsigned seed, float magnitude = 1, int misalign = 0)
      : shape(s),
        scale(1 / std::sqrt(static_cast<float>(s.head_dim_qk))),
        q(s.batch * s.tokens * s.num_heads * s.head_dim_qk, misalign),
        k(s.batch * s.key_tokens * s.num_heads * s.head_dim_qk, misalign),
        v(s.batch * s.key_tokens * s.num_heads * s.head_dim_v, misalign),
        out(s.batch * s.tokens * s.num_heads * s.head_dim_v, misalign) {
    q.fill_normal(seed, magnitude);
    k.fill_normal(seed + 1000, magnitude);
    v.fill_normal(seed + 2000);
  }

  Status run(int lanes = 1, ParallelFor parallel_for = serial_for) {
    Scratch scratch(spatial_attention_scratch_bytes(shape, lanes));
    return spatial_attention(q.data(), k.data(), v.data(), out.data(), shape, scale, scratch.data(),
                             lanes, parallel_for);
  }

  std::size_t q_index(std::int64_t n, std::int64_t i, std::int64_t h) const {
    return ((n * shape.tokens + i) * shape.num_heads + h) * shape.head_dim_qk;
  }
  std::size_t k_index(std::int64_t n, std::int64_t j, std::int64_t h) const {
    return ((n * shape.key_tokens + j) * shape.num_heads + h) * shape.head_dim_qk;
  }
  std::size_t v_index(std::int64_t n, std::int64_t j, std::int64_t h) const {
    return ((n * shape.key_tokens + j) * shape.num_heads + h) * shape.head_dim_v;
  }
  std::size_t out_index(std::int64_t n, std::int64_t i, std::int64_t h) const {
    return ((n * shape.tokens + i) * shape.num_heads + h) * shape.head_dim_v;
  }

  std::vector<double> logits(std::int64_t n, std::int64_t i, std::int64_t h) const {
    std::vector<double> result(shape.key_tokens);
    for (std::int64_t j = 0; j < shape.key_tokens; ++j) {
      for (std::int64_t c = 0; c < shape.head_dim_qk; ++c) {
        result[j] +=
            static_cast<double>(widen(q[q_index(n, i, h) + c])) * widen(k[k_index(n, j, h) + c]);
      }
      result[j] *= scale;
    }
    return result;
  }

  /// One output vector (length d_v) in float64, from the definition.
  std::vector<double> expected(std::int64_t n, std::int64_t i, std::int64_t h) const {
    std::vector<double> weight = logits(n, i, h), result(shape.head_dim_v, 0.0);
    const double largest = *std::max_element(weight.begin(), weight.end());
    double sum = 0;
    for (double& w : weight) sum += w = std::exp(w - largest);
    for (std::int64_t j = 0; j < shape.key_tokens; ++j) {
      for (std::int64_t c = 0; c < shape.head_dim_v; ++c) {
        result[c] += weight[j] / sum * widen(v[v_index(n, j, h) + c]);
      }
    }
    return result;
  }

  /// Every `step`th query, and the last one.
  void check(double tolerance, std::int64_t step = 1) const {
    double largest = 0;
    for (std::size_t i = 0; i < v.size(); ++i) {
      largest = std::max(largest, std::fabs(static_cast<double>(widen(v[i]))));
    }
    for (std::int64_t n = 0; n < shape.batch; ++n) {
      for (std::int64_t h = 0; h < shape.num_heads; ++h) {
        for (std::int64_t i = 0; i < shape.tokens; ++i) {
          if (i % step != 0 && i != shape.tokens - 1) continue;
          const std::vector<double> want = expected(n, i, h);
          for (std::int64_t c = 0; c < shape.head_dim_v; ++c) {
            const double got = widen(out[out_index(n, i, h) + c]);
            ASSERT_LE(std::fabs(got - want[c]), tolerance * largest)
                << "at [n=" << n << ", s=" << i << ", h=" << h << ", c=" << c << "]: got " << got
                << ", float64 " << want[c];
          }
        }
      }
    }
    out.expect_guards_untouched();
  }
};

template <typename T>
bool same_bits(const Guarded<T>& a, const Guarded<T>& b) {
  return std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

class SpatialAttentionTest : public testing_isa::IsaTest {};
MOBILEVD_TEST_EVERY_ISA(SpatialAttentionTest);

constexpr std::pair<int, int> kHeadDims[] = {{8, 8},   {24, 24}, {32, 64},   {40, 40},
                                             {64, 64}, {64, 24}, {128, 128}, {120, 8}};

template <typename T>
void check_shapes() {
  unsigned seed = 1;
  for (const int tokens : {0, 1, 2, 15, 17, 32, 33, 64, 100, 129, 150}) {
    for (const auto& [d_qk, d_v] : kHeadDims) {
      if (left_out(++seed)) continue;
      const int heads = 1 + tokens % 3;
      SCOPED_TRACE(testing::Message()
                   << "S=" << tokens << " H=" << heads << " d_qk=" << d_qk << " d_v=" << d_v);
      Problem<T> problem(self_attention(tokens == 17 ? 2 : 1, tokens, heads, d_qk, d_v), seed);
      ASSERT_TRUE(problem.run().ok());
      problem.check(kTolerance<T>, 3);
      if (testing::Test::HasFatalFailure()) return;
    }
  }
}

TEST_P(SpatialAttentionTest, OddShapesFloat32) { check_shapes<float>(); }
TEST_P(SpatialAttentionTest, OddShapesFloat16) { check_shapes<Half>(); }

TEST_P(SpatialAttentionTest, KeysAndQueriesOfDifferentLength) {
  unsigned seed = 100;
  for (const int tokens : {1, 31, 65}) {
    for (const int key_tokens : {1, 2, 13, 63, 64, 65, 77, 200}) {
      if (left_out(++seed)) continue;
      SCOPED_TRACE(testing::Message() << "S=" << tokens << " S_k=" << key_tokens);
      const SpatialAttentionShape shape{2, tokens, key_tokens, 2, 32, 40};
      Problem<float> problem(shape, seed);
      ASSERT_TRUE(problem.run().ok());
      problem.check(kTolerance<float>);
      Problem<Half> half(shape, seed);
      ASSERT_TRUE(half.run().ok());
      half.check(kTolerance<Half>);
      if (testing::Test::HasFatalFailure()) return;
    }
  }
}

TEST_P(SpatialAttentionTest, UnalignedPointers) {
  for (int misalign = 1; misalign < 16; misalign += 2) {
    Problem<float> problem(self_attention(1, 37, 3, 40, 40), 7, 1, misalign);
    ASSERT_TRUE(problem.run().ok());
    problem.check(kTolerance<float>);
    Problem<Half> half(self_attention(1, 37, 3, 40, 40), 7, 1, misalign);
    ASSERT_TRUE(half.run().ok());
    half.check(kTolerance<Half>);
  }
}

/// The softmax meets its maximum anywhere among many blocks.
TEST_P(SpatialAttentionTest, LongSequences) {
  for (const float magnitude : {0.1f, 1.0f, 3.0f}) {
    Problem<float> problem(self_attention(1, 1000, 1, 64, 64), 19, magnitude);
    ASSERT_TRUE(problem.run().ok());
    problem.check(kTolerance<float> * std::max(1.0f, magnitude * magnitude), 37);
  }
}

/// Sorted so that every block, or only the first, brings a new maximum.
TEST_P(SpatialAttentionTest, RisingAndFallingScores) {
  for (const int direction : {1, -1}) {
    Problem<float> problem(self_attention(1, 300, 1, 8, 16), 23);
    for (std::size_t i = 0; i < problem.q.size(); ++i) {
      problem.q[i] = 1;
      problem.k[i] = direction * 0.1f * static_cast<float>(i / 8);
    }
    ASSERT_TRUE(problem.run().ok());
    problem.check(2e-5, 50);  // logits up to 85: their own rounding is 85 * 2^-24
  }
}

TEST_P(SpatialAttentionTest, LanesAndThreadsGiveTheSameBits) {
  const auto check = [](auto problem) {
    ASSERT_TRUE(problem.run().ok());
    const auto serial = problem.out;
    for (const int lanes : {2, 3, 5, 8, 1000}) {
      for (std::size_t i = 0; i < problem.out.size(); ++i) problem.out[i] = {};
      ASSERT_TRUE(problem.run(lanes, Threaded{lanes == 5 ? 2u : 1u}).ok());
      ASSERT_TRUE(same_bits(serial, problem.out)) << "in " << lanes << " lanes";
    }
  };
  for (const int tokens : {32, 129, 333}) {
    check(Problem<float>(self_attention(3, tokens, 3, 64, 32), 5));
    check(Problem<Half>(self_attention(3, tokens, 3, 64, 32), 5));
  }
}

/// A query's result does not depend on the queries beside it.
TEST_P(SpatialAttentionTest, QueriesDoNotDependOnEachOther) {
  Problem<float> whole({1, 150, 90, 1, 24, 40}, 29);
  ASSERT_TRUE(whole.run().ok());
  for (const int first : {0, 32, 96, 128}) {
    const SpatialAttentionShape shape{1, 150 - first, 90, 1, 24, 40};
    Guarded<float> out(shape.tokens * 40);
    Scratch scratch(spatial_attention_scratch_bytes(shape, 1));
    ASSERT_TRUE(spatial_attention(whole.q.data() + first * 24, whole.k.data(), whole.v.data(),
                                  out.data(), shape, whole.scale, scratch.data(), 1)
                    .ok());
    ASSERT_EQ(std::memcmp(out.data(), whole.out.data() + first * 40, out.size() * 4), 0);
  }
}

TEST_P(SpatialAttentionTest, NanAndInfStayInTheirEntryAndHead) {
  const SpatialAttentionShape shape = self_attention(2, 75, 3, 24, 24);
  float payload = kNan;  // whose low bits are not zero, either
  std::uint32_t bits = 0x7FC12345u;
  std::memcpy(&payload, &bits, sizeof(payload));
  for (const float bad : {kNan, payload, kInf, -kInf}) {
    for (const int tensor : {0, 1, 2}) {
      for (const int token : {5, 40, 74}) {
        Problem<float> clean(shape, 11), dirty(shape, 11);
        Guarded<float>& target = tensor == 0 ? dirty.q : tensor == 1 ? dirty.k : dirty.v;
        target[dirty.q_index(1, token, 1) + 7] = bad;
        ASSERT_TRUE(clean.run().ok());
        ASSERT_TRUE(dirty.run().ok());
        bool reached = false;
        for (std::size_t x = 0; x < clean.out.size(); ++x) {
          const std::size_t h = x / 24 % 3, i = x / 72 % 75, n = x / 5400;
          // A query is its own affair.
          if (n == 1 && h == 1 && (tensor != 0 || i == static_cast<std::size_t>(token))) {
            reached |= !std::isfinite(dirty.out[x]);
            continue;
          }
          ASSERT_EQ(clean.out[x], dirty.out[x])
              << bad << " in tensor " << tensor << " reached [n=" << n << ", s=" << i << ", h=" << h
              << "]";
        }
        EXPECT_TRUE(reached) << bad << " in tensor " << tensor << " was swallowed";
      }
    }
  }
}

/// Keys of score -Inf have no weight, be they a whole block; all of them make NaN.
TEST_P(SpatialAttentionTest, ScoresOfMinusInf) {
  for (const auto& [begin, end] : {std::pair{0, 64}, {0, 70}, {64, 128}, {3, 7}, {0, 199}}) {
    Problem<float> problem({1, 40, 200, 1, 8, 16}, 31);
    for (std::size_t i = 0; i < problem.q.size(); i += 8) problem.q[i] = 1;
    Problem<float> rest = problem;
    for (int j = begin; j < end; ++j) problem.k[8 * j] = -kInf;
    int kept = 0;
    for (int j = 0; j < 200; ++j) {
      if (j >= begin && j < end) continue;
      for (int c = 0; c < 8; ++c) rest.k[8 * kept + c] = problem.k[8 * j + c];
      for (int c = 0; c < 16; ++c) rest.v[16 * kept + c] = problem.v[16 * j + c];
      ++kept;
    }
    rest.shape.key_tokens = kept;
    ASSERT_TRUE(problem.run().ok());
    ASSERT_TRUE(rest.run().ok());
    for (std::size_t i = 0; i < problem.out.size(); ++i) {
      ASSERT_NEAR(problem.out[i], rest.out[i], 5e-6)
          << "at [" << i << "], keys " << begin << " to " << end;
    }
  }
  Problem<float> none({1, 40, 100, 1, 8, 16}, 31);
  for (std::size_t i = 0; i < none.q.size(); i += 8) none.q[i] = 1;
  for (std::size_t i = 0; i < none.k.size(); i += 8) none.k[i] = -kInf;
  ASSERT_TRUE(none.run().ok());
  for (std::size_t i = 0; i < none.out.size(); ++i) ASSERT_TRUE(std::isnan(none.out[i]));
}

/// Logits of 1e6 and more: the softmax is then one-hot wherever the two largest are further apart
/// than float32 can blur.
TEST_P(SpatialAttentionTest, HugeLogitsDoNotOverflow) {
  for (const float magnitude : {1e3f, 1e6f, 1e15f}) {
    Problem<float> problem(self_attention(1, 140, 2, 64, 64), 13, magnitude);
    ASSERT_TRUE(problem.run().ok());
    for (std::size_t i = 0; i < problem.out.size(); ++i) {
      ASSERT_TRUE(std::isfinite(problem.out[i])) << "at [" << i << "], magnitude " << magnitude;
    }
    int checked = 0;
    for (std::int64_t i = 0; i < 140; ++i) {
      std::vector<double> logit = problem.logits(0, i, 0);
      const std::size_t best = std::max_element(logit.begin(), logit.end()) - logit.begin();
      const double top = logit[best];
      std::nth_element(logit.begin(), logit.begin() + 1, logit.end(), std::greater<>());
      if (top - logit[1] < 90 + 1e-5 * std::fabs(top)) continue;
      ++checked;
      for (std::int64_t c = 0; c < 64; ++c) {
        ASSERT_EQ(problem.out[problem.out_index(0, i, 0) + c],
                  problem.v[problem.v_index(0, best, 0) + c])
            << "at [s=" << i << ", c=" << c << "], magnitude " << magnitude;
      }
    }
    EXPECT_GT(checked, 50);
  }
}

TEST_P(SpatialAttentionTest, EqualKeysGiveTheMeanAndEqualValuesThemselves) {
  Problem<float> mean(self_attention(1, 200, 1, 8, 8), 17, 0);  // q = k = 0: every weight is 1/S
  ASSERT_TRUE(mean.run().ok());
  mean.check(kTolerance<float>);
  Problem<float> equal({1, 33, 5000, 1, 8, 8}, 17);
  for (std::size_t i = 0; i < equal.v.size(); ++i) equal.v[i] = 3;
  ASSERT_TRUE(equal.run().ok());
  equal.check(kTolerance<float>, 8);
}

TEST(SpatialAttentionErrors, NameTheArgumentAndLeaveOutAlone) {
  const auto message = [](const SpatialAttentionShape& shape, int lanes = 1) {
    EXPECT_EQ(spatial_attention_scratch_bytes(shape, lanes), 0u);
    float x[64] = {}, out[64] = {1};
    alignas(64) char scratch[64];
    const Status status = spatial_attention(x, x, x, out, shape, 1.0f, scratch, lanes);
    EXPECT_EQ(status.code, StatusCode::kInvalidArgument);
    EXPECT_EQ(out[0], 1);
    return std::string(status.message);
  };
  EXPECT_NE(message({-1, 1, 1, 1, 8, 8}).find("batch"), std::string::npos);
  EXPECT_NE(message({1, -1, 1, 1, 8, 8}).find(" tokens"), std::string::npos);
  EXPECT_NE(message({1, 1, 0, 1, 8, 8}).find("key_tokens"), std::string::npos);
  EXPECT_NE(message({0, 1, -1, 1, 8, 8}).find("key_tokens"), std::string::npos);
  EXPECT_NE(message({1, 1, 1, 0, 8, 8}).find("num_heads"), std::string::npos);
  EXPECT_NE(message({1, 1, 1, 1, 12, 8}).find("head_dim_qk"), std::string::npos);
  EXPECT_NE(message({1, 1, 1, 1, 136, 8}).find("head_dim_qk"), std::string::npos);
  EXPECT_NE(message({1, 1, 1, 1, 8, 0}).find("head_dim_v"), std::string::npos);
  EXPECT_NE(message({1, 1, INT64_MAX / 8, 1, 8, 8}).find("overflow"), std::string::npos);
  EXPECT_NE(message({1, 1, 1, 1, 8, 8}, 0).find("lanes"), std::string::npos);
  EXPECT_NE(message({1, 1, 1, 1, 8, 8}, 1025).find("lanes"), std::string::npos);
}

TEST(SpatialAttentionErrors, NullOverlapAndAlignment) {
  float x[16] = {}, y[16] = {};
  const SpatialAttentionShape shape = self_attention(1, 1, 1, 8, 8);
  Scratch memory(spatial_attention_scratch_bytes(shape, 1));
  char* const scratch = memory.data();
  EXPECT_FALSE(spatial_attention(nullptr, x, x, y, shape, 1.0f, scratch, 1).ok());
  EXPECT_FALSE(spatial_attention(x, x, x, y, shape, 1.0f, nullptr, 1).ok());
  EXPECT_FALSE(spatial_attention(x, x, x, y, shape, 1.0f, scratch + 4, 1).ok());
  EXPECT_FALSE(spatial_attention(x, x, x, x, shape, 1.0f, scratch, 1).ok());
  EXPECT_FALSE(spatial_attention(x, x, x, x + 7, shape, 1.0f, scratch, 1).ok());
  EXPECT_TRUE(spatial_attention(x, x, x, x + 8, shape, 1.0f, scratch, 1).ok());
  const float* none = nullptr;
  float* nowhere = nullptr;
  for (const auto& empty : {self_attention(14, 0, 1, 8, 8), self_attention(0, 14, 1, 8, 8)}) {
    EXPECT_TRUE(spatial_attention(none, none, none, nowhere, empty, 1.0f, nullptr, 1).ok());
  }
  const SpatialAttentionShape large{8, INT64_MAX / 8, 1, 1, 8, 8};
  EXPECT_FALSE(spatial_attention(x, x, x, y, large, 1.0f, scratch, 1).ok());
}

}  // namespace
}  // namespace mobilevd::kernels
