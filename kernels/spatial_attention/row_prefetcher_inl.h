#pragma once

#include <cstddef>
#include <cstdint>

#include "simd/unroll.h"

// Include only after an ISA's header, in that ISA's translation unit.
namespace mobilevd::kernels {
namespace {

/// Fetches rows of a few arrays into the second-level cache, four lines at a time, strewn between
/// the arithmetic on others. A head's rows lie C elements apart: short pieces of many pages, which
/// the hardware does not foresee; more lines at once would wait for the fill buffers.
class RowPrefetcher {
 public:
  /// Forgets what was asked for.
  void clear() {
    count_ = at_ = 0;
    pieces_ = 0;
  }

  /// `rows` of at most 512 bytes, `row` elements apart; at most four times.
  template <typename T>
  void add(const T* data, std::ptrdiff_t row, std::ptrdiff_t rows, int width) {
    if (rows <= 0) return;
    const auto* first = reinterpret_cast<const char*>(data);
    first -= reinterpret_cast<std::uintptr_t>(first) % kLine;
    const auto* const last = reinterpret_cast<const char*>(data + width);
    for (; first < last; first += kPiece, pieces_ += rows) {
      columns_[count_++] = {first, row * static_cast<std::ptrdiff_t>(sizeof(T)), rows};
    }
  }

  /// Spreads all of it over `steps` >= 1 calls of step().
  void start(std::ptrdiff_t steps) {
    every_ = pieces_ > 0 ? larger<std::ptrdiff_t>(1, steps / pieces_) : steps;
    at_once_ = static_cast<int>((pieces_ + steps - 1) / steps);
    countdown_ = every_;
  }

  template <typename D>
  [[gnu::always_inline]] void step() {
    if (--countdown_ > 0) return;
    countdown_ = every_;
    for (int i = 0; i < at_once_ && at_ < count_; ++i) {
      Column& column = columns_[at_];
      // Not a loop: GCC takes one that only prefetches for dead.
      D::prefetch(column.at);
      D::prefetch(column.at + kLine);
      D::prefetch(column.at + 2 * kLine);
      D::prefetch(column.at + 3 * kLine);
      column.at += column.row;
      if (--column.rows == 0) ++at_;
    }
  }

 private:
  static constexpr int kLine = 64;
  static constexpr int kPiece = 4 * kLine;
  /// Pieces of four lines, one below the other (what is too much belongs to the next head).
  struct Column {
    const char* at;
    std::ptrdiff_t row;  ///< bytes from row to row
    std::ptrdiff_t rows;
  };
  Column columns_[4 * 3];
  std::ptrdiff_t pieces_ = 0, every_ = 1, countdown_ = 1;
  int count_ = 0, at_ = 0, at_once_ = 0;
};

}  // namespace
}  // namespace mobilevd::kernels
