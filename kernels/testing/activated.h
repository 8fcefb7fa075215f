#pragma once

#include <algorithm>
#include <cmath>

#include "mobilevd/kernels/conv.h"

namespace mobilevd::kernels::testing_isa {

/// ConvActivation's definition in float64.
inline double activated(ConvActivation activation, double y) {
  if (activation == ConvActivation::kSilu) return y / (1 + std::exp(-y));
  return activation == ConvActivation::kRelu ? std::max(y, 0.0) : y;
}

}  // namespace mobilevd::kernels::testing_isa
