#include "runtime/stats.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

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

TEST(ResultJson, TellsTheClipsSettingsAndThePoolsSize) {
  RunStats stats;
  stats.threads = 3;
  RunInfo info;
  info.sampling = SamplingSpec();
  info.sampling->steps = 4;
  info.sampling->fps = 12.5;
  info.sampling->motion_bucket = 1023;
  info.sampling->noise_aug = 0.25;
  const auto of_clip = nlohmann::json::parse(result_json(Bundle(), stats, info));
  EXPECT_EQ(of_clip["steps"], 4);
  EXPECT_EQ(of_clip["fps"], 12.5);
  EXPECT_EQ(of_clip["motion_bucket"], 1023);
  EXPECT_EQ(of_clip["noise_aug"], 0.25);
  EXPECT_EQ(of_clip["threads"], 3);

  info.sampling.reset();
  const auto of_stage = nlohmann::json::parse(result_json(Bundle(), stats, info));
  EXPECT_EQ(of_stage["steps"], 0);
  for (const char* name : {"fps", "motion_bucket", "noise_aug"}) {
    EXPECT_TRUE(of_stage.at(name).is_null()) << name;
  }
}

}  // namespace
}  // namespace mobilevd
