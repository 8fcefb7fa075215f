#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "mobilevd/kernels/temporal_attention_block.h"

// A problem with its answer in float64, for the tests.
namespace mobilevd::kernels {
namespace {

constexpr std::size_t kGuard = 32;  // elements around out that must stay as they were
constexpr float kGuardValue = -12344.0f;
constexpr float kEps = 1e-5f;

using Shape = TemporalAttentionBlockShape;

enum class Precision { kFloat32, kInt8 };

/// x on the grid of 255 values that int8 has for this row.
void snap(double* x, std::size_t n) {
  double largest = 0;
  for (std::size_t c = 0; c < n; ++c) largest = std::max(largest, std::fabs(x[c]));
  const double quantum = largest / 127;
  if (quantum == 0) return;
  for (std::size_t c = 0; c < n; ++c) x[c] = std::nearbyint(x[c] / quantum) * quantum;
}

/// A problem, its arrays starting `misalign` elements past an aligned address; nothing lies behind
/// the inputs, so that a sanitizer sees a read past the end.
struct Problem {
  Shape shape;
  Precision precision;
  float scale;
  std::size_t size, qk, v, misalign;
  std::vector<float> x_store, out_store, norm_weight, norm_bias, out_bias;
  std::vector<float> to_q, to_k, to_v, to_out, packed_qkv, packed_out;
  std::vector<std::int8_t> int8_qkv, int8_out;
  std::vector<float> qkv_scale, out_scale;
  std::vector<char> scratch;
  float *x, *out;

  Problem(const Shape& s, unsigned seed, Precision p = Precision::kFloat32,
          std::size_t misaligned = 0)
      : shape(s),
        precision(p),
        scale(0.125f),
        size(s.batch * s.frames * s.positions * s.channels),
        qk(s.num_heads * s.head_dim_qk),
        v(s.num_heads * s.head_dim_v),
        misalign(misaligned) {
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal;
    const auto fill = [&](std::vector<float>& to, std::size_t n, float deviation, float mean = 0) {
      to.resize(n);
      for (float& value : to) value = mean + deviation * normal(generator);
    };
    const std::size_t channels = s.channels;
    fill(x_store, size + misalign, 1, 0.5f);
    fill(norm_weight, channels, 0.2f, 1);
    fill(norm_bias, channels, 0.2f);
    fill(out_bias, channels, 1);
    const float by_input = 1 / std::sqrt(static_cast<float>(channels));
    fill(to_q, qk * channels, 2 * by_input);
    fill(to_k, qk * channels, 2 * by_input);
    fill(to_v, v * channels, by_input);
    fill(to_out, channels * v, 1 / std::sqrt(static_cast<float>(v)));
    pack();
    x = x_store.data() + misalign;
    out_store.assign(size + 2 * kGuard + misalign, kGuardValue);
    out = out_store.data() + kGuard + misalign;
    share_scratch(4);
  }

  void pack() {
    const float *q = to_q.data(), *k = to_k.data(), *value = to_v.data(), *o = to_out.data();
    if (precision == Precision::kFloat32) {
      const TemporalAttentionBlockSizes sizes = temporal_attention_block_sizes(shape);
      packed_qkv.assign(sizes.to_qkv + misalign, kGuardValue);
      packed_out.assign(sizes.to_out + misalign, kGuardValue);
      ASSERT_TRUE(pack_temporal_attention_block(q, k, value, o, shape, packed_qkv.data() + misalign,
                                                packed_out.data() + misalign)
                      .ok());
      return;
    }
    const TemporalAttentionBlockInt8Sizes sizes = temporal_attention_block_int8_sizes(shape);
    int8_qkv.assign(sizes.to_qkv + misalign, 99);
    int8_out.assign(sizes.to_out + misalign, 99);
    qkv_scale.assign(sizes.to_qkv_scale, kGuardValue);
    out_scale.assign(sizes.to_out_scale, kGuardValue);
    ASSERT_TRUE(pack_temporal_attention_block_int8(q, k, value, o, shape,
                                                   int8_qkv.data() + misalign, qkv_scale.data(),
                                                   int8_out.data() + misalign, out_scale.data())
                    .ok());
  }

  /// What is in the scratch must not matter.
  void share_scratch(std::size_t threads) {
    scratch.assign(precision == Precision::kFloat32
                       ? temporal_attention_block_scratch_bytes(shape, threads)
                       : temporal_attention_block_int8_scratch_bytes(shape, threads),
                   '\xFF');
  }

  TemporalAttentionBlockInt8Weights int8_weights() const {
    return {norm_weight.data(), norm_bias.data(),           int8_qkv.data() + misalign,
            qkv_scale.data(),   int8_out.data() + misalign, out_scale.data(),
            out_bias.data()};
  }

  TemporalAttentionBlockWeights weights() const {
    return {norm_weight.data(), norm_bias.data(), packed_qkv.data() + misalign,
            packed_out.data() + misalign, out_bias.data()};
  }

  Status run(ParallelFor parallel_for = serial_for) { return run_to(out, parallel_for); }

  Status run_to(float* to, ParallelFor parallel_for = serial_for) {
    if (precision == Precision::kFloat32) {
      return temporal_attention_block(x, weights(), to, shape, scale, kEps, scratch.data(),
                                      scratch.size(), parallel_for);
    }
    return temporal_attention_block(x, int8_weights(), to, shape, scale, kEps, scratch.data(),
                                    scratch.size(), parallel_for);
  }

  /// y = a w^T in float64 for w [n][k], both on int8's grids where `snapped`.
  static std::vector<double> times(std::vector<double> a, const std::vector<float>& weights,
                                   std::size_t k, bool snapped) {
    const std::size_t rows = a.size() / k, n = weights.size() / k;
    std::vector<double> y(rows * n), w(weights.begin(), weights.end());
    if (snapped) {
      for (std::size_t i = 0; i < rows; ++i) snap(&a[i * k], k);
      for (std::size_t j = 0; j < n; ++j) snap(&w[j * k], k);
    }
    for (std::size_t i = 0; i < rows; ++i) {
      for (std::size_t j = 0; j < n; ++j) {
        double sum = 0;
        for (std::size_t c = 0; c < k; ++c) sum += a[i * k + c] * w[j * k + c];
        y[i * n + j] = sum;
      }
    }
    return y;
  }

  std::size_t at(std::int64_t b, std::int64_t f, std::int64_t p) const {
    return ((b * shape.frames + f) * shape.positions + p) * shape.channels;
  }

  /// What is added to x at one position, [F][C], in float64 from the definition.
  std::vector<double> expected(std::int64_t b, std::int64_t p, bool snapped = false) const {
    const std::size_t frames = shape.frames, channels = shape.channels;
    std::vector<double> y(frames * channels);
    for (std::size_t f = 0; f < frames; ++f) {
      const float* row = x + at(b, f, p);
      double mean = 0, variance = 0;
      for (std::size_t c = 0; c < channels; ++c) mean += row[c] / double(channels);
      for (std::size_t c = 0; c < channels; ++c) {
        variance += (row[c] - mean) * (row[c] - mean) / double(channels);
      }
      for (std::size_t c = 0; c < channels; ++c) {
        y[f * channels + c] =
            (row[c] - mean) / std::sqrt(variance + kEps) * norm_weight[c] + norm_bias[c];
      }
    }
    const auto q = times(y, to_q, channels, snapped), k = times(y, to_k, channels, snapped);
    const auto value = times(y, to_v, channels, snapped);
    std::vector<double> attended(frames * v);
    const std::size_t d_qk = shape.head_dim_qk, d_v = shape.head_dim_v;
    for (std::size_t h = 0; h < static_cast<std::size_t>(shape.num_heads); ++h) {
      for (std::size_t i = 0; i < frames; ++i) {
        std::vector<double> weight(frames);
        for (std::size_t j = 0; j < frames; ++j) {
          for (std::size_t c = 0; c < d_qk; ++c) {
            weight[j] += scale * q[i * qk + h * d_qk + c] * k[j * qk + h * d_qk + c];
          }
        }
        const double largest = *std::max_element(weight.begin(), weight.end());
        double sum = 0;
        for (double& w : weight) sum += w = std::exp(w - largest);
        for (std::size_t j = 0; j < frames; ++j) {
          for (std::size_t c = 0; c < d_v; ++c) {
            attended[i * v + h * d_v + c] += weight[j] / sum * value[j * v + h * d_v + c];
          }
        }
      }
    }
    auto result = times(attended, to_out, v, snapped);
    for (std::size_t n = 0; n < result.size(); ++n) result[n] += out_bias[n % channels];
    return result;
  }

  /// Of float32: the sums of k terms of the products, and one rounding of the residual.
  void check() const {
    constexpr double kEpsilon = std::numeric_limits<float>::epsilon();
    const double terms = std::sqrt(static_cast<double>(shape.channels + v)) + 24;
    const std::size_t channels = shape.channels;
    for (std::int64_t b = 0; b < shape.batch; ++b) {
      for (std::int64_t p = 0; p < shape.positions; ++p) {
        const std::vector<double> want = expected(b, p);
        double largest = 0;  // of either term: bias and products may cancel
        for (std::size_t n = 0; n < want.size(); ++n) {
          const double bias = out_bias[n % channels];
          largest = std::max({largest, std::fabs(bias), std::fabs(want[n] - bias)});
        }
        for (std::size_t n = 0; n < want.size(); ++n) {
          const std::size_t i = at(b, n / channels, p) + n % channels;
          const double expected_value = want[n] + x[i];
          const double tolerance =
              kEpsilon * (terms * largest + 2 * (largest + std::fabs(expected_value)));
          ASSERT_LE(std::fabs(out[i] - expected_value), tolerance)
              << "at [b=" << b << ", f=" << n / channels << ", s=" << p << ", c=" << n % channels
              << "]: got " << out[i] << ", float64 " << expected_value;
        }
      }
    }
    check_guards();
  }

  /// Relative error, in L2, of what was added to x.
  double error(bool snapped) const {
    double squares = 0, total = 0;
    for (std::int64_t b = 0; b < shape.batch; ++b) {
      for (std::int64_t p = 0; p < shape.positions; ++p) {
        const std::vector<double> want = expected(b, p, snapped);
        for (std::size_t n = 0; n < want.size(); ++n) {
          const std::size_t i = at(b, n / shape.channels, p) + n % shape.channels;
          squares += std::pow(out[i] - x[i] - want[n], 2);
          total += want[n] * want[n];
        }
      }
    }
    return total == 0 ? 0 : std::sqrt(squares / total);
  }

  void check_guards() const {
    for (const float* p = out_store.data(); p != out_store.data() + out_store.size(); ++p) {
      if (p >= out && p < out + size) continue;
      ASSERT_EQ(*p, kGuardValue) << "wrote at out[" << p - out << "] of " << size;
    }
  }
};

}  // namespace
}  // namespace mobilevd::kernels
