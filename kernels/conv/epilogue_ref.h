#pragma once

#include <cmath>
#include <cstddef>

#include "mobilevd/kernels/conv.h"
#include "simd/scalar_storage.h"

namespace mobilevd::kernels {
namespace {

/// The scalar reference of epilogue_inl.h: one sum of output channel `channel`.
template <typename T>
void finish(const ConvEpilogue<T>& epilogue, float sum, std::ptrdiff_t channel,
            std::ptrdiff_t offset, T* out) {
  if (epilogue.bias != nullptr) sum += epilogue.bias[channel];
  if (epilogue.residual != nullptr) sum += widen(epilogue.residual[offset]);
  if (epilogue.activation == ConvActivation::kSilu) sum /= 1 + std::exp(-sum);
  if (epilogue.activation == ConvActivation::kRelu && sum < 0) sum = 0;
  narrow(sum, out + offset);
}

}  // namespace
}  // namespace mobilevd::kernels
