#include "runtime/stats.h"

#include <gtest/gtest.h>

namespace mobilevd {
namespace {

TEST(Timings, MedianAndPercentiles) {
  Timings timings;
  EXPECT_EQ(timings.median(), 0.0);
  for (const double ms : {5.0, 1.0, 4.0, 2.0, 3.0, 6.0, 10.0, 9.0, 8.0, 7.0}) timings.add(ms);
  EXPECT_EQ(timings.count(), 10u);
  EXPECT_EQ(timings.min(), 1.0);
  EXPECT_EQ(timings.median(), 5.5);
  EXPECT_EQ(timings.p90(), 9.0);
  EXPECT_EQ(timings.total(), 55.0);
  timings.add(11.0);
  EXPECT_EQ(timings.median(), 6.0);
  EXPECT_EQ(timings.p90(), 10.0);
}

}  // namespace
}  // namespace mobilevd
