#include "mobilevd/kernels/linear.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "mobilevd/kernels/dispatch.h"
#include "simd/half_convert.h"

// The kernels' only allocation is their scratch, which is aligned: where this says so, there is no
// memory for it. (The library's calls of these operators find the program's.)
namespace {
std::atomic<bool> no_scratch{false};
std::atomic<int> refused{0};
}  // namespace
void* operator new[](std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  if (no_scratch) {
    ++refused;
    return nullptr;
  }
  const auto align = static_cast<std::size_t>(alignment);
  return std::aligned_alloc(align, (size + align - 1) / align * align);
}
void operator delete[](void* p, std::align_val_t) noexcept { std::free(p); }

namespace mobilevd::kernels {
namespace {

constexpr std::size_t kGuard = 64;        // elements around out that must stay as they were
constexpr float kGuardValue = -12344.0f;  // exact in binary16, too
constexpr double kEpsilon = std::numeric_limits<float>::epsilon();

float widen(float x) { return x; }
float widen(Half x) { return half_to_float(x); }
template <typename T>
T narrow(float x) {
  if constexpr (std::is_same_v<T, float>) {
    return x;
  } else {
    return float_to_half(x);
  }
}

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

/// Arrays of one problem, starting `misalign` elements past an allocation; nothing lies behind
/// them, so that a sanitizer sees a read past the end. Guards stand around out.
template <typename T, typename W>
struct Problem {
  LinearShape shape;
  Options options;
  std::size_t outputs;  // of the weight
  std::vector<W> weight, packed_store;
  std::vector<T> x_store, residual_store, out_store;
  std::vector<float> bias_store;
  T *x, *residual, *out;
  W* packed;
  float* bias;

  Problem(const LinearShape& s, const Options& o, unsigned seed = 1)
      : shape(s), options(o), outputs(s.out_features * (gated() ? 2 : 1)) {
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal;
    const auto fill = [&](auto& store, std::size_t size, float magnitude) {
      using E = std::decay_t<decltype(store[0])>;
      store.assign(size + o.misalign, narrow<E>(0));
      for (E& e : store) e = narrow<E>(magnitude * normal(generator));
      return store.data() + o.misalign;
    };
    x = fill(x_store, s.rows * s.in_features, o.magnitude);
    fill(weight, outputs * s.in_features, 1 / std::sqrt(1.0f + s.in_features));
    bias = fill(bias_store, outputs, o.magnitude);
    residual = fill(residual_store, size(), o.magnitude);
    out_store.assign(size() + 2 * kGuard + o.misalign, narrow<T>(kGuardValue));
    out = out_store.data() + kGuard + o.misalign;
    pack();
    if (o.in_place) {
      std::copy(residual, residual + size(), out);
      residual = out;
    }
  }

  bool gated() const { return options.activation == Activation::kGeglu; }
  std::size_t size() const { return shape.rows * shape.out_features; }
  const W* weights() const { return weight.data() + options.misalign; }
  W* weights() { return weight.data() + options.misalign; }

  void pack() {
    packed_store.resize(packed_linear_size(shape, options.activation) + options.misalign);
    packed = packed_store.data() + options.misalign;
    ASSERT_TRUE(pack_linear_weight(weights(), packed, shape, options.activation).ok());
  }

  Status run(ParallelFor parallel_for = serial_for) {
    return linear(x, packed, options.bias ? bias : nullptr, options.residual ? residual : nullptr,
                  out, shape, options.activation, parallel_for);
  }

  /// Output n of the weight for row m, before the activation.
  Bounded sum(std::int64_t m, std::int64_t n) const {
    double value = options.bias ? bias[n] : 0, size = std::fabs(value);
    for (std::int64_t k = 0; k < shape.in_features; ++k) {
      const double product = static_cast<double>(widen(x[m * shape.in_features + k])) *
                             widen(weights()[n * shape.in_features + k]);
      value += product;
      size += std::fabs(product);
    }
    return {value, kEpsilon * size * (1 + std::sqrt(static_cast<double>(shape.in_features)) / 4)};
  }

  void check() const {
    const T* const added = options.in_place ? residual_store.data() + options.misalign : residual;
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
    check_guards();
  }

  void check_guards() const {
    for (const T* p = out_store.data(); p != out_store.data() + out_store.size(); ++p) {
      if (p >= out && p < out + size()) continue;
      ASSERT_EQ(widen(*p), kGuardValue) << "wrote at out[" << p - out << "] of " << size();
    }
  }
};

/// Cuts [0, n) into pieces of `piece` items, run by a few threads in no fixed order.
struct Threaded {
  std::size_t piece;
  void operator()(std::size_t n, std::size_t /*grain*/, RangeFn body) const {
    std::atomic<std::size_t> next{0};
    const auto work = [&] {
      for (std::size_t begin; (begin = next.fetch_add(piece)) < n;) {
        body(begin, std::min(begin + piece, n));
      }
    };
    std::thread a(work), b(work);
    work();
    a.join();
    b.join();
  }
};

constexpr Activation kActivations[] = {Activation::kNone, Activation::kSilu, Activation::kGeglu};

/// Every test runs on every ISA this CPU has.
class LinearTest : public testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    before_ = isa();
    ASSERT_TRUE(set_isa(isa_name(GetParam())).ok());
  }
  void TearDown() override { ASSERT_TRUE(set_isa(isa_name(before_)).ok()); }

 private:
  Isa before_ = Isa::kScalar;
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
          ++seed;
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
TEST_P(LinearTest, OddShapesFloat16WithFloat32Weights) { check_shapes<Half, float>(); }
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
  Problem<T, float> problem(shape, options);
  std::vector<T> store(problem.size() + 64 + 1, narrow<T>(kGuardValue));
  for (const bool aligned : {true, false}) {
    T* out = store.data();
    while (reinterpret_cast<std::uintptr_t>(out) % 64 != 0) ++out;
    if (!aligned) ++out;
    problem.out = out;
    ASSERT_TRUE(problem.run().ok());
    if (aligned) {
      problem.out_store.assign(out, out + problem.size());
    } else {
      ASSERT_EQ(std::memcmp(out, problem.out_store.data(), problem.size() * sizeof(T)), 0);
    }
  }
}

/// Large enough for streaming stores, aligned or not.
TEST_P(LinearTest, LargeOutputsStreamPastTheCaches) {
  check_streaming<float>(Activation::kNone);
  check_streaming<float>(Activation::kGeglu);
  check_streaming<Half>(Activation::kSilu);
}

TEST_P(LinearTest, ThreadsAndCutsGiveTheSameBits) {
  for (const LinearShape& shape : {LinearShape{300, 70, 1700}, {101, 1300, 400}}) {
    for (const Activation activation : {Activation::kNone, Activation::kGeglu}) {
      Options options;
      options.activation = activation;
      Problem<float, float> problem(shape, options);
      ASSERT_TRUE(problem.run().ok());
      const std::vector<float> serial = problem.out_store;
      for (const std::size_t piece : {1, 2, 3, 5, 1000}) {
        std::fill(problem.out_store.begin(), problem.out_store.end(), kGuardValue);
        ASSERT_TRUE(problem.run(Threaded{piece}).ok());
        ASSERT_EQ(std::memcmp(serial.data(), problem.out_store.data(), serial.size() * 4), 0)
            << "cut into pieces of " << piece;
      }
    }
  }
}

/// In threads that have no scratch yet.
TEST_P(LinearTest, WithoutMemoryForScratchGivesTheSameBits) {
  Problem<float, float> problem({101, 1300, 70}, {});
  ASSERT_TRUE(problem.run().ok());
  const std::vector<float> usual = problem.out_store;
  std::fill(problem.out_store.begin(), problem.out_store.end(), kGuardValue);
  no_scratch = true;
  std::thread([&] { ASSERT_TRUE(problem.run().ok()); }).join();
  no_scratch = false;
  EXPECT_GT(refused.exchange(0), 0);
  ASSERT_EQ(std::memcmp(usual.data(), problem.out_store.data(), usual.size() * 4), 0);
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
        // A gate of +Inf, say, is GELU's Inf: pick an output of the value's half.
        (in_x ? dirty.x[17 * 24 + 5] : dirty.weights()[33 * 24 + 5]) = bad;
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
      ASSERT_TRUE(
          linear(scaled.data(), packed, bias, no_residual, out.data(), shape, activation).ok());
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

INSTANTIATE_TEST_SUITE_P(Isa, LinearTest, testing::ValuesIn([] {
                           std::size_t count = 0;
                           const Isa* isas = available_isas(&count);
                           return std::vector<Isa>(isas, isas + count);
                         }()),
                         [](const auto& info) { return std::string(isa_name(info.param)); });

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
  const auto message = [](const LinearShape& shape, Activation activation = Activation::kNone) {
    float x[64] = {}, out[64] = {1};
    const float* const none = nullptr;
    const Status status = linear(x, x, none, none, out, shape, activation);
    EXPECT_EQ(status.code, StatusCode::kInvalidArgument);
    EXPECT_EQ(out[0], 1);
    return std::string(status.message);
  };
  EXPECT_NE(message({-1, 1, 1}).find("rows"), std::string::npos);
  EXPECT_NE(message({1, -1, 1}).find("in_features"), std::string::npos);
  EXPECT_NE(message({1, 1, -1}).find("out_features"), std::string::npos);
  EXPECT_NE(message({1, 1, 1}, static_cast<Activation>(3)).find("activation"), std::string::npos);
  EXPECT_NE(message({1 << 20, INT64_MAX / 1024, 1}).find("overflow"), std::string::npos);
  EXPECT_NE(message({INT64_MAX / 1024, 1, 1 << 20}).find("overflow"), std::string::npos);
  EXPECT_NE(message({1, INT64_MAX / 1024, INT64_MAX / 1024}).find("overflow"), std::string::npos);
}

TEST(LinearErrors, NullAndOverlap) {
  float x[64] = {}, w[64] = {}, out[64] = {};
  float* const none = nullptr;
  const LinearShape shape{4, 4, 4};
  const auto run = [&](float* a, float* b, float* bias, float* residual, float* o) {
    return linear(a, b, bias, residual, o, shape).ok();
  };
  EXPECT_FALSE(run(none, w, none, none, out));
  EXPECT_FALSE(run(x, none, none, none, out));
  EXPECT_FALSE(run(x, w, none, none, none));
  EXPECT_FALSE(run(x, w, none, none, x));
  EXPECT_FALSE(run(x, w, none, none, x + 15));
  EXPECT_FALSE(run(x, w, none, none, w + 63));
  EXPECT_FALSE(run(x, w, out + 15, none, out));
  EXPECT_FALSE(run(x, w, none, out + 1, out));
  EXPECT_TRUE(run(x, w, none, out, out));
  EXPECT_TRUE(run(x, w, x, x, x + 16));
  EXPECT_TRUE(linear(none, none, none, none, none, {0, 4, 4}).ok());
  EXPECT_TRUE(linear(none, none, none, none, none, {4, 4, 0}).ok());
  EXPECT_TRUE(linear(none, none, none, none, out, {4, 0, 4}).ok());

  EXPECT_EQ(packed_linear_size({0, -1, 4}), -1);
  EXPECT_EQ(packed_linear_size({0, INT64_MAX / 64, 16}), -1);
  EXPECT_FALSE(pack_linear_weight(none, w, shape).ok());
  EXPECT_FALSE(pack_linear_weight(w, none, shape).ok());
  EXPECT_FALSE(pack_linear_weight(w, x, {0, 4, -4}).ok());
  EXPECT_TRUE(pack_linear_weight(none, none, {0, 0, 4}).ok());
}

}  // namespace
}  // namespace mobilevd::kernels
