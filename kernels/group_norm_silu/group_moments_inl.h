#pragma once

#include <cstddef>

#include "group_norm_silu/moments.h"
#include "mobilevd/kernels/half.h"
#include "simd/unroll.h"

// Include only after an ISA's header, in that ISA's translation unit.
namespace mobilevd::kernels {
namespace {

/// The statistics, written once for every ISA D (simd/): sums of x - shift and of its square in
/// float32, over blocks short enough for that, combined in float64. The shift is the mean of the
/// block's first eighth, so a block is read once. However ill-chosen, the mean of a share f of some
/// values is at most sqrt((1 - f) / f) standard deviations away from that of all, so the
/// subtraction in from_shifted() loses three bits at worst, and nothing on ordinary data.
template <typename D, typename T>
class GroupMoments {
  using Vec = typename D::Vec;
  static constexpr int kLanes = D::kLanes;
  /// Chains of dependent sums: they hide the latency of an fma.
  static constexpr int kChains = kLanes == 4 ? 8 : 4;
  static constexpr std::ptrdiff_t kBlock = 128 * kChains * kLanes;
  static constexpr std::ptrdiff_t kBlockRows = 256;
  /// Rows read before the next columns: in the first-level cache, and in order for whole rows.
  static constexpr std::ptrdiff_t kPanelRows = 16;
  static constexpr std::ptrdiff_t kRowsAhead = 8;  ///< prefetched meanwhile
  static constexpr std::ptrdiff_t kTile = 512;     ///< columns with sums on the stack
  /// Vectors of columns in one pass over a panel: shift, sum and squares stay in registers.
  static constexpr int kStrip = D::kAccumulators / 3;

 public:
  static Moments moments(const T* x, std::ptrdiff_t count) {
    Moments all = {0, 0, 0};
    for (std::ptrdiff_t i = 0; i < count; i += kBlock) {
      all = combine(all, block_moments(x + i, smaller(kBlock, count - i)));
    }
    return all;
  }

  static void column_moments(const T* x, std::ptrdiff_t row, std::ptrdiff_t rows,
                             std::ptrdiff_t group, int groups, Moments* result) {
    for (int g = 0; g < groups; ++g) result[g] = {0, 0, 0};
    const std::ptrdiff_t width = group * groups;
    for (std::ptrdiff_t r = 0; r < rows; r += kBlockRows) {
      for (std::ptrdiff_t c = 0; c < width; c += kTile) {
        Sums sums;
        sums.take(x + r * row + c, row, smaller(kBlockRows, rows - r), smaller(kTile, width - c));
        sums.fold(c, group, result);
      }
    }
  }

 private:
  [[gnu::noinline]] static Moments block_moments(const T* x, std::ptrdiff_t count) {
    // Whole vectors, at least an eighth of the block.
    const std::ptrdiff_t sample =
        count < kLanes ? count : (count / 8 + kLanes - 1) / kLanes * kLanes;
    const float shift = sum_of(x, sample) / static_cast<float>(sample);
    const Vec shifts = D::set(shift);
    Vec sum[kChains], squares[kChains];
#pragma GCC unroll 16
    for (int j = 0; j < kChains; ++j) sum[j] = squares[j] = D::zero();
    std::ptrdiff_t i = 0;
    for (; i + kChains * kLanes <= count; i += kChains * kLanes) {
#pragma GCC unroll 16
      for (int j = 0; j < kChains; ++j) {
        const Vec d = D::sub(D::load(x + i + j * kLanes), shifts);
        sum[j] = D::add(sum[j], d);
        squares[j] = D::fma(d, d, squares[j]);
      }
    }
    const auto one = [&](Vec value) {
      const Vec d = D::sub(value, shifts);
      sum[0] = D::add(sum[0], d);
      squares[0] = D::fma(d, d, squares[0]);
    };
    for (; i + kLanes <= count; i += kLanes) one(D::load(x + i));
    if (i < count) {  // the missing lanes deviate by nothing
      float tail[kLanes];
      D::store(tail, shifts);
      D::store_partial(tail, D::load_partial(x + i, count - i), count - i);
      one(D::load(tail));
    }
    return from_shifted(count, shift, total(sum), total(squares));
  }

  static float sum_of(const T* x, std::ptrdiff_t count) {
    Vec sum[kChains];
#pragma GCC unroll 16
    for (int j = 0; j < kChains; ++j) sum[j] = D::zero();
    std::ptrdiff_t i = 0;
    for (; i + kChains * kLanes <= count; i += kChains * kLanes) {
#pragma GCC unroll 16
      for (int j = 0; j < kChains; ++j) sum[j] = D::add(sum[j], D::load(x + i + j * kLanes));
    }
    for (; i + kLanes <= count; i += kLanes) sum[0] = D::add(sum[0], D::load(x + i));
    if (i < count) sum[0] = D::add(sum[0], D::load_partial(x + i, count - i));
    return total(sum);
  }

  static float total(const Vec (&part)[kChains]) {
    Vec sum = part[0];
#pragma GCC unroll 16
    for (int j = 1; j < kChains; ++j) sum = D::add(sum, part[j]);
    return D::reduce_add(sum);
  }

  static Moments from_shifted(double count, double shift, double sum, double squares) {
    const double mean = sum / count, m2 = squares - sum * mean;
    return {count, shift + mean, m2 < 0 ? 0 : m2};  // a NaN stays
  }

  /// Of each column of a block of rows, up to kTile of them.
  struct Sums {
    alignas(64) float shift[kTile];
    alignas(64) float sum[kTile];
    alignas(64) float squares[kTile];
    std::ptrdiff_t rows, width;

    void take(const T* x, std::ptrdiff_t row, std::ptrdiff_t rows_in, std::ptrdiff_t width_in) {
      rows = rows_in;
      width = width_in;
      for (std::ptrdiff_t c = 0; c < width; c += kLanes) {
        D::store(shift + c, D::zero());
        D::store(sum + c, D::zero());
        D::store(squares + c, D::zero());
      }
      const std::ptrdiff_t sample = (rows + 7) / 8;
      panels<false>(x, row, sample);
      const Vec factor = D::set(1.0f / static_cast<float>(sample));
      for (std::ptrdiff_t c = 0; c < width; c += kLanes) {
        D::store(shift + c, D::mul(D::load(sum + c), factor));
        D::store(sum + c, D::zero());
      }
      panels<true>(x, row, rows);
    }

    template <bool kSquares>
    void panels(const T* x, std::ptrdiff_t row, std::ptrdiff_t count) {
      const int vecs = static_cast<int>(width / kLanes), rest = static_cast<int>(width % kLanes);
      const int strips = part_count(vecs, kStrip);
      for (std::ptrdiff_t r = 0; r < count; r += kPanelRows, x += kPanelRows * row) {
        const std::ptrdiff_t n = smaller(kPanelRows, count - r);
        for (int s = 0; s < strips; ++s) {
          const int first = part_begin(vecs, strips, s);
          with_count<kStrip>(part_begin(vecs, strips, s + 1) - first, [&](auto v) {
            strip<kSquares, decltype(v)::value>(x + first * kLanes, row, n, first * kLanes);
          });
        }
        if (rest > 0) partial<kSquares>(x + vecs * kLanes, row, n, vecs * kLanes, rest);
      }
    }

    template <bool kSquares, int kVecs>
    [[gnu::noinline]] void strip(const T* x, std::ptrdiff_t row, std::ptrdiff_t count,
                                 std::ptrdiff_t c) {
      Vec shifts[kVecs], sums[kVecs], square[kVecs];
#pragma GCC unroll 16
      for (int v = 0; v < kVecs; ++v) {
        shifts[v] = D::load(shift + c + v * kLanes);
        sums[v] = square[v] = D::zero();
      }
      for (std::ptrdiff_t r = 0; r < count; ++r, x += row) {
#pragma GCC unroll 16
        for (int v = 0; v < kVecs; ++v) {
          Vec d = D::load(x + v * kLanes);
          if (v * kLanes * sizeof(T) % 64 == 0) {
            D::prefetch(reinterpret_cast<const char*>(x + v * kLanes + kRowsAhead * row));
          }
          if constexpr (kSquares) {
            d = D::sub(d, shifts[v]);
            square[v] = D::fma(d, d, square[v]);
          }
          sums[v] = D::add(sums[v], d);
        }
      }
#pragma GCC unroll 16
      for (int v = 0; v < kVecs; ++v) {
        add_to(sum + c + v * kLanes, sums[v]);
        if constexpr (kSquares) add_to(squares + c + v * kLanes, square[v]);
      }
    }

    /// The columns that do not fill a vector: the missing lanes hold zeros throughout.
    template <bool kSquares>
    [[gnu::noinline]] void partial(const T* x, std::ptrdiff_t row, std::ptrdiff_t count,
                                   std::ptrdiff_t c, int columns) {
      const Vec shifts = D::load(shift + c);
      Vec sums = D::zero(), square = D::zero();
      for (std::ptrdiff_t r = 0; r < count; ++r, x += row) {
        Vec d = D::load_partial(x, columns);
        if constexpr (kSquares) {
          d = D::sub(d, shifts);
          square = D::fma(d, d, square);
        }
        sums = D::add(sums, d);
      }
      add_to(sum + c, sums);
      add_to(squares + c, square);
    }

    /// A panel's sums join the block's here: 16 + 16 roundings in a row instead of 256.
    static void add_to(float* total, Vec x) { D::store(total, D::add(D::load(total), x)); }

    /// Adds the columns, `first` being the first one's number, to their groups.
    void fold(std::ptrdiff_t first, std::ptrdiff_t group, Moments* result) const {
      alignas(64) double mean[kTile], m2[kTile];
      const double n = static_cast<double>(rows), inverse = 1 / n;
      for (std::ptrdiff_t c = 0; c < width; ++c) {
        const double s = sum[c], m = s * inverse, rest = squares[c] - s * m;
        mean[c] = shift[c] + m;
        m2[c] = rest < 0 ? 0 : rest;  // a NaN stays
      }
      for (std::ptrdiff_t c = 0; c < width;) {
        const std::ptrdiff_t g = (first + c) / group;
        const std::ptrdiff_t end = smaller((g + 1) * group - first, width);
        // Again deviations from one of the values; in float64, so that any will do.
        const double columns = static_cast<double>(end - c), near = mean[c];
        double deviations = 0, between = 0, within = 0;
        for (std::ptrdiff_t i = c; i < end; ++i) {
          const double d = mean[i] - near;
          deviations += d;
          between += d * d;
          within += m2[i];
        }
        Moments all = from_shifted(columns, near, deviations, between);
        all.count *= n;
        all.m2 = within + n * all.m2;
        result[g] = combine(result[g], all);
        c = end;
      }
    }
  };
};

}  // namespace
}  // namespace mobilevd::kernels
