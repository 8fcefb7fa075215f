#pragma once

namespace mobilevd::kernels {
namespace {

/// Both ways of a transform: rows, then columns of a kIn x kIn block `load(row, column)` into
/// kOut x kOut results given to `store(row, column, value)`.
template <typename D, int kIn, int kOut, typename OneWay, typename Load, typename Store>
[[gnu::always_inline]] inline void transform_2d(OneWay&& one_way, Load&& load, Store&& store) {
  using Vec = typename D::Vec;
  Vec half[kOut][kIn];
#pragma GCC unroll 6
  for (int x = 0; x < kIn; ++x) {
    Vec column[kIn], result[kOut];
#pragma GCC unroll 6
    for (int y = 0; y < kIn; ++y) column[y] = load(y, x);
    one_way(column, result);
#pragma GCC unroll 6
    for (int y = 0; y < kOut; ++y) half[y][x] = result[y];
  }
#pragma GCC unroll 6
  for (int y = 0; y < kOut; ++y) {
    Vec result[kOut];
    one_way(half[y], result);
#pragma GCC unroll 6
    for (int x = 0; x < kOut; ++x) store(y, x, result[x]);
  }
}

}  // namespace
}  // namespace mobilevd::kernels
