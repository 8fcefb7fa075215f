#pragma once

#include <cstdint>

namespace mobilevd::kernels {

/// IEEE 754 binary16 as it lies in memory; the kernels convert, so no compiler support is needed.
struct Half {
  std::uint16_t bits;
};
static_assert(sizeof(Half) == 2, "Half must be the storage type itself");

}  // namespace mobilevd::kernels
