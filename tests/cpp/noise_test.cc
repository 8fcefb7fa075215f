#include "runtime/noise.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace mobilevd {
namespace {

using Words = std::array<std::uint32_t, 4>;

// Known answers that the authors of Philox publish with Random123.
TEST(Noise, PhiloxKnownAnswers) {
  constexpr std::uint32_t kOnes = 0xffffffff;
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}),
            (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({kOnes, kOnes, kOnes, kOnes}, {kOnes, kOnes}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

std::vector<float> draw(std::uint64_t seed, std::uint32_t stream, std::size_t count) {
  std::vector<float> values(count);
  normal(seed, stream, count, values.data());
  return values;
}

TEST(Noise, MomentsAndTailsAreNormal) {
  constexpr std::size_t kCount = 1 << 20;
  const auto values = draw(7, 0, kCount);
  double moments[5] = {};
  std::size_t beyond_two = 0;
  for (const float value : values) {
    for (int p = 1; p <= 4; ++p) moments[p] += std::pow(value, p) / kCount;
    beyond_two += std::abs(value) > 2.0f ? 1 : 0;
  }
  // Five standard errors of each moment's estimate.
  const double error = 5.0 / std::sqrt(kCount);
  EXPECT_NEAR(moments[1], 0.0, error);
  EXPECT_NEAR(moments[2], 1.0, error * std::sqrt(2.0));
  EXPECT_NEAR(moments[3], 0.0, error * std::sqrt(15.0));
  EXPECT_NEAR(moments[4], 3.0, error * std::sqrt(96.0));
  EXPECT_NEAR(static_cast<double>(beyond_two) / kCount, 0.0455003, error * 0.21);
}

// Kolmogorov-Smirnov distance to the normal distribution; 1.95 / sqrt(n) is the 0.1 % level.
TEST(Noise, DistributionIsNormal) {
  constexpr std::size_t kCount = 100000;
  auto values = draw(11, 3, kCount);
  std::sort(values.begin(), values.end());
  double distance = 0.0;
  for (std::size_t i = 0; i < kCount; ++i) {
    const double cdf = 0.5 * std::erfc(-values[i] / std::sqrt(2.0));
    distance = std::max(distance, std::abs(cdf - (static_cast<double>(i) + 0.5) / kCount));
  }
  EXPECT_LT(distance, 1.95 / std::sqrt(kCount));
}

TEST(Noise, NeighboursSeedsAndStreamsAreUncorrelated) {
  constexpr std::size_t kCount = 1 << 18;
  const auto base = draw(1, 0, kCount + 1);
  const auto correlation = [&](const std::vector<float>& other, std::size_t lag) {
    double sum = 0.0;
    for (std::size_t i = 0; i < kCount; ++i) sum += double{base[i]} * other[i + lag] / kCount;
    return sum;
  };
  const double limit = 5.0 / std::sqrt(kCount);
  EXPECT_NEAR(correlation(base, 1), 0.0, limit);
  EXPECT_NEAR(correlation(draw(2, 0, kCount), 0), 0.0, limit);
  EXPECT_NEAR(correlation(draw(1, 1, kCount), 0), 0.0, limit);
  EXPECT_NEAR(correlation(draw(std::uint64_t{1} << 32 | 1, 0, kCount), 0), 0.0, limit);
}

TEST(Noise, AValueDoesNotDependOnTheCount) {
  const auto all = draw(5, 2, 1001);
  for (const std::size_t count : {0, 1, 2, 3, 4, 5, 1000}) {
    const auto some = draw(5, 2, count);
    EXPECT_TRUE(std::equal(some.begin(), some.end(), all.begin())) << count;
  }
}

}  // namespace
}  // namespace mobilevd
