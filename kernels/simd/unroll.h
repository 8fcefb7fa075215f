#pragma once

#include <type_traits>
#include <utility>

// Include only in an ISA's translation unit.
namespace mobilevd::kernels {
namespace {

/// std::min and std::max would be weak symbols compiled with this unit's flags, and the linker may
/// then pick them for code that runs on any CPU.
template <typename T>
inline T smaller(T a, T b) {
  return b < a ? b : a;
}
template <typename T>
inline T larger(T a, T b) {
  return a < b ? b : a;
}

/// Calls `fn(std::integral_constant<int, i>)` for i = 0 .. n-1, unrolled before the optimiser
/// looks: where GCC unrolls a loop too late, an array of registers indexed in it stays in memory.
template <typename Fn, int... i>
[[gnu::always_inline]] inline void for_each_index(Fn&& fn, std::integer_sequence<int, i...>) {
  (fn(std::integral_constant<int, i>()), ...);
}
template <int n, typename Fn>
[[gnu::always_inline]] inline void for_each_index(Fn&& fn) {
  for_each_index(fn, std::make_integer_sequence<int, n>());
}

/// Calls `fn(std::integral_constant<int, n>)` for the run-time 1 <= n <= Max: how a block size
/// known at run time becomes a template argument, and so registers instead of arrays.
template <int Max, typename Fn>
inline void with_count(int n, Fn&& fn) {
  if constexpr (Max > 1) {
    if (n < Max) return with_count<Max - 1>(n, fn);
  }
  fn(std::integral_constant<int, Max>());
}

/// Size of part `index` when `total` is cut into the fewest parts of at most `most`, evenly: 14 by
/// 6 gives 5, 5, 4 rather than 6, 6, 2.
inline int part_count(int total, int most) { return (total + most - 1) / most; }
inline int part_begin(int total, int parts, int index) { return total * index / parts; }

}  // namespace
}  // namespace mobilevd::kernels
