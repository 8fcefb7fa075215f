#include "mobilevd/kernels/group_norm_silu.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "dispatch/variants.h"
#include "group_norm_silu/group_norm_silu_internal.h"
#include "group_norm_silu/group_norm_silu_plan.h"
#include "simd/half_convert.h"

namespace mobilevd::kernels {
namespace {

constexpr Variants<GroupNormSiluVariant> kVariants = {
    &kGroupNormSiluScalar,
    MOBILEVD_IF_AVX2(&kGroupNormSiluAvx2),
    MOBILEVD_IF_AVX512(&kGroupNormSiluAvx512),
    nullptr,
    MOBILEVD_IF_NEON(&kGroupNormSiluNeon),
};

/// Outputs from this size on go past the caches: no second-level cache would still hold them when
/// the next layer reads, and not fetching the lines before writing saves a third of the traffic.
constexpr std::int64_t kStreamBytes = std::int64_t{8} << 20;

float widen(float x) { return x; }
float widen(Half x) { return half_to_float(x); }

/// A group's statistics, ready for float32: mean + rest is the mean in float64.
struct Statistics {
  float mean, rest, rstd;
};

template <typename T, typename P>
class Call {
 public:
  Call(const T* x, const P* weight, const P* bias, T* out, const GroupNormSiluShape& s, float eps,
       bool silu)
      : x_(x),
        weight_(weight),
        bias_(bias),
        out_(out),
        s_(s),
        group_(s.channels / s.num_groups),
        sample_(s.channels * s.positions),
        eps_(eps),
        silu_(silu),
        plan_(make_plan(s, sizeof(T))),
        run_(functions()) {
    // Whole lines only: half a line past the caches costs more than it saves. In place, the lines
    // are in a cache already.
    const std::int64_t line = 64 / sizeof(T);
    stream_ = out != x && reinterpret_cast<std::uintptr_t>(out) % 64 == 0 &&
              s.batch * sample_ >= kStreamBytes / static_cast<std::int64_t>(sizeof(T)) &&
              (s.channels_last ? s.channels % line == 0 && plan_.block_groups * group_ % line == 0
                               : s.positions % line == 0);
  }

  void run(ParallelFor parallel_for) const {
    if (plan_.split) {
      split(parallel_for);
    } else {
      fused(parallel_for);
    }
  }

 private:
  static const GroupNormSiluFunctions<T>& functions() {
    const GroupNormSiluVariant& chosen = kVariants.chosen();
    if constexpr (sizeof(T) == sizeof(float)) {
      return chosen.f32;
    } else {
      return chosen.f16;
    }
  }

  /// Where the block's first element is, of x or out.
  std::int64_t offset(std::int64_t sample, std::int64_t first_group) const {
    return sample * sample_ + first_group * group_ * (s_.channels_last ? 1 : s_.positions);
  }
  int groups_of(std::int64_t first_group) const {
    return static_cast<int>(std::min(plan_.block_groups, s_.num_groups - first_group));
  }

  /// Every block by itself: the second pass finds it in a cache, and prefetches the next one while it
  /// computes.
  void fused(ParallelFor parallel_for) const {
    const auto blocks = static_cast<std::size_t>(plan_.blocks);
    const std::size_t units = static_cast<std::size_t>(s_.batch) * blocks;
    parallel_for(units, plan_.grain, [&](std::size_t begin, std::size_t end) {
      for (std::size_t u = begin; u < end; ++u) {
        const auto at = [&](std::size_t unit) {
          return offset(unit / blocks, unit % blocks * plan_.block_groups);
        };
        const std::int64_t first = u % blocks * plan_.block_groups;
        const int groups = groups_of(first);
        Moments moments[kMaxBlockGroups];
        Statistics statistics[kMaxBlockGroups];
        measure(x_ + at(u), 0, s_.positions, groups, moments);
        prepare(x_ + at(u), groups, moments, statistics);
        normalise(u / blocks, first, groups, statistics, 0, s_.positions,
                  u + 1 < end ? at(u + 1) - at(u) : 0);
      }
    });
  }

  /// A block at a time, its positions (channels last) or elements cut into fixed parts: all threads
  /// measure, then all normalise.
  void split(ParallelFor parallel_for) const {
    for (std::int64_t n = 0; n < s_.batch; ++n) {
      for (std::int64_t first = 0; first < s_.num_groups; first += plan_.block_groups) {
        const int groups = groups_of(first);
        const T* block = x_ + offset(n, first);
        Moments part[kMaxParts][kMaxBlockGroups];
        parallel_for(plan_.parts, 1, [&](std::size_t begin, std::size_t end) {
          for (std::size_t i = begin; i < end; ++i) {
            measure(block, plan_.part_begin(i), plan_.part_begin(i + 1), groups, part[i]);
          }
        });
        for (std::size_t i = 1; i < plan_.parts; ++i) {
          for (int g = 0; g < groups; ++g) part[0][g] = combine(part[0][g], part[i][g]);
        }
        Statistics statistics[kMaxBlockGroups];
        prepare(block, groups, part[0], statistics);
        parallel_for(plan_.parts, 1, [&](std::size_t begin, std::size_t end) {
          for (std::size_t i = begin; i < end; ++i) {
            normalise(n, first, groups, statistics, plan_.part_begin(i), plan_.part_begin(i + 1),
                      0);
          }
        });
      }
    }
  }

  /// Moments of the positions [begin, end) of a block's groups.
  void measure(const T* block, std::int64_t begin, std::int64_t end, int groups,
               Moments* moments) const {
    if (s_.channels_last) {
      run_.column_moments(block + begin * s_.channels, s_.channels, end - begin, group_, groups,
                          moments);
      return;
    }
    for (int g = 0; g < groups; ++g, block += group_ * s_.positions) {
      if (end - begin == s_.positions) {
        moments[g] = run_.moments(block, group_ * s_.positions);
        continue;
      }
      moments[g] = {0, 0, 0};
      for (std::int64_t c = 0; c < group_; ++c) {
        moments[g] = combine(moments[g], run_.moments(block + c * s_.positions + begin, end - begin));
      }
    }
  }

  void prepare(const T* block, int groups, const Moments* moments, Statistics* statistics) const {
    for (int g = 0; g < groups; ++g) {
      Moments m = moments[g];
      if (!std::isfinite(m.mean) || !std::isfinite(m.m2)) m = exact_moments(block, g);
      const auto mean = static_cast<float>(m.mean);
      statistics[g] = {mean, static_cast<float>(m.mean - mean),
                       static_cast<float>(1 / std::sqrt(m.m2 / m.count + eps_))};
    }
  }

  /// In float64: for the rare group whose squares leave float32. Inf and NaN stay.
  Moments exact_moments(const T* block, int g) const {
    const std::int64_t row = s_.channels_last ? s_.channels : s_.positions;
    const std::int64_t rows = s_.channels_last ? s_.positions : group_;
    const std::int64_t width = s_.channels_last ? group_ : s_.positions;
    const T* x = block + g * group_ * (s_.channels_last ? 1 : s_.positions);
    const auto sum = [&](auto&& term) {
      double total = 0;
      for (std::int64_t r = 0; r < rows; ++r) {
        for (std::int64_t c = 0; c < width; ++c) total += term(widen(x[r * row + c]));
      }
      return total;
    };
    const double count = static_cast<double>(rows) * static_cast<double>(width);
    const double mean = sum([](double v) { return v; }) / count;
    return {count, mean, sum([&](double v) { return (v - mean) * (v - mean); })};
  }

  /// Coefficients of `count` channels from `first` on, in tiles of the sample's groups.
  void coefficients(std::int64_t first, std::int64_t count, std::int64_t first_group,
                    const Statistics* statistics, float* mean, float* scale, float* shift) const {
    for (std::int64_t i = 0; i < count;) {
      const std::int64_t g = (first + i) / group_;
      const Statistics& s = statistics[g - first_group];
      for (const std::int64_t end = std::min(count, (g + 1) * group_ - first); i < end; ++i) {
        mean[i] = s.mean;
        scale[i] = weight_ == nullptr ? s.rstd : widen(weight_[first + i]) * s.rstd;
        shift[i] = (bias_ == nullptr ? 0.0f : widen(bias_[first + i])) - s.rest * scale[i];
      }
    }
  }

  void normalise(std::int64_t n, std::int64_t first_group, int groups, const Statistics* statistics,
                 std::int64_t begin, std::int64_t end, std::int64_t ahead) const {
    constexpr std::int64_t kTile = 512;
    alignas(64) float mean[kTile], scale[kTile], shift[kTile];
    const std::int64_t last = (first_group + groups) * group_;
    for (std::int64_t c = first_group * group_; c < last; c += kTile) {
      const std::int64_t count = std::min(kTile, last - c);
      coefficients(c, count, first_group, statistics, mean, scale, shift);
      GroupNormSiluRectangle<T> t;
      const std::int64_t start =
          n * sample_ + (s_.channels_last ? begin * s_.channels + c : c * s_.positions + begin);
      t.x = x_ + start;
      t.out = out_ + start;
      t.row = s_.channels_last ? s_.channels : s_.positions;
      t.rows = s_.channels_last ? end - begin : count;
      t.width = s_.channels_last ? count : end - begin;
      t.mean = mean;
      t.scale = scale;
      t.shift = shift;
      t.ahead = ahead;
      t.silu = silu_;
      t.stream = stream_;
      (s_.channels_last ? run_.normalise_columns : run_.normalise_rows)(t);
    }
  }

  const T* x_;
  const P* weight_;
  const P* bias_;
  T* out_;
  const GroupNormSiluShape s_;
  const std::int64_t group_;   ///< channels of a group
  const std::int64_t sample_;  ///< elements of a sample
  const double eps_;
  const bool silu_;
  bool stream_;
  const GroupNormSiluPlan plan_;
  const GroupNormSiluFunctions<T> run_;
};

/// a * b for non-negative numbers, or false when it leaves int64.
bool multiply(std::int64_t a, std::int64_t b, std::int64_t* product) {
  if (b != 0 && a > std::numeric_limits<std::int64_t>::max() / b) return false;
  *product = a * b;
  return true;
}

bool overlap(const void* a, std::int64_t a_bytes, const void* b, std::int64_t b_bytes) {
  const auto x = reinterpret_cast<std::uintptr_t>(a), y = reinterpret_cast<std::uintptr_t>(b);
  return a != nullptr && b != nullptr && x < y + static_cast<std::uintptr_t>(b_bytes) &&
         y < x + static_cast<std::uintptr_t>(a_bytes);
}

template <typename T, typename P>
Status run(const T* x, const P* weight, const P* bias, T* out, const GroupNormSiluShape& s,
           float eps, bool silu, ParallelFor parallel_for) {
  const Status startup = startup_status();
  if (!startup.ok()) return startup;
  if (s.batch < 0) return invalid_argument("group_norm_silu: batch must be >= 0");
  if (s.channels < 1) return invalid_argument("group_norm_silu: channels must be >= 1");
  if (s.positions < 0) return invalid_argument("group_norm_silu: positions must be >= 0");
  if (s.num_groups < 1 || s.channels % s.num_groups != 0) {
    return invalid_argument("group_norm_silu: num_groups must be >= 1 and divide channels");
  }
  if (!(eps > 0) || !std::isfinite(eps)) {
    return invalid_argument("group_norm_silu: eps must be positive and finite");
  }
  if (s.batch == 0 || s.positions == 0) return ok_status();

  std::int64_t bytes;
  if (!multiply(s.channels, s.positions, &bytes) || !multiply(bytes, s.batch, &bytes) ||
      !multiply(bytes, sizeof(T), &bytes)) {
    return invalid_argument("group_norm_silu: sizes overflow 64 bits");
  }
  if (x == nullptr || out == nullptr) {
    return invalid_argument("group_norm_silu: x and out must not be null");
  }
  if (static_cast<const void*>(x) != out && overlap(x, bytes, out, bytes)) {
    return invalid_argument("group_norm_silu: out must be x or not overlap it");
  }
  const auto param_bytes = s.channels * static_cast<std::int64_t>(sizeof(P));
  if (overlap(out, bytes, weight, param_bytes) || overlap(out, bytes, bias, param_bytes)) {
    return invalid_argument("group_norm_silu: out must not overlap weight or bias");
  }
  Call<T, P>(x, weight, bias, out, s, eps, silu).run(parallel_for);
  return ok_status();
}

}  // namespace

Status group_norm_silu(const float* x, const float* weight, const float* bias, float* out,
                       const GroupNormSiluShape& shape, float eps, bool silu,
                       ParallelFor parallel_for) {
  return run(x, weight, bias, out, shape, eps, silu, parallel_for);
}

Status group_norm_silu(const Half* x, const float* weight, const float* bias, Half* out,
                       const GroupNormSiluShape& shape, float eps, bool silu,
                       ParallelFor parallel_for) {
  return run(x, weight, bias, out, shape, eps, silu, parallel_for);
}

Status group_norm_silu(const Half* x, const Half* weight, const Half* bias, Half* out,
                       const GroupNormSiluShape& shape, float eps, bool silu,
                       ParallelFor parallel_for) {
  return run(x, weight, bias, out, shape, eps, silu, parallel_for);
}

}  // namespace mobilevd::kernels
