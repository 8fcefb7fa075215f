#pragma once

#include <cstddef>

#include "mobilevd/kernels/conv.h"
#include "simd/silu.h"
#include "simd/unroll.h"

namespace mobilevd::kernels {
namespace {

/// Stores sums of the output channels [channel, channel + n), n <= kLanes, at out + offset.
template <typename D, typename T>
[[gnu::always_inline]] inline void finish(const ConvEpilogue<T>& epilogue, typename D::Vec sums,
                                          std::ptrdiff_t channel, std::ptrdiff_t offset, int n,
                                          T* out) {
  const bool whole = n >= D::kLanes;
  const auto load = [&](const auto* p) { return whole ? D::load(p) : D::load_partial(p, n); };
  if (epilogue.bias != nullptr) sums = D::add(sums, load(epilogue.bias + channel));
  if (epilogue.residual != nullptr) sums = D::add(sums, load(epilogue.residual + offset));
  if (epilogue.activation == ConvActivation::kSilu) sums = silu<D>(sums);
  if (epilogue.activation == ConvActivation::kRelu) sums = D::max(D::zero(), sums);  // NaN stays
  if (whole) {
    D::store(out + offset, sums);
  } else {
    D::store_partial(out + offset, sums, n);
  }
}

/// GEMM epilogue: a block's sums are the rows from `row` on and the output channels from `channel`
/// on of `out`, which has `channels` of them.
template <typename D, typename T>
struct StoreRows {
  const ConvEpilogue<T>& epilogue;
  T* out;
  std::ptrdiff_t channels, row, channel;

  template <int kRows, int kVecs>
  void operator()(typename D::Vec (&sums)[kRows][kVecs]) const {
#pragma GCC unroll 16
    for (int v = 0; v < kVecs; ++v) {
      const std::ptrdiff_t c = channel + v * D::kLanes, n = channels - c;
      if (n <= 0) break;
#pragma GCC unroll 32
      for (int i = 0; i < kRows; ++i) {
        finish<D>(epilogue, sums[i][v], c, (row + i) * channels + c,
                  static_cast<int>(smaller<std::ptrdiff_t>(n, D::kLanes)), out);
      }
    }
  }
};

}  // namespace
}  // namespace mobilevd::kernels
