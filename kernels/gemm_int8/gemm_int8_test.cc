#include "mobilevd/kernels/gemm_int8.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "testing/isa_test.h"

namespace mobilevd::kernels {
namespace {

using namespace testing_isa;

constexpr std::size_t kGuard = 32;  // elements around out that must stay as they were
constexpr float kGuardValue = -12344.0f;

struct Problem {
  GemmInt8Shape shape;
  std::size_t m, k, n, misalign;
  std::vector<float> x, weights, bias, scales, out_store;
  std::vector<std::int8_t> packed;
  std::vector<char> scratch;
  float* out;

  Problem(std::size_t rows, std::size_t inputs, std::size_t outputs, unsigned seed,
          std::size_t misaligned = 0)
      : shape{static_cast<std::int64_t>(rows), static_cast<std::int64_t>(inputs),
              static_cast<std::int64_t>(outputs)},
        m(rows),
        k(inputs),
        n(outputs),
        misalign(misaligned) {
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal;
    const auto fill = [&](std::vector<float>& to, std::size_t size) {
      to.resize(size);
      for (float& value : to) value = normal(generator);
    };
    fill(x, m * k + misalign);
    fill(weights, n * k);
    fill(bias, n);
    const GemmInt8Sizes sizes = gemm_int8_sizes(shape.inputs, shape.outputs);
    packed.assign(sizes.packed + misalign, 99);
    scales.assign(sizes.scales, 99);
    pack();
    out_store.assign(m * n + 2 * kGuard + misalign, kGuardValue);
    out = out_store.data() + kGuard + misalign;
    scratch.assign(gemm_int8_scratch_bytes(shape, 3), '\xFF');
  }

  void pack() {
    ASSERT_TRUE(pack_gemm_int8(weights.data(), shape.inputs, shape.outputs,
                               packed.data() + misalign, scales.data())
                    .ok());
  }

  Status run(ParallelFor parallel_for = serial_for, bool with_bias = true) {
    return gemm_int8(x.data() + misalign, packed.data() + misalign, scales.data(),
                     with_bias ? bias.data() : nullptr, out, shape, scratch.data(), scratch.size(),
                     parallel_for);
  }

  /// Real: what the quotient is computed in.
  template <typename Real>
  static std::vector<int> quantised(const float* row, std::size_t k, float* scale) {
    float largest = 0;
    for (std::size_t c = 0; c < k; ++c) largest = std::max(largest, std::fabs(row[c]));
    *scale = largest / 127.0f;
    std::vector<int> q(k);
    const Real inverse = 127 / static_cast<Real>(largest);
    for (std::size_t c = 0; c < k; ++c) {
      q[c] = static_cast<int>(std::nearbyint(row[c] * inverse));
    }
    return q;
  }

  /// Exactly what the header defines, weights and all.
  void check(bool with_bias = true) const {
    std::vector<std::vector<int>> w(n);
    std::vector<float> w_scale(n);
    for (std::size_t j = 0; j < n; ++j) {
      w[j] = quantised<double>(weights.data() + j * k, k, &w_scale[j]);
      ASSERT_EQ(scales[j], w_scale[j]);
    }
    for (std::size_t i = 0; i < m; ++i) {
      float scale;
      const std::vector<int> q = quantised<float>(x.data() + misalign + i * k, k, &scale);
      for (std::size_t j = 0; j < n; ++j) {
        int sum = 0;
        for (std::size_t c = 0; c < k; ++c) sum += q[c] * w[j][c];
        float want = static_cast<float>(sum) * (scale * w_scale[j]);
        if (with_bias) want += bias[j];
        ASSERT_EQ(out[i * n + j], want) << "at [" << i << ", " << j << "], sum " << sum;
      }
    }
    for (const float* p = out_store.data(); p != out_store.data() + out_store.size(); ++p) {
      if (p >= out && p < out + m * n) continue;
      ASSERT_EQ(*p, kGuardValue) << "wrote at out[" << p - out << "] of " << m * n;
    }
  }
};

class GemmInt8Test : public IsaTest {};

TEST_P(GemmInt8Test, GivesTheBitsOfItsDefinition) {
  unsigned seed = 1;
  for (const std::size_t rows : {0, 1, 2, 3, 5, 13, 14, 15, 29, 127}) {
    for (const std::size_t inputs : {1, 7, 8, 9, 16, 23, 40, 65, 320}) {
      for (const std::size_t outputs : {1, 15, 16, 17, 33, 48}) {
        SCOPED_TRACE(testing::Message() << rows << " x " << inputs << " x " << outputs);
        Problem problem(rows, inputs, outputs, ++seed);
        ASSERT_TRUE(problem.run().ok());
        problem.check();
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(GemmInt8Test, UnalignedPointersAndNoBias) {
  for (std::size_t misalign = 1; misalign < 16; misalign += 2) {
    Problem problem(17, 83, 37, 5, misalign);
    ASSERT_TRUE(problem.run(serial_for, false).ok());
    problem.check(false);
  }
}

/// Every product is +-127^2: sums of two are next to the limits of 16 bits, sums of all the inputs
/// next to those of float32's integers and, with the activations unsigned, of int32.
TEST_P(GemmInt8Test, LargestSumsDoNotOverflow) {
  for (const std::size_t inputs : {64u, 1280u, 65536u}) {
    for (const float sign : {1.0f, -1.0f}) {
      Problem problem(3, inputs, 17, 1);
      std::fill(problem.x.begin(), problem.x.end(), 0.5f);
      std::fill(problem.weights.begin(), problem.weights.end(), 2 * sign);
      problem.pack();
      ASSERT_TRUE(problem.run().ok());
      problem.check();
    }
  }
}

TEST_P(GemmInt8Test, ThreadsAndSharesGiveTheSameBits) {
  // Many rows; few rows, whose columns are cut.
  for (const auto& [rows, outputs] : {std::pair{1000, 40}, {130, 600}, {1, 905}}) {
    Problem problem(rows, 72, outputs, 3);
    ASSERT_TRUE(problem.run().ok());
    problem.check();
    const std::vector<float> serial = problem.out_store;
    for (const std::size_t threads : {1, 2, 7, 100}) {
      problem.scratch.assign(gemm_int8_scratch_bytes(problem.shape, threads), '\xFF');
      std::fill(problem.out_store.begin(), problem.out_store.end(), kGuardValue);
      ASSERT_TRUE(problem.run(Threaded{}).ok());
      ASSERT_EQ(std::memcmp(serial.data(), problem.out_store.data(), serial.size() * 4), 0);
    }
  }
}

TEST_P(GemmInt8Test, NanAndInfStayInTheirRow) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
        -std::numeric_limits<float>::infinity()}) {
    for (const std::size_t column : {0, 15, 17, 36}) {
      Problem clean(20, 37, 18, 7), dirty(20, 37, 18, 7);
      dirty.x[6 * 37 + column] = bad;
      ASSERT_TRUE(clean.run().ok());
      ASSERT_TRUE(dirty.run().ok());
      for (std::size_t i = 0; i < 20 * 18; ++i) {
        if (i / 18 == 6) {
          ASSERT_TRUE(std::isnan(dirty.out[i])) << i;
        } else {
          ASSERT_EQ(dirty.out[i], clean.out[i]) << i;
        }
      }
    }
  }
}

TEST_P(GemmInt8Test, ZeroAndTinyRowsAndOutputs) {
  Problem problem(3, 40, 18, 9);
  std::fill_n(problem.x.begin(), 40, 0.0f);
  for (int c = 0; c < 40; ++c) problem.x[40 + c] *= 1e-38f;
  for (int c = 0; c < 40; ++c) problem.x[80 + c] *= 1e36f;
  std::fill_n(problem.weights.begin(), 40, 0.0f);
  problem.pack();
  ASSERT_TRUE(problem.run().ok());
  for (std::size_t i = 0; i < 3 * 18; ++i) {
    if (i < 36 || i % 18 == 0) {
      ASSERT_EQ(problem.out[i], problem.bias[i % 18]) << i;
    } else {
      ASSERT_TRUE(std::isfinite(problem.out[i])) << i;
    }
  }
}

MOBILEVD_TEST_EVERY_ISA(GemmInt8Test);

TEST(GemmInt8Errors, NameTheArgumentAndLeaveOutAlone) {
  Problem problem(3, 16, 16, 1);
  const auto message = [&](const GemmInt8Shape& shape) {
    const Status status =
        gemm_int8(problem.x.data(), problem.packed.data(), problem.scales.data(), nullptr,
                  problem.out, shape, problem.scratch.data(), problem.scratch.size());
    EXPECT_EQ(status.code, StatusCode::kInvalidArgument);
    EXPECT_EQ(problem.out[0], kGuardValue);
    return std::string(status.message);
  };
  EXPECT_NE(message({-1, 16, 16}).find("rows"), std::string::npos);
  EXPECT_NE(message({3, 0, 16}).find("inputs"), std::string::npos);
  EXPECT_NE(message({3, 65537, 16}).find("inputs"), std::string::npos);
  EXPECT_NE(message({3, 16, 0}).find("outputs"), std::string::npos);
  EXPECT_NE(message({INT64_MAX / 16, 16, 16}).find("overflow"), std::string::npos);
  problem.scratch.resize(problem.scratch.size() / 8);
  EXPECT_NE(message(problem.shape).find("scratch"), std::string::npos);

  problem.scratch.resize(gemm_int8_scratch_bytes(problem.shape, 1));
  const auto call = [&](const float* x, float* out) {
    return gemm_int8(x, problem.packed.data(), problem.scales.data(), nullptr, out, problem.shape,
                     problem.scratch.data(), problem.scratch.size())
        .ok();
  };
  EXPECT_FALSE(call(nullptr, problem.out));
  EXPECT_FALSE(call(problem.out, problem.out));
  EXPECT_TRUE(call(problem.x.data(), problem.out));
  EXPECT_TRUE(gemm_int8(nullptr, nullptr, nullptr, nullptr, nullptr, {0, 16, 16}, nullptr, 0).ok());

  problem.weights[5] = std::numeric_limits<float>::infinity();
  EXPECT_FALSE(
      pack_gemm_int8(problem.weights.data(), 16, 16, problem.packed.data(), problem.scales.data())
          .ok());
  EXPECT_EQ(gemm_int8_sizes(0, 16).packed, 0u);
}

TEST(GemmInt8Scratch, IsBounded) {
  for (const std::int64_t inputs : {320, 1280, 8192}) {
    EXPECT_LE(gemm_int8_scratch_bytes({1 << 20, inputs, 64}, 1), std::size_t{256} << 10);
  }
}

}  // namespace
}  // namespace mobilevd::kernels
