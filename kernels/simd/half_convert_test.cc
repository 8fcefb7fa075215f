#include "simd/half_convert.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>

namespace mobilevd::kernels {
namespace {

/// The value of a binary16, from the definition in IEEE 754.
double value_of(std::uint16_t bits) {
  const int exponent = (bits >> 10) & 31, mantissa = bits & 1023;
  const double sign = bits & 0x8000 ? -1 : 1;
  if (exponent == 31) {
    return mantissa ? std::nan("") : sign * std::numeric_limits<double>::infinity();
  }
  if (exponent == 0) return sign * std::ldexp(mantissa, -24);
  return sign * std::ldexp(1024 + mantissa, exponent - 25);
}

TEST(Half, EveryValueWidensExactlyAndComesBack) {
  for (std::uint32_t i = 0; i < 0x10000; ++i) {
    const Half half{static_cast<std::uint16_t>(i)};
    const double expected = value_of(half.bits);
    const float wide = half_to_float(half);
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(wide)) << "bits " << i;
      EXPECT_TRUE(std::isnan(half_to_float(float_to_half(wide)))) << "bits " << i;
      continue;
    }
    ASSERT_EQ(wide, expected) << "bits " << i;
    ASSERT_EQ(std::signbit(wide), (i & 0x8000) != 0) << "bits " << i;
    ASSERT_EQ(float_to_half(wide).bits, half.bits) << "bits " << i;
  }
}

TEST(Half, RoundsToNearestEven) {
  for (std::uint32_t i = 0; i < 0x7C00; ++i) {  // between i and i + 1, the last being 2^16 = Inf
    const double low = value_of(i), high = i + 1 == 0x7C00 ? 65536.0 : value_of(i + 1);
    const float middle = static_cast<float>((low + high) / 2);  // exact: one more bit
    const std::uint32_t even = i % 2 == 0 ? i : i + 1;
    ASSERT_EQ(float_to_half(middle).bits, even) << "between " << low << " and " << high;
    ASSERT_EQ(float_to_half(std::nextafter(middle, 0.0f)).bits, i) << "below " << middle;
    ASSERT_EQ(float_to_half(std::nextafter(middle, 1e9f)).bits, i + 1) << "above " << middle;
    ASSERT_EQ(float_to_half(-middle).bits, 0x8000 | even);
  }
}

}  // namespace
}  // namespace mobilevd::kernels
