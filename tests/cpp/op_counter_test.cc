#include "ops/op_counter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

#include "mobilevd/kernels/temporal_attention.h"

namespace mobilevd::ops {
namespace {

OpCounter first("test::first");
OpCounter second("test::second");

void call_kernel() {
  const float x[8] = {};
  float out[8] = {};
  ASSERT_TRUE(kernels::temporal_attention(x, x, x, out, {1, 1, 1, 1, 8, 8}, 1.0f).ok());
}

TEST(OpCounter, KnowsEveryOpOfTheLibraryByName) {
  std::vector<std::string> names;
  for (const OpCount& count : op_counts()) names.emplace_back(count.name);
  EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
  for (const char* name :
       {"mobilevd::conv2d_3x3", "mobilevd::conv2d_3x3_int8", "mobilevd::gemm_int8",
        "mobilevd::group_norm_silu", "mobilevd::linear", "mobilevd::spatial_attention",
        "mobilevd::temporal_attention", "mobilevd::temporal_attention_block",
        "mobilevd::temporal_conv", "mobilevd::temporal_conv_int8", "test::first"}) {
    EXPECT_TRUE(std::binary_search(names.begin(), names.end(), name)) << name;
  }
}

TEST(OpCounter, CountsCallsTheirTimeAndTheVariantThatRan) {
  const auto before = op_counts();
  for (int i = 0; i < 3; ++i) {
    const OpCounter::Call call(second);
    call_kernel();
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  const auto called = calls_between(before, op_counts());
  ASSERT_EQ(called.size(), 1u) << "the others were not called";
  EXPECT_STREQ(called[0].name, "test::second");
  EXPECT_EQ(called[0].calls, 3u);
  EXPECT_GE(called[0].nanoseconds, 6'000'000u);
  EXPECT_STREQ(called[0].isa, kernels::isa_name(kernels::last_isa()));
}

TEST(OpCounter, CountsFromManyThreads) {
  const auto before = op_counts();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([] {
      for (int n = 0; n < 1000; ++n) const OpCounter::Call call(first);
    });
  }
  for (std::thread& thread : threads) thread.join();
  const auto called = calls_between(before, op_counts());
  ASSERT_EQ(called.size(), 1u);
  EXPECT_EQ(called[0].calls, 4000u);
}

}  // namespace
}  // namespace mobilevd::ops
