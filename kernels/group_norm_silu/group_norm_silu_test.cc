#include "mobilevd/kernels/group_norm_silu.h"

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
constexpr float kEps = 1e-5f;

/// What a result may be off by, as a share of the largest: float32 arithmetic for both types, then
/// one rounding.
template <typename T>
constexpr double kTolerance = std::is_same_v<T, float> ? 1e-6 : 1e-6 + 0.5 / 1024;

double silu_float64(double y) { return y / (1 + std::exp(-y)); }

std::string describe(const GroupNormSiluShape& s) {
  return "N=" + std::to_string(s.batch) + " C=" + std::to_string(s.channels) +
         " P=" + std::to_string(s.positions) + " G=" + std::to_string(s.num_groups) +
         (s.channels_last ? " channels last" : " channels first");
}

/// Arrays of one problem, `misalign` elements past an aligned address; nothing lies behind x,
/// weight and bias, so that a sanitizer sees a read past the end. W: the type of weight and bias.
template <typename T, typename W = T>
struct Problem {
  GroupNormSiluShape s;
  bool silu;
  std::vector<T> x_store, out_store;
  std::vector<W> weight_store, bias_store;
  T *x, *out;
  const W *weight, *bias;
  std::size_t size;

  explicit Problem(const GroupNormSiluShape& shape, unsigned seed = 1, bool with_silu = true,
                   int misalign = 0)
      : s(shape), silu(with_silu), size(s.batch * s.channels * s.positions) {
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal;
    const auto fill = [&](auto& store, std::size_t count, float mean) {
      store.resize(count + misalign);
      for (auto& v : store) v = narrow<std::decay_t<decltype(v)>>(mean + normal(generator));
      return store.data() + misalign;
    };
    x = fill(x_store, size, 0.5f);
    weight = fill(weight_store, s.channels, 1);
    bias = fill(bias_store, s.channels, 0);
    out_store.assign(size + 2 * kGuard + misalign, narrow<T>(kGuardValue));
    out = out_store.data() + kGuard + misalign;
  }

  std::size_t index(std::int64_t n, std::int64_t c, std::int64_t p) const {
    return s.channels_last ? (n * s.positions + p) * s.channels + c
                           : (n * s.channels + c) * s.positions + p;
  }

  Status run(ParallelFor parallel_for = serial_for) {
    return group_norm_silu(x, weight, bias, out, s, kEps, silu, parallel_for);
  }

  /// Calls fn(index, expected in float64) for every output.
  template <typename Fn>
  void expected(Fn&& fn) const {
    const std::int64_t width = s.channels / s.num_groups;
    for (std::int64_t n = 0; n < s.batch; ++n) {
      for (std::int64_t g = 0; g < s.num_groups; ++g) {
        const auto each = [&](auto&& body) {
          for (std::int64_t c = g * width; c < (g + 1) * width; ++c) {
            for (std::int64_t p = 0; p < s.positions; ++p) body(c, index(n, c, p));
          }
        };
        const double count = static_cast<double>(width * s.positions);
        double mean = 0, var = 0;
        each([&](std::int64_t, std::size_t i) { mean += widen(x[i]) / count; });
        each([&](std::int64_t, std::size_t i) {
          var += (widen(x[i]) - mean) * (widen(x[i]) - mean) / count;
        });
        each([&](std::int64_t c, std::size_t i) {
          const double w = weight == nullptr ? 1 : widen(weight[c]);
          const double b = bias == nullptr ? 0 : widen(bias[c]);
          const double y = (widen(x[i]) - mean) / std::sqrt(var + kEps) * w + b;
          fn(i, silu ? silu_float64(y) : y);
        });
      }
    }
  }

  void check(double tolerance = kTolerance<T>) const {
    double largest = 0;
    expected([&](std::size_t, double want) { largest = std::max(largest, std::fabs(want)); });
    std::size_t bad = 0;
    expected([&](std::size_t i, double want) {
      const double got = widen(out[i]);
      if (std::fabs(got - want) <= tolerance * largest || ++bad > 3) return;
      ADD_FAILURE() << describe(s) << ": out[" << i << "] is " << got << ", float64 " << want;
    });
    ASSERT_EQ(bad, 0u);
    check_guards();
  }

  void check_guards() const {
    for (const T* v = out_store.data(); v != out_store.data() + out_store.size(); ++v) {
      if (v >= out && v < out + size) continue;
      ASSERT_EQ(widen(*v), kGuardValue)
          << describe(s) << ": wrote at out[" << v - out << "] of " << size;
    }
  }
};

class GroupNormSiluTest : public IsaTest {};

template <typename T, typename W>
void check_shapes() {
  unsigned seed = 1;
  for (const bool last : {false, true}) {
    for (const int width : {1, 3, 8, 10, 20, 40, 600}) {
      for (const int groups : {1, 3, 33}) {
        if (width == 600 && groups > 1) continue;
        for (const int positions : {0, 1, 15, 17, 64, 131}) {
          if (left_out(++seed)) continue;
          Problem<T, W> problem({positions == 15 ? 2 : 1, width * groups, positions, groups, last},
                                seed, seed % 3 != 0);
          if (seed % 5 == 1) problem.weight = nullptr;
          if (seed % 7 == 1) problem.bias = nullptr;
          ASSERT_TRUE(problem.run().ok());
          problem.check();
          if (testing::Test::HasFatalFailure()) return;
        }
      }
    }
  }
}

TEST_P(GroupNormSiluTest, OddShapesFloat32) { check_shapes<float, float>(); }
TEST_P(GroupNormSiluTest, OddShapesFloat16) { check_shapes<Half, Half>(); }
TEST_P(GroupNormSiluTest, OddShapesFloat16WithFloat32Weights) { check_shapes<Half, float>(); }

TEST_P(GroupNormSiluTest, UnalignedPointers) {
  for (int misalign = 1; misalign < 16; ++misalign) {
    for (const bool last : {false, true}) {
      Problem<float> single({2, 40, 37, 4, last}, 7, true, misalign);
      ASSERT_TRUE(single.run().ok());
      single.check();
      Problem<Half> half({2, 40, 37, 4, last}, 7, true, misalign);
      ASSERT_TRUE(half.run().ok());
      half.check();
    }
  }
}

/// Shapes that are cut into parts, into chunks, and stored past the caches, aligned or not.
TEST_P(GroupNormSiluTest, LargeShapes) {
  for (const bool last : {false, true}) {
    for (const GroupNormSiluShape& shape : {GroupNormSiluShape{1, 64, 9000, 2, last},
                                            {3, 40, 5600, 4, last},
                                            {5, 320, 1536, 32, last},
                                            {1, 2720, 100, 32, last},
                                            {1, 70, 5003, 1, last}}) {
      Problem<float> problem(shape, 3);
      ASSERT_TRUE(problem.run().ok());
      problem.check();
      std::vector<float> store(problem.size + 64);
      float* out = store.data();
      while (reinterpret_cast<std::uintptr_t>(out) % 64 != 0) ++out;
      for (const std::size_t misalign : {0, 1}) {
        ASSERT_TRUE(
            group_norm_silu(problem.x, problem.weight, problem.bias, out + misalign, shape, kEps)
                .ok());
        ASSERT_EQ(std::memcmp(out + misalign, problem.out, problem.size * sizeof(float)), 0)
            << describe(shape) << ", out off by " << misalign << " elements";
      }
    }
  }
}

template <typename T>
void check_in_place() {
  for (const bool last : {false, true}) {
    for (const GroupNormSiluShape& shape :
         {GroupNormSiluShape{2, 30, 77, 3, last}, {1, 16, 20000, 2, last}}) {
      Problem<T> problem(shape, 9);
      ASSERT_TRUE(problem.run().ok());
      problem.check();
      const std::vector<T> apart(problem.out, problem.out + problem.size);
      problem.out = problem.x;
      ASSERT_TRUE(problem.run().ok());
      ASSERT_EQ(std::memcmp(apart.data(), problem.x, problem.size * sizeof(T)), 0)
          << describe(shape);
    }
  }
}

TEST_P(GroupNormSiluTest, InPlaceGivesTheSameBits) {
  check_in_place<float>();
  check_in_place<Half>();
}

TEST_P(GroupNormSiluTest, ThreadsAndCutsGiveTheSameBits) {
  for (const bool last : {false, true}) {
    for (const GroupNormSiluShape& shape : {GroupNormSiluShape{3, 40, 97, 8, last},
                                            {1, 64, 9001, 2, last},
                                            {2, 96, 3000, 1, last},
                                            {1, 320, 700, 32, last}}) {
      Problem<float> problem(shape, 5);
      ASSERT_TRUE(problem.run().ok());
      problem.check();
      const std::vector<float> serial = problem.out_store;
      for (const std::size_t piece : {1, 2, 3, 7, 1000}) {
        std::fill(problem.out_store.begin(), problem.out_store.end(), kGuardValue);
        ASSERT_TRUE(problem.run(Threaded{piece}).ok());
        ASSERT_EQ(std::memcmp(serial.data(), problem.out_store.data(), serial.size() * 4), 0)
            << describe(shape) << ", cut into pieces of " << piece;
      }
    }
  }
}

TEST_P(GroupNormSiluTest, NanAndInfStayInTheirGroup) {
  for (const bool last : {false, true}) {
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
          -std::numeric_limits<float>::infinity()}) {
      const GroupNormSiluShape shape{3, 30, 41, 3, last};
      Problem<float> clean(shape, 11), dirty(shape, 11);
      dirty.x[dirty.index(1, 14, 20)] = bad;
      ASSERT_TRUE(clean.run().ok());
      ASSERT_TRUE(dirty.run().ok());
      for (int n = 0; n < 3; ++n) {
        for (int c = 0; c < 30; ++c) {
          for (int p = 0; p < 41; ++p) {
            const std::size_t i = clean.index(n, c, p);
            if (n == 1 && c / 10 == 1) {
              ASSERT_TRUE(std::isnan(dirty.out[i])) << bad << " was swallowed at [" << n << ", "
                                                    << c << ", " << p << "]: " << dirty.out[i];
            } else {
              ASSERT_EQ(clean.out[i], dirty.out[i])
                  << bad << " reached [" << n << ", " << c << ", " << p << "], " << describe(shape);
            }
          }
        }
      }
    }
  }
}

/// 1e4 + N(0, 1): E[x^2] - E[x]^2 in float32 would be all error, a float32 mean off by 5e-4.
TEST_P(GroupNormSiluTest, LargeMeansCostNothing) {
  for (const bool last : {false, true}) {
    for (const GroupNormSiluShape& shape :
         {GroupNormSiluShape{2, 40, 1000, 4, last}, {1, 20, 30000, 1, last}, {1, 32, 7, 4, last}}) {
      for (const bool silu : {false, true}) {
        Problem<float> problem(shape, 13, silu);
        for (std::size_t i = 0; i < problem.size; ++i) problem.x[i] += 1e4f;
        ASSERT_TRUE(problem.run().ok());
        problem.check();
      }
    }
  }
}

/// The sums' shift comes from the first eighth of a block; here that is far from the rest.
TEST_P(GroupNormSiluTest, MisleadingBeginnings) {
  for (const bool last : {false, true}) {
    for (const int positions : {64, 256, 3000}) {
      Problem<float> problem({1, 8, positions, 1, last}, 15, false);
      for (int c = 0; c < 8; ++c) {
        for (int p = 0; p < positions; ++p) {
          const int nth = last ? p : c * positions + p, count = last ? positions : 8 * positions;
          problem.x[problem.index(0, c, p)] += nth < count / 8 ? 1e6f : c == 5 ? -1e3f : 0.0f;
        }
      }
      ASSERT_TRUE(problem.run().ok());
      problem.check();
    }
  }
}

/// Squares that leave float32 in both directions.
TEST_P(GroupNormSiluTest, HugeAndTinyMagnitudes) {
  for (const bool last : {false, true}) {
    for (const float magnitude : {1e-30f, 1e-10f, 1e10f, 1e19f, 1e25f, 1e36f}) {
      Problem<float> problem({2, 20, 300, 2, last}, 17);
      for (std::size_t i = 0; i < problem.size; ++i) problem.x[i] *= magnitude;
      ASSERT_TRUE(problem.run().ok());
      problem.check();
    }
  }
}

/// A constant x normalises to exactly 0, so out is SiLU of the bias alone.
TEST_P(GroupNormSiluTest, SiluIsAccurateEverywhere) {
  const std::int64_t channels = 40001;
  for (const bool last : {false, true}) {
    Problem<float> problem({1, channels, 1, channels, last}, 19);
    std::vector<float> bias(channels);
    for (std::int64_t c = 0; c < channels; ++c) bias[c] = static_cast<float>(c - 20000) / 200;
    problem.bias = bias.data();
    ASSERT_TRUE(problem.run().ok());
    for (std::int64_t c = 0; c < channels; ++c) {
      const double want = silu_float64(bias[c]);
      ASSERT_LE(std::fabs(problem.out[c] - want), 6e-7 * std::fabs(want) + 1e-36)
          << "silu(" << bias[c] << ") is " << problem.out[c] << ", float64 " << want;
    }
    const float inf = std::numeric_limits<float>::infinity();
    bias[0] = inf;
    bias[1] = -inf;
    bias[2] = std::numeric_limits<float>::quiet_NaN();
    bias[3] = 3e38f;
    bias[4] = -3e38f;
    ASSERT_TRUE(problem.run().ok());
    EXPECT_EQ(problem.out[0], inf);
    EXPECT_LE(std::fabs(problem.out[1]), 1e-36f);
    EXPECT_TRUE(std::isnan(problem.out[2]));
    EXPECT_EQ(problem.out[3], 3e38f);
    EXPECT_LE(std::fabs(problem.out[4]), 1e-36f);
  }
}

MOBILEVD_TEST_EVERY_ISA(GroupNormSiluTest);

TEST(GroupNormSiluErrors, NameTheArgumentAndLeaveOutAlone) {
  const auto message = [](const GroupNormSiluShape& shape, float eps = kEps) {
    float x[64] = {}, out[64] = {1};
    const Status status = group_norm_silu(x, x, x, out, shape, eps);
    EXPECT_EQ(status.code, StatusCode::kInvalidArgument);
    EXPECT_EQ(out[0], 1);
    return std::string(status.message);
  };
  EXPECT_NE(message({-1, 8, 4, 2}).find("batch"), std::string::npos);
  EXPECT_NE(message({1, 0, 4, 1}).find("channels"), std::string::npos);
  EXPECT_NE(message({1, 8, -1, 2}).find("positions"), std::string::npos);
  EXPECT_NE(message({1, 8, 4, 0}).find("num_groups"), std::string::npos);
  EXPECT_NE(message({1, 8, 4, 3}).find("num_groups"), std::string::npos);
  EXPECT_NE(message({1, 8, 4, 16}).find("num_groups"), std::string::npos);
  EXPECT_NE(message({4, INT64_MAX / 8, 4, 1}).find("overflow"), std::string::npos);
  for (const float eps : {0.0f, -1e-5f, std::numeric_limits<float>::quiet_NaN(),
                          std::numeric_limits<float>::infinity()}) {
    EXPECT_NE(message({1, 8, 4, 2}, eps).find("eps"), std::string::npos);
  }
}

TEST(GroupNormSiluErrors, NullAndOverlap) {
  float x[64] = {}, y[64] = {};
  const float* const none = nullptr;
  const GroupNormSiluShape shape{1, 8, 4, 2};
  EXPECT_FALSE(group_norm_silu(none, x, x, y, shape, kEps).ok());
  EXPECT_FALSE(group_norm_silu(x, y, y, static_cast<float*>(nullptr), shape, kEps).ok());
  EXPECT_FALSE(group_norm_silu(x, none, none, x + 1, shape, kEps).ok());
  EXPECT_FALSE(group_norm_silu(x + 1, none, none, x, shape, kEps).ok());
  EXPECT_FALSE(group_norm_silu(x, y, none, y, shape, kEps).ok());
  EXPECT_FALSE(group_norm_silu(x, none, y + 31, y, shape, kEps).ok());
  EXPECT_TRUE(group_norm_silu(x, none, none, x + 32, shape, kEps).ok());
  EXPECT_TRUE(group_norm_silu(x, y, y, x, shape, kEps).ok());
  for (const GroupNormSiluShape& nothing : {GroupNormSiluShape{0, 8, 4, 2}, {1, 8, 0, 2}}) {
    EXPECT_TRUE(
        group_norm_silu(none, none, none, static_cast<float*>(nullptr), nothing, kEps).ok());
  }
}

}  // namespace
}  // namespace mobilevd::kernels
