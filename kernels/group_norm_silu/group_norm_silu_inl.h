#pragma once

#include <cstddef>
#include <type_traits>

#include "group_norm_silu/group_moments_inl.h"
#include "group_norm_silu/group_norm_silu_internal.h"
#include "simd/silu.h"

// Include only after an ISA's header, in that ISA's translation unit.
namespace mobilevd::kernels {
namespace {

/// The second pass, written once for every ISA D (simd/): (x - mean) * scale + shift, not
/// x * scale + shift', which would cancel where the mean is large. It goes line by line: one
/// prefetch each. (Prefetches past the arrays' ends are harmless.)
template <typename D, typename T>
class GroupNormSiluKernel {
  using Vec = typename D::Vec;
  static constexpr int kLanes = D::kLanes;
  static constexpr std::ptrdiff_t kLine = 64 / sizeof(T);
  static constexpr std::ptrdiff_t kWriteAhead = 1024;  ///< bytes

 public:
  static void normalise_rows(const GroupNormSiluRectangle<T>& t) {
    with_flags(t, [&](auto silu, auto stream) { rows<decltype(silu), decltype(stream)>(t); });
  }

  static void normalise_columns(const GroupNormSiluRectangle<T>& t) {
    with_flags(t, [&](auto silu, auto stream) { columns<decltype(silu), decltype(stream)>(t); });
  }

 private:
  template <typename Fn>
  static void with_flags(const GroupNormSiluRectangle<T>& t, Fn&& fn) {
    if (t.silu) {
      t.stream ? fn(std::true_type(), std::true_type()) : fn(std::true_type(), std::false_type());
    } else {
      t.stream ? fn(std::false_type(), std::true_type()) : fn(std::false_type(), std::false_type());
    }
  }

  template <typename Silu>
  static Vec finish(Vec x, Vec mean, Vec scale, Vec shift) {
    const Vec y = D::fma(D::sub(x, mean), scale, shift);
    if constexpr (Silu::value) {
      return silu<D>(y);
    } else {
      return y;
    }
  }

  template <typename Stream>
  static void put(T* out, Vec y) {
    if constexpr (Stream::value) {
      D::stream(out, y);
    } else {
      D::store(out, y);
    }
  }

  /// The line of out a little further on, too: a store waits for its line to be fetched, and few
  /// fetches of that kind are under way at a time.
  template <typename Stream>
  static void prefetch(const T* x, const T* out) {
    D::prefetch(reinterpret_cast<const char*>(x));
    if constexpr (!Stream::value) {
      D::prefetch_to_write(reinterpret_cast<const char*>(out) + kWriteAhead);
    }
  }

  template <typename Silu, typename Stream>
  [[gnu::noinline]] static void rows(const GroupNormSiluRectangle<T>& t) {
    const T* x = t.x;
    T* out = t.out;
    const std::ptrdiff_t width = t.width, ahead = t.ahead;
    for (std::ptrdiff_t r = 0; r < t.rows; ++r, x += t.row, out += t.row) {
      const Vec mean = D::broadcast(t.mean + r), scale = D::broadcast(t.scale + r),
                shift = D::broadcast(t.shift + r);
      std::ptrdiff_t i = 0;
      for (; i + kLine <= width; i += kLine) {
        prefetch<Stream>(x + i + ahead, out + i);
#pragma GCC unroll 8
        for (int v = 0; v < kLine; v += kLanes) {
          put<Stream>(out + i + v, finish<Silu>(D::load(x + i + v), mean, scale, shift));
        }
      }
      for (; i + kLanes <= width; i += kLanes) {
        put<Stream>(out + i, finish<Silu>(D::load(x + i), mean, scale, shift));
      }
      if (i < width) {
        const int n = static_cast<int>(width - i);
        D::store_partial(out + i, finish<Silu>(D::load_partial(x + i, n), mean, scale, shift), n);
      }
    }
    if constexpr (Stream::value) D::stream_fence();
  }

  template <typename Silu, typename Stream>
  [[gnu::noinline]] static void columns(const GroupNormSiluRectangle<T>& t) {
    const T* x = t.x;
    T* out = t.out;
    const float *mean = t.mean, *scale = t.scale, *shift = t.shift;
    const std::ptrdiff_t width = t.width, ahead = t.ahead;
    const auto at = [&](std::ptrdiff_t i, Vec value) {
      return finish<Silu>(value, D::load(mean + i), D::load(scale + i), D::load(shift + i));
    };
    for (std::ptrdiff_t r = 0; r < t.rows; ++r, x += t.row, out += t.row) {
      std::ptrdiff_t i = 0;
      for (; i + kLine <= width; i += kLine) {
        prefetch<Stream>(x + i + ahead, out + i);
#pragma GCC unroll 8
        for (int v = 0; v < kLine; v += kLanes) {
          put<Stream>(out + i + v, at(i + v, D::load(x + i + v)));
        }
      }
      for (; i + kLanes <= width; i += kLanes) put<Stream>(out + i, at(i, D::load(x + i)));
      if (i < width) {  // the coefficients' arrays end with whole vectors
        const int n = static_cast<int>(width - i);
        D::store_partial(out + i, at(i, D::load_partial(x + i, n)), n);
      }
    }
    if constexpr (Stream::value) D::stream_fence();
  }
};

template <typename D, typename P>
void group_norm_coefficients(const P* weight, const P* bias, std::ptrdiff_t count,
                             const GroupStatistics& group, float* mean, float* scale,
                             float* shift) {
  const auto means = D::set(group.mean), rstd = D::set(group.rstd), less = D::set(-group.rest);
  const auto load = [&](const P* p, std::ptrdiff_t i) {
    const std::ptrdiff_t left = count - i;
    return left >= D::kLanes ? D::load(p + i) : D::load_partial(p + i, static_cast<int>(left));
  };
  for (std::ptrdiff_t i = 0; i < count; i += D::kLanes) {
    const auto scales = weight == nullptr ? rstd : D::mul(load(weight, i), rstd);
    D::store(mean + i, means);
    D::store(scale + i, scales);
    D::store(shift + i, D::fma(less, scales, bias == nullptr ? D::zero() : load(bias, i)));
  }
}

template <typename D, typename T>
constexpr GroupNormSiluFunctions<T> group_norm_silu_functions() {
  using Kernel = GroupNormSiluKernel<D, T>;
  return {GroupMoments<D, T>::moments, GroupMoments<D, T>::column_moments, Kernel::normalise_rows,
          Kernel::normalise_columns};
}

template <typename D>
constexpr GroupNormSiluVariant group_norm_silu_variant() {
  return {group_norm_silu_functions<D, float>(), group_norm_silu_functions<D, Half>(),
          group_norm_coefficients<D, float>, group_norm_coefficients<D, Half>};
}

}  // namespace
}  // namespace mobilevd::kernels
