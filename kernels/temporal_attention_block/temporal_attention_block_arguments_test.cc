// What temporal_attention_block refuses, and the sizes it asks for.
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "temporal_attention_block/temporal_attention_block_problem.h"

namespace mobilevd::kernels {
namespace {

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
  EXPECT_TRUE(temporal_attention_block(nullptr, TemporalAttentionBlockWeights{}, nullptr, none, 1,
                                       kEps, nullptr, 0)
                  .ok());
  EXPECT_EQ(temporal_attention_block_sizes({1, 1, 1, 16, 1, 9, 8}).to_qkv, 0u);
  EXPECT_FALSE(pack_temporal_attention_block(nullptr, nullptr, nullptr, nullptr, problem.shape,
                                             nullptr, nullptr)
                   .ok());
}

TEST(TemporalAttentionBlockErrors, EpsIsPositiveAndFinite) {
  for (const Precision precision : {Precision::kFloat32, Precision::kInt8}) {
    Problem problem({1, 7, 3, 16, 1, 8, 8}, 1, precision);
    const auto refuses = [&](float eps) {
      const auto call = [&](const auto& weights) {
        return temporal_attention_block(problem.x, weights, problem.out, problem.shape, 1, eps,
                                        problem.scratch.data(), problem.scratch.size());
      };
      problem.out[0] = 3;
      const Status status =
          precision == Precision::kInt8 ? call(problem.int8_weights()) : call(problem.weights());
      EXPECT_EQ(status.code, StatusCode::kInvalidArgument) << eps;
      EXPECT_NE(std::string(status.message).find("eps must be positive and finite"),
                std::string::npos);
      EXPECT_EQ(problem.out[0], 3);
    };
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    for (const float eps : {0.0f, -1e-5f, kInfinity, std::numeric_limits<float>::quiet_NaN()}) {
      refuses(eps);
    }
  }
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

TEST(TemporalAttentionBlockErrors, OfInt8) {
  Problem problem({1, 7, 3, 16, 1, 8, 8}, 1, Precision::kInt8);
  EXPECT_TRUE(problem.run().ok());
  problem.scratch.resize(temporal_attention_block_int8_scratch_bytes(problem.shape, 1) / 2);
  EXPECT_FALSE(problem.run().ok());
  problem.share_scratch(1);
  TemporalAttentionBlockInt8Weights incomplete = problem.int8_weights();
  incomplete.to_out_scale = nullptr;
  EXPECT_FALSE(temporal_attention_block(problem.x, incomplete, problem.out, problem.shape, 1, kEps,
                                        problem.scratch.data(), problem.scratch.size())
                   .ok());
  problem.to_out[7] = std::numeric_limits<float>::infinity();
  EXPECT_FALSE(pack_temporal_attention_block_int8(
                   problem.to_q.data(), problem.to_k.data(), problem.to_v.data(),
                   problem.to_out.data(), problem.shape, problem.int8_qkv.data(),
                   problem.qkv_scale.data(), problem.int8_out.data(), problem.out_scale.data())
                   .ok());
  const Shape wide{1, 1, 1, 16, 1024, 8, 128};
  EXPECT_EQ(temporal_attention_block_int8_sizes(wide).to_qkv, 0u);
  EXPECT_GT(temporal_attention_block_sizes(wide).to_qkv, 0u);
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
