#pragma once

#include <cstdlib>

namespace mobilevd::kernels {

/// Whether a test's loop over many shapes may leave out its case number `n`. Under qemu and
/// valgrind, 20 to 100 times slower than the CPU, MOBILEVD_TEST_EVERY=k keeps every k-th case only.
inline bool left_out(unsigned n) {
  static const unsigned every = [] {
    const char* const text = std::getenv("MOBILEVD_TEST_EVERY");
    const int k = text == nullptr ? 1 : std::atoi(text);
    return k < 1 ? 1u : static_cast<unsigned>(k);
  }();
  return n % every != 0;
}

}  // namespace mobilevd::kernels
