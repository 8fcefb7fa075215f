#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "mobilevd/kernels/parallel.h"

// Included by <kernel>.cc only, never by an ISA's unit.
namespace mobilevd::kernels {

/// Scratch that the caller passed, cut in equal shares, one for each thread that may work at once.
/// Shares are what parallel_for hands out, since it does not say which thread runs what; whoever
/// has one takes tile after tile from a counter, so a thread on a slow core takes fewer.
class Shares {
 public:
  /// `share_bytes` is a multiple of 64; shares are aligned to 64 bytes.
  Shares(void* scratch, std::size_t bytes, std::size_t share_bytes, std::size_t most)
      : share_bytes_(share_bytes) {
    const auto address = reinterpret_cast<std::uintptr_t>(scratch);
    const std::size_t skipped = (address + 63) / 64 * 64 - address;
    if (scratch == nullptr || bytes < skipped) return;
    begin_ = static_cast<char*>(scratch) + skipped;
    count_ = std::min((bytes - skipped) / share_bytes, most);
  }

  std::size_t count() const { return count_; }

  /// Calls work(tile, its share) for each tile.
  template <typename Work>
  void run(ParallelFor parallel_for, std::int64_t tiles, Work&& work) const {
    std::atomic<std::int64_t> next{0};
    parallel_for(count_, 1, [&](std::size_t begin, std::size_t end) {
      for (std::size_t share = begin; share < end; ++share) {
        for (std::int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < tiles;) {
          work(i, begin_ + share * share_bytes_);
        }
      }
    });
  }

 private:
  char* begin_ = nullptr;
  std::size_t count_ = 0;
  std::size_t share_bytes_;
};

}  // namespace mobilevd::kernels
