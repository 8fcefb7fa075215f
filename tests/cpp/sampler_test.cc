#include "runtime/sampler.h"

#include <gtest/gtest.h>

#include <cmath>

#include "runtime/error.h"
#include "scratch_folder.h"

namespace mobilevd {
namespace {

TEST(Sampler, KarrasEndsAndMiddle) {
  const auto sigmas = karras_sigmas(3, 1.0, 128.0, 7.0);
  ASSERT_EQ(sigmas.size(), 3u);
  EXPECT_DOUBLE_EQ(sigmas[0], 128.0);
  // Half way between 128^(1/7) = 2 and 1^(1/7) = 1, to the 7th power.
  EXPECT_NEAR(sigmas[1], std::pow(1.5, 7.0), 1e-12);
  EXPECT_NEAR(sigmas[2], 1.0, 1e-12);
}

TEST(Sampler, OneStepGoesFromSigmaMaxToZero) {
  SamplingSpec spec;
  spec.steps = 1;
  EXPECT_EQ(sampling_sigmas(spec).size(), 2u);
  EXPECT_NEAR(sampling_sigmas(spec)[0], 700.0, 1e-9);
  EXPECT_EQ(sampling_sigmas(spec)[1], 0.0);
}

TEST(Sampler, ConsistencyPicksFromTheGrid) {
  SamplingSpec spec;
  spec.sampler = "consistency";
  spec.levels = 40;
  const auto grid = karras_sigmas(40, spec.sigma_min, spec.sigma_max, spec.rho);
  spec.steps = 4;
  EXPECT_EQ(sampling_sigmas(spec),
            (std::vector<double>{grid[0], grid[10], grid[20], grid[30], 0.0}));
  spec.steps = 3;  // 0, 40/3, 80/3 rounded down
  EXPECT_EQ(sampling_sigmas(spec), (std::vector<double>{grid[0], grid[13], grid[26], 0.0}));
}

TEST(Sampler, StepsOutOfRangeAreUsageErrors) {
  SamplingSpec spec;
  for (const int steps : {0, -1, 1001}) {
    spec.steps = steps;
    EXPECT_NE(testing::error_of([&] { sampling_sigmas(spec); }).find("between 1 and 1000"),
              std::string::npos);
  }
  spec.sampler = "consistency";
  spec.steps = 41;
  EXPECT_NE(testing::error_of([&] { sampling_sigmas(spec); }).find("40 noise levels"),
            std::string::npos);
}

TEST(Sampler, Sinusoid) {
  const auto embedding = sinusoid(2.0, 4);
  ASSERT_EQ(embedding.size(), 4u);
  EXPECT_FLOAT_EQ(embedding[0], static_cast<float>(std::cos(2.0)));
  EXPECT_FLOAT_EQ(embedding[1], static_cast<float>(std::cos(0.02)));  // 10000^(-1/2) = 0.01
  EXPECT_FLOAT_EQ(embedding[2], static_cast<float>(std::sin(2.0)));
  EXPECT_FLOAT_EQ(embedding[3], static_cast<float>(std::sin(0.02)));
  EXPECT_DOUBLE_EQ(c_noise(std::exp(4.0)), 1.0);
}

TEST(Sampler, GuidanceScales) {
  EXPECT_EQ(guidance_scales(3, 1.0, 3.0), (std::vector<double>{1.0, 2.0, 3.0}));
  EXPECT_EQ(guidance_scales(1, 1.0, 3.0), (std::vector<double>{1.0}));
}

// With v = 0, D = x / (s^2 + 1): one Euler step from s to 0 gives D itself.
TEST(Sampler, OneEulerStepByHand) {
  SamplingSpec spec;
  spec.steps = 1;
  spec.sigma_max = 3.0;
  std::vector<float> x{2.0f};
  double seen_sigma = 0.0;
  float seen_input = 0.0f;
  ASSERT_TRUE(sample(spec, 1, 1, x,
                     [&](const float* scaled, double sigma, bool conditional, float* v) {
                       EXPECT_TRUE(conditional);
                       seen_sigma = sigma;
                       seen_input = *scaled;
                       *v = 0.5f;
                     },
                     {}));
  EXPECT_NEAR(seen_sigma, 3.0, 1e-12);
  // Start 2 * sqrt(10); c_in = 1 / sqrt(10).
  EXPECT_NEAR(seen_input, 2.0, 1e-6);
  EXPECT_NEAR(x[0], 2.0 * std::sqrt(10.0) / 10.0 - 3.0 / std::sqrt(10.0) * 0.5, 1e-6);
}

TEST(Sampler, TwoEulerStepsByHand) {
  SamplingSpec spec;
  spec.steps = 2;
  spec.sigma_max = 2.0;
  spec.sigma_min = 1.0;
  std::vector<float> x{1.0f};
  sample(spec, 1, 1, x, [](const float*, double sigma, bool, float* v) { *v = float(sigma); }, {});
  const double x0 = std::sqrt(5.0);
  const double d0 = x0 / 5.0 - 2.0 / std::sqrt(5.0) * 2.0;
  const double x1 = x0 + (x0 - d0) / 2.0 * (1.0 - 2.0);
  const double d1 = x1 / 2.0 - 1.0 / std::sqrt(2.0) * 1.0;
  EXPECT_NEAR(x[0], d1, 1e-6);
}

TEST(Sampler, GuidanceMixesPerFrame) {
  SamplingSpec spec;
  spec.steps = 1;
  spec.sigma_max = 1.0;
  spec.guidance_min = 1.0;
  spec.guidance_max = 3.0;
  std::vector<float> x(4, 0.0f);
  int calls = 0;
  sample(spec, 2, 2, x,
         [&](const float*, double, bool conditional, float* v) {
           EXPECT_EQ(conditional, calls % 2 == 1);
           ++calls;
           for (int i = 0; i < 4; ++i) v[i] = conditional ? 2.0f : 1.0f;
         },
         {});
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(evaluation_count(spec), 2);
  // v = 1 + g * (2 - 1) with g = 1 for frame 0 and 3 for frame 1; D = -v / sqrt(2).
  EXPECT_NEAR(x[0], -2.0 / std::sqrt(2.0), 1e-6);
  EXPECT_NEAR(x[3], -4.0 / std::sqrt(2.0), 1e-6);
}

TEST(Sampler, ConsistencyAddsNoiseBetweenStepsOnly) {
  SamplingSpec spec;
  spec.sampler = "consistency";
  spec.steps = 2;
  spec.levels = 2;
  spec.sigma_max = 2.0;
  spec.sigma_min = 1.0;
  std::vector<float> x{0.0f};
  std::vector<int> renoised;
  sample(
      spec, 1, 1, x, [](const float*, double, bool, float* v) { *v = 0.0f; },
      [&](int step, float* out) {
        renoised.push_back(step);
        *out = 3.0f;
      });
  EXPECT_EQ(renoised, std::vector<int>{0});
  // x = 0 + 1 * 3, then D = x / (1 + 1).
  EXPECT_NEAR(x[0], 1.5, 1e-6);
}

TEST(Sampler, CallbackStopsIt) {
  SamplingSpec spec;
  spec.steps = 5;
  std::vector<float> x{1.0f};
  int calls = 0;
  EXPECT_FALSE(sample(
      spec, 1, 1, x,
      [&](const float*, double, bool, float* v) {
        ++calls;
        *v = 0.0f;
      },
      {}, [](int done, int total) { return done < 2 || total != 5; }));
  EXPECT_EQ(calls, 2);
}

}  // namespace
}  // namespace mobilevd
