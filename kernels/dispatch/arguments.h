#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>

// Checks of a kernel's arguments; included by <kernel>.cc only, never by an ISA's unit.
namespace mobilevd::kernels {

/// *product = a * b for non-negative numbers, or false when it leaves int64.
inline bool multiply(std::int64_t a, std::int64_t b, std::int64_t* product) {
  if (b != 0 && a > std::numeric_limits<std::int64_t>::max() / b) return false;
  *product = a * b;
  return true;
}

/// The product of non-negative sizes and `element` bytes, or false when it leaves int64.
inline bool array_bytes(std::initializer_list<std::int64_t> sizes, std::size_t element,
                        std::int64_t* bytes) {
  *bytes = static_cast<std::int64_t>(element);
  for (const std::int64_t size : sizes) {
    if (!multiply(*bytes, size, bytes)) return false;
  }
  return true;
}

/// Whether two arrays share a byte.
inline bool overlap(const void* a, std::int64_t a_bytes, const void* b, std::int64_t b_bytes) {
  const auto x = reinterpret_cast<std::uintptr_t>(a), y = reinterpret_cast<std::uintptr_t>(b);
  return x < y + static_cast<std::uintptr_t>(b_bytes) &&
         y < x + static_cast<std::uintptr_t>(a_bytes);
}

/// A head's width that the attention kernels take.
inline bool valid_head_dim(std::int64_t d) { return d >= 8 && d <= 128 && d % 8 == 0; }

}  // namespace mobilevd::kernels
