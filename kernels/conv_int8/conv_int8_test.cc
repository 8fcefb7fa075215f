#include "mobilevd/kernels/conv_int8.h"

#include <cstring>
#include <limits>

#include "testing/activated.h"
#include "testing/emulation.h"
#include "testing/isa_test.h"

namespace mobilevd::kernels {
namespace {

using namespace testing_isa;

class ConvInt8Test : public IsaTest {};
MOBILEVD_TEST_EVERY_ISA(ConvInt8Test);

/// Either convolution. Over frames, a clip is a picture, frames its rows and positions its columns.
struct Sizes {
  std::int64_t pictures, height, width, in, out;
  int stride, filter_width;
};
/// Strides and widths of filters.
constexpr std::pair<int, int> kConvolutions[] = {{1, 3}, {2, 3}, {1, 1}};
constexpr int kZeroPoints[] = {-128, -12, 0, 127};

struct Problem {
  Sizes s;
  Int8Range range;
  std::int64_t out_height, out_width;
  int misalign;
  Guarded<float> x, residual, out, weight, scales, bias;
  std::vector<std::int8_t> packed;
  ConvEpilogue<float> epilogue;

  /// Most features are within the range, on either side of its zero point.
  Problem(const Sizes& sizes, int zero_point, unsigned seed, int misaligned = 0)
      : s(sizes),
        range{0.024f, zero_point},
        out_height((s.height + s.stride - 1) / s.stride),
        out_width((s.width + s.stride - 1) / s.stride),
        misalign(misaligned),
        x(s.pictures * s.height * s.width * s.in, misalign),
        residual(out_size(), misalign),
        out(out_size(), misalign),
        weight(s.out * s.in * taps(), misalign),
        scales(conv_int8_sizes(s.in, s.out, taps()).scales, misalign),
        bias(s.out, misalign),
        packed(conv_int8_sizes(s.in, s.out, taps()).packed + misalign) {
    x.fill_normal(seed, 1, -range.scale * static_cast<float>(zero_point));
    residual.fill_normal(seed + 1);
    weight.fill_normal(seed + 2, 1 / std::sqrt(static_cast<float>(taps() * s.in)));
    bias.fill_normal(seed + 3);
    pack();
  }

  int taps() const { return 3 * s.filter_width; }
  std::size_t out_size() const { return s.pictures * out_height * out_width * s.out; }

  void pack() {
    EXPECT_TRUE(
        pack_conv_int8(weight.data(), packed.data() + misalign, scales.data(), s.in, s.out, taps())
            .ok());
    scales.expect_guards_untouched();
  }

  Status run(int lanes = 1, ParallelFor parallel_for = serial_for) {
    if (s.filter_width == 1) {
      const TemporalConvShape shape{s.pictures, s.height, s.width, s.in, s.out};
      Scratch scratch(temporal_conv_int8_scratch_bytes(shape, lanes));
      return temporal_conv_int8(x.data(), packed.data() + misalign, scales.data(), out.data(),
                                shape, range, epilogue, scratch.data(), lanes, parallel_for);
    }
    const Conv2dShape shape{s.pictures, s.height, s.width, s.in, s.out, s.stride};
    Scratch scratch(conv2d_3x3_int8_scratch_bytes(shape, lanes));
    return conv2d_3x3_int8(x.data(), packed.data() + misalign, scales.data(), out.data(), shape,
                           range, epilogue, scratch.data(), lanes, parallel_for);
  }

  /// The scalar reference and Winograd's integers know a sum to one rounding; the direct product
  /// rounds before it takes off what the zero points add.
  bool exact() const {
    return last_isa() == Isa::kScalar ||
           (last_isa() == Isa::kAvx2 && s.filter_width == 3 && s.stride == 1 && s.in >= 16);
  }

  std::vector<int> quantised_x() const {
    std::vector<int> q(x.size());
    for (std::size_t i = 0; i < q.size(); ++i) {
      const float y = std::fma(x[i], 1 / range.scale, static_cast<float>(range.zero_point));
      q[i] = static_cast<int>(std::nearbyint(std::clamp(y, -128.0f, 127.0f)));
    }
    return q;
  }

  /// [out][tap][in], as packed; ConvInt8Pack checks that this is what pack_conv_int8 owes.
  std::vector<int> quantised_weight() const {
    std::vector<int> q;
    for (std::int64_t i = 0; i < s.out * taps(); ++i) {
      const std::int64_t o = i / taps(), tap = i % taps();
      for (std::int64_t c = 0; c < s.in; ++c) {
        const std::int64_t group = (o / 16 * taps() + tap) * ((s.in + 7) / 8) + c / 8;
        q.push_back(packed[misalign + (group * 16 + o % 16) * 8 + c % 8]);
      }
    }
    return q;
  }

  /// `tolerance` is of the sums, relative.
  void check(double tolerance = 2e-7) const {
    const std::vector<int> q = quantised_x(), w = quantised_weight();
    std::vector<double> sums(out_size()), magnitudes(out_size());
    double largest = 0;
    for (std::size_t i = 0; i < sums.size(); ++i) {
      const std::int64_t o = i % s.out, pixel = i / s.out, column = pixel % out_width;
      const std::int64_t row = pixel / out_width % out_height;
      const std::int64_t picture = pixel / out_width / out_height;
      const int zero = range.zero_point;
      std::int64_t sum = 0, magnitude = 0;
      for (int tap = 0; tap < taps(); ++tap) {
        const std::int64_t iy = row * s.stride + tap / s.filter_width - 1;
        const std::int64_t ix = column * s.stride + tap % s.filter_width - s.filter_width / 2;
        const bool inside = iy >= 0 && iy < s.height && ix >= 0 && ix < s.width;
        const int* const in =
            inside ? &q[((picture * s.height + iy) * s.width + ix) * s.in] : nullptr;
        const int* const by = &w[(o * taps() + tap) * s.in];
        for (std::int64_t c = 0; c < s.in; ++c) {
          const int value = inside ? in[c] : zero;
          sum += (value - zero) * by[c];
          magnitude += (std::abs(value) + std::abs(zero)) * std::abs(by[c]);
        }
      }
      const double scale = static_cast<double>(range.scale) * scales[o];
      sums[i] = scale * static_cast<double>(sum);
      magnitudes[i] = scale * static_cast<double>(exact() ? std::abs(sum) : magnitude);
      largest = std::max(largest, magnitudes[i]);
    }
    for (std::size_t i = 0; i < sums.size(); ++i) {
      double want = sums[i], terms = 0;  // terms: what the epilogue rounds
      const auto add = [&](double term) {
        want += term, terms += std::fabs(term) + std::fabs(want);
      };
      if (epilogue.bias != nullptr) add(epilogue.bias[i % s.out]);
      if (epilogue.residual != nullptr) add(epilogue.residual[i]);
      if (epilogue.activation != ConvActivation::kNone) add(0);
      want = activated(epilogue.activation, want);
      ASSERT_LE(std::fabs(out[i] - want),
                tolerance * (exact() ? magnitudes[i] : largest) + 2e-7 * terms)
          << "at [pixel " << i / s.out << ", channel " << i % s.out << "]: got " << out[i]
          << ", float64 " << want;
    }
    out.expect_guards_untouched();
  }
};

TEST_P(ConvInt8Test, OddShapes) {
  unsigned seed = 1, cases = 0;
  for (const auto& [height, width] : {std::pair{1, 1}, {2, 3}, {4, 8}, {5, 9}, {13, 4}}) {
    for (const auto& [in, out] :
         {std::pair{1, 1}, {4, 20}, {12, 3}, {16, 16}, {17, 48}, {27, 3}, {70, 100}, {130, 16}}) {
      for (const auto& [stride, filter_width] : kConvolutions) {
        const int zero_point = kZeroPoints[(cases + height) % 4];
        if (left_out(cases++)) continue;
        const Sizes s{height == 4 ? 3 : 1, height, width, in, out, stride, filter_width};
        SCOPED_TRACE(testing::Message() << s.pictures << "x" << height << "x" << width << "x" << in
                                        << " -> " << out << " stride " << stride << " filter width "
                                        << filter_width << " zero point " << zero_point);
        Problem problem(s, zero_point, seed += 7);
        ASSERT_TRUE(problem.run().ok());
        problem.check();
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(ConvInt8Test, EpiloguesZeroPointsAndUnalignedPointers) {
  unsigned cases = 0;
  for (const auto& [stride, filter_width] : kConvolutions) {
    for (const int zero_point : kZeroPoints) {
      for (int bits = 0; bits < 12; ++bits) {
        if (left_out(cases++)) continue;
        Problem problem({2, 7, 6, 24, 37, stride, filter_width}, zero_point, 5, bits);
        problem.epilogue = {bits & 1 ? problem.bias.data() : nullptr,
                            bits & 2 ? problem.residual.data() : nullptr,
                            static_cast<ConvActivation>(bits / 4)};
        ASSERT_TRUE(problem.run().ok());
        problem.check();
        if (HasFatalFailure()) return;
      }
    }
  }
}

/// With 1800 channels Winograd adds the last 8 to what out already holds.
TEST_P(ConvInt8Test, OutMayBeTheResidual) {
  for (const auto& [stride, filter_width] : kConvolutions) {
    for (const int in : {32, 1800}) {
      const Sizes s{1, 3, 5, in, 20, stride, filter_width};
      Problem apart(s, -12, 9), together(s, -12, 9);
      apart.epilogue = {apart.bias.data(), apart.residual.data(), ConvActivation::kSilu};
      ASSERT_TRUE(apart.run().ok());
      apart.check(3e-7);
      std::memcpy(together.out.data(), together.residual.data(), together.out.size() * 4);
      together.epilogue = {together.bias.data(), together.out.data(), ConvActivation::kSilu};
      ASSERT_TRUE(together.run().ok());
      ASSERT_EQ(std::memcmp(apart.out.data(), together.out.data(), apart.out.size() * 4), 0);
    }
  }
}

/// More tiles than a chunk, more channels than a piece, more panels than a group; then fewer
/// outputs than lanes want, so that they share panels.
TEST_P(ConvInt8Test, LanesAndThreadsGiveTheSameBits) {
  for (const auto& [stride, filter_width] : kConvolutions) {
    for (const Sizes& s : {Sizes{2, 14, 15, 66, 68, stride, filter_width},
                           {1, 5, 6, 20, 150, stride, filter_width}}) {
      Problem problem(s, -12, 4);
      ASSERT_TRUE(problem.run().ok());
      problem.check();
      std::vector<float> alone(problem.out.data(), problem.out.data() + problem.out.size());
      for (const int lanes : {2, 3, 4, 7, 16}) {
        for (const std::size_t piece : {1, 3}) {
          std::memset(problem.out.data(), 0xFF, problem.out.size() * 4);
          ASSERT_TRUE(problem.run(lanes, Threaded{piece}).ok());
          ASSERT_EQ(std::memcmp(alone.data(), problem.out.data(), alone.size() * 4), 0)
              << lanes << " lanes in pieces of " << piece;
        }
      }
    }
  }
}

/// More than 8 MiB in 8 bits: pictures are worked on group by group. 17 channels take 32 bytes.
TEST_P(ConvInt8Test, LargeBatchesInGroups) {
  for (const Sizes& s :
       {Sizes{5, 241, 239, 17, 1, 1, 3}, {9, 256, 256, 1, 3, 2, 3}, {3, 2, 140000, 1, 3, 1, 1}}) {
    Problem problem(s, -12, 8);
    problem.epilogue.residual = problem.residual.data();
    ASSERT_TRUE(problem.run(3, Threaded{1000}).ok());
    problem.check();
  }
}

TEST_P(ConvInt8Test, FarValuesSaturate) {
  for (const auto& [stride, filter_width] : kConvolutions) {
    for (const int zero_point : {-12, 127}) {
      Problem problem({1, 6, 7, 24, 18, stride, filter_width}, zero_point, 6);
      const float far[] = {4, 1e3f, 1e30f, std::numeric_limits<float>::max(),
                           std::numeric_limits<float>::infinity()};
      for (std::size_t i = 0; i < problem.x.size(); i += 3) {
        problem.x[i] = i % 2 == 0 ? far[i % 5] : -far[i % 5];
      }
      ASSERT_TRUE(problem.run().ok());
      problem.check();
    }
  }
}

/// Nor does it reach outputs that do not read it.
TEST_P(ConvInt8Test, NanIsSomeNumberOfTheRange) {
  for (const auto& [stride, filter_width] : kConvolutions) {
    const Sizes s{2, 12, 12, 20, 16, stride, filter_width};
    Problem clean(s, -12, 6), dirty(s, -12, 6);
    const std::size_t at = ((0 * 12 + 5) * 12 + 6) * 20;
    for (const int channel : {3, 18}) dirty.x[at + channel] = std::nanf("");
    ASSERT_TRUE(clean.run().ok());
    ASSERT_TRUE(dirty.run().ok());
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(clean.out.size()); ++i) {
      const std::int64_t pixel = i / 16, y = pixel / clean.out_width % clean.out_height * stride;
      const std::int64_t x = pixel % clean.out_width * stride;
      const bool reads = pixel < clean.out_width * clean.out_height && std::abs(y - 5) <= 1 &&
                         std::abs(x - 6) <= filter_width / 2;
      ASSERT_TRUE(std::isfinite(dirty.out[i])) << "at pixel " << pixel;
      if (!reads) {
        ASSERT_EQ(clean.out[i], dirty.out[i]) << "reached pixel " << pixel;
      }
    }
  }
}

/// The largest sums there are, and patterns in between, alike in all channels: 32 bits hold them.
TEST_P(ConvInt8Test, ExtremeSumsDoNotOverflow) {
  std::mt19937 generator(1);
  for (const auto& [stride, filter_width] : kConvolutions) {
    for (const int in : {1792, 1800, 8192}) {
      for (const int zero_point : {-128, 127}) {
        Problem problem({3, 3, 3, in, 6, stride, filter_width}, zero_point, 1);
        for (std::int64_t pixel = 0; pixel < 27; ++pixel) {
          const bool far = pixel < 9 || generator() % 2 == 0;
          std::fill_n(&problem.x[pixel * in], in, far == (zero_point < 0) ? 99.0f : -99.0f);
        }
        for (int i = 0; i < 6 * problem.taps(); ++i) {
          const int o = i / problem.taps(), tap = i % problem.taps();
          const bool negative = o < 2 ? o == 1 : generator() % 2 == 0;
          for (int c = 0; c < in; ++c) {
            problem.weight[(o * in + c) * problem.taps() + tap] = negative ? -0.5f : 0.5f;
          }
        }
        problem.pack();
        ASSERT_TRUE(problem.run().ok());
        problem.check(3e-7);
        if (HasFatalFailure()) return;
      }
    }
  }
}

}  // namespace
}  // namespace mobilevd::kernels
