#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>

// Checks that every kernel makes of its arguments.
namespace mobilevd::kernels {

/// The product of non-negative sizes and `element` bytes, or false when it leaves int64.
inline bool array_bytes(std::initializer_list<std::int64_t> sizes, std::size_t element,
                        std::int64_t* bytes) {
  std::int64_t product = static_cast<std::int64_t>(element);
  for (const std::int64_t size : sizes) {
    if (size != 0 && product > std::numeric_limits<std::int64_t>::max() / size) return false;
    product *= size;
  }
  *bytes = product;
  return true;
}

inline bool overlap(const void* a, std::int64_t a_bytes, const void* b, std::int64_t b_bytes) {
  const auto x = reinterpret_cast<std::uintptr_t>(a), y = reinterpret_cast<std::uintptr_t>(b);
  return x < y + static_cast<std::uintptr_t>(b_bytes) &&
         y < x + static_cast<std::uintptr_t>(a_bytes);
}

}  // namespace mobilevd::kernels
