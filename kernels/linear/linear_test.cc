#include "mobilevd/kernels/linear.h"

#include "testing/emulation.h"
#include "testing/isa_test.h"

namespace mobilevd::kernels {
namespace {

using namespace testing_isa;

class LinearTest : public IsaTest {};
MOBILEVD_TEST_EVERY_ISA(LinearTest);

constexpr double kEpsilon = std::numeric_limits<float>::epsilon();
constexpr Activation kActivations[] = {Activation::kNone, Activation::kSilu, Activation::kGeglu};

/// A number and how far off float32 arithmetic may be.
struct Bounded {
  double value, error;
};
Bounded silu(Bounded y) {
  const double result = y.value / (1 + std::exp(-y.value));
  return {result, 1.1 * y.error + 4 * kEpsilon * std::fabs(result)};
}
Bounded geglu(Bounded value, Bounded gate) {
  const double gelu = gate.value * std::erfc(-gate.value / std::sqrt(2.0)) / 2;
  const double gelu_error = 1.13 * gate.error + 3e-7 + 2 * kEpsilon * std::fabs(gelu);
  return {value.value * gelu,
          (std::fabs(value.value) + value.error) * gelu_error + value.error * std::fabs(gelu)};
}

struct Options {
  Activation activation = Activation::kNone;
  bool bias = true, residual = false, in_place = false;
  int misalign = 0;
  float magnitude = 1;
};

template <typename T, typename W>
struct Problem {
  LinearShape shape;
  Options options;
  Guarded<T> x, residual, out;
  Guarded<W> weight, packed;
  Guarded<float> bias;
  std::vector<T> added;  // the residual as it was

  Problem(const LinearShape& s, const Options& o, unsigned seed = 1)
      : shape(s),
        options(o),
        x(s.rows * s.in_features, o.misalign),
        residual(s.rows * s.out_features, o.misalign),
        out(s.rows * s.out_features, o.misalign),
        weight(outputs() * s.in_features, o.misalign),
        packed(packed_linear_size(s, o.activation), o.misalign),
        bias(outputs(), o.misalign) {
    x.fill_normal(seed, o.magnitude);
    residual.fill_normal(seed + 1, o.magnitude);
    weight.fill_normal(seed + 2, 1 / std::sqrt(1.0f + s.in_features));
    bias.fill_normal(seed + 3, o.magnitude);
    added.assign(residual.data(), residual.data() + residual.size());
    pack();
    if (o.in_place) std::copy(added.begin(), added.end(), out.data());
  }

  bool gated() const { return options.activation == Activation::kGeglu; }
  std::int64_t outputs() const { return shape.out_features * (gated() ? 2 : 1); }
  void pack() {
    EXPECT_TRUE(pack_linear_weight(weight.data(), packed.data(), shape, options.activation).ok());
    packed.expect_guards_untouched();
  }

  Status run(int lanes = 1, ParallelFor parallel_for = serial_for) {
    return run(out.data(), lanes, parallel_for);
  }
  Status run(T* to, int lanes, ParallelFor parallel_for) {
    Scratch scratch(linear_scratch_bytes(shape, lanes));
    const T* from = options.in_place ? to : residual.data();
    return linear(x.data(), packed.data(), options.bias ? bias.data() : nullptr,
                  options.residual ? from : nullptr, to, shape, options.activation, scratch.data(),
                  lanes, parallel_for);
  }

  /// Output n of the weight for row m, before the activation.
  Bounded sum(std::int64_t m, std::int64_t n) const {
    double value = options.bias ? bias[n] : 0, size = std::fabs(value);
    for (std::int64_t k = 0; k < shape.in_features; ++k) {
      const double product = static_cast<double>(widen(x[m * shape.in_features + k])) *
                             widen(weight[n * shape.in_features + k]);
      value += product;
      size += std::fabs(product);
    }
    return {value, kEpsilon * size * (1 + std::sqrt(static_cast<double>(shape.in_features)) / 4)};
  }

  void check() const {
    for (std::int64_t m = 0; m < shape.rows; ++m) {
      for (std::int64_t n = 0; n < shape.out_features; ++n) {
        Bounded want = sum(m, n);
        if (options.activation == Activation::kSilu) want = silu(want);
        if (gated()) want = geglu(want, sum(m, n + shape.out_features));
        const std::size_t at = m * shape.out_features + n;
        if (options.residual) {
          want.error += kEpsilon * std::fabs(want.value);
          want.value += widen(added[at]);
        }
        want.error += kEpsilon * std::fabs(want.value);
        if (!std::is_same_v<T, float>) want.error += std::fabs(want.value) / 2048 + 3e-8;
        const double got = widen(out[at]);
        ASSERT_LE(std::fabs(got - want.value), want.error)
            << "at [m=" << m << ", n=" << n << "]: got " << got << ", float64 " << want.value;
      }
    }
    out.expect_guards_untouched();
  }
};

template <typename T, typename W>
void check_shape(const LinearShape& shape, const Options& options, unsigned seed) {
  SCOPED_TRACE(testing::Message() << "M=" << shape.rows << " K=" << shape.in_features
                                  << " N=" << shape.out_features
                                  << " activation=" << static_cast<int>(options.activation)
                                  << " bias=" << options.bias << " residual=" << options.residual
                                  << " misalign=" << options.misalign);
  Problem<T, W> problem(shape, options, seed);
  ASSERT_TRUE(problem.run().ok());
  problem.check();
}

template <typename T, typename W>
void check_shapes() {
  unsigned seed = 1;
  for (const Activation activation : kActivations) {
    for (const int rows : {0, 1, 3, 6, 7, 13, 14, 15, 30}) {
      for (const int k : {0, 1, 5, 16, 35}) {
        for (const int n : {0, 1, 7, 16, 17, 31, 32, 33, 50}) {
          if (left_out(++seed)) continue;
          Options options;
          options.activation = activation;
          options.bias = seed % 2 != 0;
          options.residual = seed % 3 != 0;
          options.in_place = options.residual && seed % 4 == 0;
          check_shape<T, W>({rows, k, n}, options, seed);
          if (testing::Test::HasFatalFailure()) return;
        }
      }
    }
  }
}

TEST_P(LinearTest, OddShapesFloat32) { check_shapes<float, float>(); }
TEST_P(LinearTest, OddShapesFloat32WithFloat16Weights) { check_shapes<float, Half>(); }
TEST_P(LinearTest, OddShapesFloat16) { check_shapes<Half, Half>(); }

/// Inputs that take several passes, rows that take several tiles.
TEST_P(LinearTest, DeepAndTall) {
  for (const Activation activation : kActivations) {
    Options options;
    options.activation = activation;
    options.residual = true;
    check_shape<float, float>({33, 1283, 70}, options, 1);
    check_shape<Half, Half>({20, 641, 40}, options, 2);
    check_shape<float, Half>({321, 40, 40}, options, 3);
  }
}

TEST_P(LinearTest, UnalignedPointers) {
  for (int misalign = 1; misalign < 16; ++misalign) {
    Options options;
    options.activation = kActivations[misalign % 3];
    options.residual = true;
    options.misalign = misalign;
    check_shape<float, float>({15, 19, 37}, options, misalign);
    check_shape<Half, Half>({15, 19, 37}, options, misalign);
  }
}

template <typename T>
void check_streaming(Activation activation) {
  const LinearShape shape{static_cast<std::int64_t>((8 << 20) / sizeof(T) / 96 + 3), 8, 96};
  Options options;
  options.activation = activation;
  options.residual = true;
  Problem<T, Half> problem(shape, options);
  ASSERT_TRUE(problem.run().ok());  // at an aligned address
  Guarded<T> other(problem.out.size(), 1);
  ASSERT_TRUE(problem.run(other.data(), 1, serial_for).ok());
  ASSERT_EQ(std::memcmp(other.data(), problem.out.data(), other.size() * sizeof(T)), 0);
  problem.out.expect_guards_untouched();
}

/// Large enough for streaming stores, aligned or not.
TEST_P(LinearTest, LargeOutputsStreamPastTheCaches) {
  check_streaming<float>(Activation::kNone);
  check_streaming<float>(Activation::kGeglu);
  check_streaming<Half>(Activation::kSilu);
}

TEST_P(LinearTest, LanesAndThreadsGiveTheSameBits) {
  for (const LinearShape& shape : {LinearShape{300, 70, 1700}, {101, 1300, 400}, {3, 40, 9000}}) {
    for (const Activation activation : {Activation::kNone, Activation::kGeglu}) {
      Options options;
      options.activation = activation;
      Problem<float, float> problem(shape, options);
      ASSERT_TRUE(problem.run().ok());
      const std::vector<float> alone(problem.out.data(), problem.out.data() + problem.out.size());
      for (const int lanes : {2, 3, 16, 40}) {
        for (const std::size_t piece : {1, 3}) {
          std::memset(problem.out.data(), 0xFF, problem.out.size() * sizeof(float));
          ASSERT_TRUE(problem.run(lanes, Threaded{piece}).ok());
          ASSERT_EQ(std::memcmp(alone.data(), problem.out.data(), alone.size() * sizeof(float)), 0)
              << lanes << " lanes in pieces of " << piece;
        }
      }
    }
  }
}

TEST_P(LinearTest, NanAndInfStayInTheirRowOrColumn) {
  const LinearShape shape{31, 24, 40};
  const float inf = std::numeric_limits<float>::infinity();
  for (const Activation activation : kActivations) {
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), inf, -inf}) {
      for (const bool in_x : {true, false}) {
        Options options;
        options.activation = activation;
        Problem<float, float> clean(shape, options), dirty(shape, options);
        (in_x ? dirty.x[17 * 24 + 5] : dirty.weight[33 * 24 + 5]) = bad;
        dirty.pack();
        ASSERT_TRUE(clean.run().ok());
        ASSERT_TRUE(dirty.run().ok());
        bool reached = false;
        for (std::int64_t m = 0; m < shape.rows; ++m) {
          for (std::int64_t n = 0; n < shape.out_features; ++n) {
            const std::size_t at = m * shape.out_features + n;
            if (in_x ? m == 17 : n == 33) {
              reached |= !std::isfinite(dirty.out[at]);
              if (std::isnan(bad)) {
                ASSERT_TRUE(std::isnan(dirty.out[at])) << m << ", " << n;
              }
            } else {
              ASSERT_EQ(clean.out[at], dirty.out[at])
                  << bad << " reached [m=" << m << ", n=" << n << "]";
            }
          }
        }
        EXPECT_TRUE(reached) << bad << " was swallowed";
      }
    }
  }
}

/// gelu and silu of everything, by layers whose sums are exact: out = 1 * gelu(x) and silu(x).
TEST_P(LinearTest, ActivationsAreThoseOfFloat64) {
  constexpr std::int64_t kCount = 40001;
  std::vector<float> x(kCount), out(kCount);
  Scratch scratch(linear_scratch_bytes({kCount, 1, 1}, 1));
  for (std::int64_t i = 0; i < kCount; ++i) x[i] = 1e-3f * (i - kCount / 2);
  for (const float size : {1e-30f, 1e-3f, 1.0f, 7.0f, 1e30f}) {
    std::vector<float> scaled(x);
    for (float& s : scaled) s *= size;
    for (const Activation activation : {Activation::kSilu, Activation::kGeglu}) {
      const bool gated = activation == Activation::kGeglu;
      const LinearShape shape{kCount, 1, 1};
      const float weight[2] = {gated ? 0.0f : 1.0f, 1}, bias[2] = {gated ? 1.0f : 0.0f, 0};
      float packed[32];
      ASSERT_TRUE(pack_linear_weight(weight, packed, shape, activation).ok());
      const float* const no_residual = nullptr;
      ASSERT_TRUE(linear(scaled.data(), packed, bias, no_residual, out.data(), shape, activation,
                         scratch.data(), 1)
                      .ok());
      for (std::int64_t i = 0; i < kCount; ++i) {
        const Bounded y{scaled[i], 0};
        const Bounded want = gated ? geglu({1, 0}, y) : silu(y);
        // exp is 0 below 2^-126, and silu then, too.
        ASSERT_LE(std::fabs(out[i] - want.value), want.error + 2e-36)
            << (gated ? "gelu(" : "silu(") << scaled[i] << "): got " << out[i] << ", float64 "
            << want.value;
      }
    }
  }
}

TEST_P(LinearTest, LargeMagnitudesDoNotOverflow) {
  for (const Activation activation : {Activation::kNone, Activation::kSilu}) {
    Options options;
    options.activation = activation;
    options.magnitude = 1e36f;
    check_shape<float, float>({15, 19, 37}, options, 1);
  }
  Options options;
  options.activation = Activation::kGeglu;
  options.magnitude = 1e18f;
  check_shape<float, float>({15, 19, 37}, options, 1);
}

TEST(LinearPacking, PanelsOfSixteenOutputsPaddedWithZeros) {
  const LinearShape shape{0, 3, 17};
  std::vector<float> weight(2 * 17 * 3);
  for (std::size_t i = 0; i < weight.size(); ++i) weight[i] = static_cast<float>(i + 1);
  ASSERT_EQ(packed_linear_size(shape), 2 * 3 * 16);
  ASSERT_EQ(packed_linear_size(shape, Activation::kGeglu), 4 * 3 * 16);
  const auto at = [&](int n, int k) { return n < 17 ? weight[n * 3 + k] : 0; };
  std::vector<float> packed(4 * 3 * 16);
  ASSERT_TRUE(pack_linear_weight(weight.data(), packed.data(), shape).ok());
  for (int p = 0; p < 2; ++p) {
    for (int i = 0; i < 3 * 16; ++i) {
      ASSERT_EQ(packed[p * 48 + i], at(16 * p + i % 16, i / 16)) << "panel " << p << ", " << i;
    }
  }
  ASSERT_TRUE(pack_linear_weight(weight.data(), packed.data(), shape, Activation::kGeglu).ok());
  for (int p = 0; p < 4; ++p) {
    for (int i = 0; i < 3 * 16; ++i) {
      const int n = 16 * (p / 2) + i % 16;
      const float want = n < 17 && p % 2 != 0 ? weight[(17 + n) * 3 + i / 16] : at(n, i / 16);
      ASSERT_EQ(packed[p * 48 + i], want) << "panel " << p << ", " << i;
    }
  }
}

TEST(LinearErrors, NameTheArgumentAndLeaveOutAlone) {
  const auto message = [](const LinearShape& shape, Activation activation = Activation::kNone,
                          int lanes = 1) {
    alignas(64) float x[64] = {}, out[64] = {1}, scratch[64];
    const float* const none = nullptr;
    const Status status = linear(x, x, none, none, out, shape, activation, scratch, lanes);
    EXPECT_EQ(status.code, StatusCode::kInvalidArgument);
    EXPECT_EQ(out[0], 1);
    return std::string(status.message);
  };
  constexpr std::int64_t kHuge = INT64_MAX / 1024;
  EXPECT_NE(message({-1, 1, 1}).find("rows"), std::string::npos);
  EXPECT_NE(message({1, -1, 1}).find("in_features"), std::string::npos);
  EXPECT_NE(message({1, 1, -1}).find("out_features"), std::string::npos);
  EXPECT_NE(message({1, 1, 1}, static_cast<Activation>(3)).find("activation"), std::string::npos);
  EXPECT_NE(message({1, 1, 1}, Activation::kNone, 0).find("lanes"), std::string::npos);
  EXPECT_NE(message({1, 1, 1}, Activation::kNone, 1025).find("lanes"), std::string::npos);
  for (const LinearShape& shape :
       {LinearShape{1 << 20, kHuge, 1}, {kHuge, 1, 1 << 20}, {1, kHuge, kHuge}}) {
    EXPECT_NE(message(shape).find("overflow"), std::string::npos);
    EXPECT_EQ(linear_scratch_bytes(shape, 1), 0u);
  }
}

TEST(LinearErrors, NullAndOverlap) {
  alignas(64) float scratch[512];
  float x[64] = {}, w[64] = {}, out[64] = {};
  float* const none = nullptr;
  const LinearShape shape{4, 4, 4};
  ASSERT_LE(linear_scratch_bytes(shape, 1), sizeof(scratch));
  const auto run = [&](float* a, float* b, float* bias, float* residual, float* o, float* s) {
    return linear(a, b, bias, residual, o, shape, Activation::kNone, s, 1).ok();
  };
  EXPECT_FALSE(run(none, w, none, none, out, scratch));
  EXPECT_FALSE(run(x, none, none, none, out, scratch));
  EXPECT_FALSE(run(x, w, none, none, none, scratch));
  EXPECT_FALSE(run(x, w, none, none, out, none));
  EXPECT_FALSE(run(x, w, none, none, out, scratch + 1));
  EXPECT_FALSE(run(x, w, none, none, x, scratch));
  EXPECT_FALSE(run(x, w, none, none, x + 15, scratch));
  EXPECT_FALSE(run(x, w, none, none, w + 63, scratch));
  EXPECT_FALSE(run(x, w, out + 15, none, out, scratch));
  EXPECT_FALSE(run(x, w, none, out + 1, out, scratch));
  EXPECT_TRUE(run(x, w, none, out, out, scratch));
  EXPECT_TRUE(run(x, w, x, x, x + 16, scratch));
  const auto empty = [&](const LinearShape& s, float* o, float* scratch_or_none) {
    return linear(none, none, none, none, o, s, Activation::kNone, scratch_or_none, 1).ok();
  };
  EXPECT_TRUE(empty({0, 4, 4}, none, none));
  EXPECT_TRUE(empty({4, 4, 0}, none, none));
  EXPECT_TRUE(empty({4, 0, 4}, out, scratch));

  EXPECT_EQ(packed_linear_size({0, -1, 4}), -1);
  EXPECT_EQ(packed_linear_size({0, INT64_MAX / 64, 16}), -1);
  EXPECT_FALSE(pack_linear_weight(none, w, shape).ok());
  EXPECT_FALSE(pack_linear_weight(w, none, shape).ok());
  EXPECT_FALSE(pack_linear_weight(w, x, {0, 4, -4}).ok());
  EXPECT_TRUE(pack_linear_weight(none, none, {0, 0, 4}).ok());
}

}  // namespace
}  // namespace mobilevd::kernels
