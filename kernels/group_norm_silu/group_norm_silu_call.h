#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "group_norm_silu/group_norm_silu_internal.h"
#include "group_norm_silu/group_norm_silu_plan.h"
#include "simd/half_convert.h"

namespace mobilevd::kernels {
namespace {

/// Outputs from this size on go past the caches: no second-level cache would still hold them when
/// the next layer reads, and not fetching the lines before writing saves a third of the traffic.
constexpr std::int64_t kStreamBytes = std::int64_t{8} << 20;

/// What of a core's second-level cache a block and the prefetched part of the next may fill: of 2
/// MiB on the servers this was tuned on (1.8 MiB), of 512 KiB in phones.
#if defined(__aarch64__)
constexpr std::int64_t kCacheBytes = std::int64_t{384} << 10;
#else
constexpr std::int64_t kCacheBytes = std::int64_t{1792} << 10;
#endif
/// How far ahead memory is read otherwise. SiLU is so many instructions a line that the CPU's own
/// reordering sees only a few lines; on outputs larger than its last cache this took a third off.
constexpr std::int64_t kNearBytes = 4096;
constexpr std::int64_t kChunkBytes = std::int64_t{256} << 10;
/// Channels with coefficients on the stack.
constexpr std::int64_t kTile = 2560;
constexpr std::int64_t kMaxLanes = 16;

float widen(float x) { return x; }
float widen(Half x) { return half_to_float(x); }

/// One call, arguments checked; P is the type of weight and bias.
template <typename T, typename P>
class GroupNormSiluCall {
 public:
  GroupNormSiluCall(const T* x, const P* weight, const P* bias, T* out, const GroupNormSiluShape& s,
                    float eps, bool silu, const GroupNormSiluFunctions<T>& functions,
                    GroupNormCoefficients<P> coefficients)
      : x_(x),
        weight_(weight),
        bias_(bias),
        out_(out),
        s_(s),
        group_(s.channels / s.num_groups),
        sample_(s.channels * s.positions),
        row_(s.channels_last ? s.channels : s.positions),
        eps_(eps),
        silu_(silu),
        plan_(make_plan(s, sizeof(T))),
        run_(functions),
        coefficients_(coefficients) {
    // Whole lines only: half a line past the caches costs more than it saves. In place, the lines
    // are in a cache already.
    const std::int64_t line = 64 / sizeof(T);
    stream_ = out != x && reinterpret_cast<std::uintptr_t>(out) % 64 == 0 &&
              s.batch * sample_ >= kStreamBytes / static_cast<std::int64_t>(sizeof(T)) &&
              row_ % line == 0 && (!s.channels_last || plan_.block_groups * group_ % line == 0);
  }

  void run(ParallelFor parallel_for) const {
    if (plan_.split) {
      split(parallel_for);
    } else {
      fused(parallel_for);
    }
  }

 private:
  /// Where the block's first element is, of x or out.
  std::int64_t offset(std::int64_t sample, std::int64_t first_group) const {
    return sample * sample_ + first_group * group_ * (s_.channels_last ? 1 : s_.positions);
  }
  int groups_of(std::int64_t first_group) const {
    return static_cast<int>(std::min(plan_.block_groups, s_.num_groups - first_group));
  }

  /// Every block by itself: the second pass finds it in a cache, and prefetches the next one while
  /// it computes.
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
        GroupStatistics statistics[kMaxBlockGroups];
        measure(x_ + at(u), 0, s_.positions, groups, moments);
        prepare(x_ + at(u), groups, moments, statistics);
        normalise(u / blocks, first, groups, statistics, 0, s_.positions,
                  u + 1 < end ? at(u + 1) - at(u) : 0);
      }
    });
  }

  /// A block at a time, its positions cut into fixed parts: all threads measure, then all
  /// normalise.
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
        GroupStatistics statistics[kMaxBlockGroups];
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
        moments[g] =
            combine(moments[g], run_.moments(block + c * s_.positions + begin, end - begin));
      }
    }
  }

  void prepare(const T* block, int groups, const Moments* moments,
               GroupStatistics* statistics) const {
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
    const std::int64_t rows = s_.channels_last ? s_.positions : group_;
    const std::int64_t width = s_.channels_last ? group_ : s_.positions;
    const T* x = block + g * group_ * (s_.channels_last ? 1 : s_.positions);
    const auto sum = [&](auto&& term) {
      double total = 0;
      for (std::int64_t r = 0; r < rows; ++r) {
        for (std::int64_t c = 0; c < width; ++c) total += term(widen(x[r * row_ + c]));
      }
      return total;
    };
    const double count = static_cast<double>(rows) * static_cast<double>(width);
    const double mean = sum([](double v) { return v; }) / count;
    return {count, mean, sum([&](double v) { return (v - mean) * (v - mean); })};
  }

  /// Of `count` channels from `first` on, to arrays of kTile channels and a vector more.
  void coefficients(std::int64_t first, std::int64_t count, std::int64_t first_group,
                    const GroupStatistics* statistics, float* mean, float* scale,
                    float* shift) const {
    const auto from = [](const P* p, std::int64_t i) { return p == nullptr ? p : p + i; };
    for (std::int64_t i = 0; i < count;) {
      const std::int64_t c = first + i, g = c / group_;
      const std::int64_t n = std::min(count - i, (g + 1) * group_ - c);
      coefficients_(from(weight_, c), from(bias_, c), n, statistics[g - first_group], mean + i,
                    scale + i, shift + i);
      i += n;
    }
  }

  /// The positions [begin, end) of a block, chunk by chunk from the last to the first: what the
  /// sums read last is still in the cache. `next` is the distance to the block that is next, or 0.
  void normalise(std::int64_t n, std::int64_t first_group, int groups,
                 const GroupStatistics* statistics, std::int64_t begin, std::int64_t end,
                 std::int64_t next) const {
    constexpr auto kElement = static_cast<std::int64_t>(sizeof(T));
    constexpr std::int64_t kPadded = kTile + kMaxLanes;
    alignas(64) float mean[kPadded], scale[kPadded], shift[kPadded];
    const std::int64_t last = (first_group + groups) * group_;
    for (std::int64_t c = first_group * group_; c < last; c += kTile) {
      const std::int64_t count = std::min(kTile, last - c);
      coefficients(c, count, first_group, statistics, mean, scale, shift);
      GroupNormSiluRectangle<T> t;
      t.row = row_;
      t.width = s_.channels_last ? count : end - begin;
      t.silu = silu_;
      t.stream = stream_;
      const std::int64_t start =
          n * sample_ + (s_.channels_last ? begin * s_.channels + c : c * s_.positions + begin);
      const std::int64_t rows = s_.channels_last ? end - begin : count;
      const std::int64_t step = std::max<std::int64_t>(1, kChunkBytes / kElement / t.width);
      for (std::int64_t r = (rows - 1) / step * step; r >= 0; r -= step) {
        t.rows = std::min(step, rows - r);
        t.x = x_ + start + r * row_;
        t.out = out_ + start + r * row_;
        const std::int64_t first = s_.channels_last ? 0 : r;
        t.mean = mean + first;
        t.scale = scale + first;
        t.shift = shift + first;
        const bool fits = (r + t.rows) * row_ * kElement <= kCacheBytes - plan_.block_bytes;
        t.ahead = next != 0 && fits ? next : kNearBytes / kElement;
        (s_.channels_last ? run_.normalise_columns : run_.normalise_rows)(t);
      }
    }
  }

  const T* x_;
  const P* weight_;
  const P* bias_;
  T* out_;
  const GroupNormSiluShape s_;
  const std::int64_t group_;   ///< channels of a group
  const std::int64_t sample_;  ///< elements of a sample
  const std::int64_t row_;     ///< of a row: a position's channels or a channel's positions
  const double eps_;
  const bool silu_;
  bool stream_;
  const GroupNormSiluPlan plan_;
  const GroupNormSiluFunctions<T> run_;
  const GroupNormCoefficients<P> coefficients_;
};

}  // namespace
}  // namespace mobilevd::kernels
