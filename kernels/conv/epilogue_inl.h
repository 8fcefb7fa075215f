#pragma once

#include <cstddef>

#include "mobilevd/kernels/conv.h"
#include "simd/silu.h"

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
  if (epilogue.silu) sums = silu<D>(sums);
  if (whole) {
    D::store(out + offset, sums);
  } else {
    D::store_partial(out + offset, sums, n);
  }
}

}  // namespace
}  // namespace mobilevd::kernels
