#pragma once

#include <cstddef>

// Include only after an ISA's header, in that ISA's translation unit.
namespace mobilevd::kernels {
namespace {

/// Walks over the next chunk of several strided arrays, a few cache lines at each step, so that a
/// kernel can strew the prefetches of chunk n+1 between the arithmetic of chunk n.
///
/// Why row by row and not all rows of one head: the rows (one per frame) lie in different pages, 3
/// arrays x 14 frames of them, more than the hardware's stream detectors can follow. A run of 8
/// lines in one page lets the detector lock on, and a few lines per step keep the fill buffers
/// from blocking the loads of the arithmetic. Measured best: runs of 512 bytes, 4 lines per step.
class ChunkPrefetcher {
 public:
  static constexpr int kLineBytes = 64;
  static constexpr int kLinesPerStep = 4;
  static constexpr int kChunkBytes = 512;
  static constexpr int kArrays = 3;

  struct Array {
    const char* data;       ///< first byte of the chunk in row 0
    std::ptrdiff_t stride;  ///< bytes from row to row
    std::ptrdiff_t bytes;   ///< bytes of the chunk in each row
  };

  void start(const Array (&arrays)[kArrays], int rows) {
    for (int i = 0; i < kArrays; ++i) arrays_[i] = arrays[i];
    rows_ = rows;
    array_ = 0;
    enter_array();
  }

  bool done() const { return array_ == kArrays; }

  template <typename D>
  void step() {
    if (done()) return;
    const char* p = row_data_ + offset_;
    for (int i = 0; i < kLinesPerStep; ++i) D::prefetch(p + i * kLineBytes);
    offset_ += kLinesPerStep * kLineBytes;
    if (offset_ < arrays_[array_].bytes) return;
    offset_ = 0;
    row_data_ += arrays_[array_].stride;
    if (++row_ < rows_) return;
    ++array_;
    if (!done()) enter_array();
  }

  template <typename D>
  void finish() {
    while (!done()) step<D>();
  }

 private:
  void enter_array() {
    row_data_ = arrays_[array_].data;
    row_ = 0;
    offset_ = 0;
  }

  Array arrays_[kArrays] = {};
  const char* row_data_ = nullptr;
  std::ptrdiff_t offset_ = 0;
  int array_ = kArrays;
  int row_ = 0;
  int rows_ = 0;
};

}  // namespace
}  // namespace mobilevd::kernels
