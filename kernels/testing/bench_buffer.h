#pragma once

#include <cstddef>
#include <new>
#include <random>

namespace mobilevd::kernels {

/// Floats of a benchmark: page-aligned, as frameworks align tensors to 64 bytes, and written to
/// once, so that no page fault is measured.
class BenchBuffer {
 public:
  explicit BenchBuffer(std::size_t size)
      : data_(new (std::align_val_t{4096}) float[size]()), size_(size) {}
  ~BenchBuffer() { ::operator delete[](data_, std::align_val_t{4096}); }
  BenchBuffer(const BenchBuffer&) = delete;
  BenchBuffer& operator=(const BenchBuffer&) = delete;

  float* data() { return data_; }
  void fill(float magnitude = 1) {
    std::mt19937 generator(1);
    std::uniform_real_distribution<float> uniform(-magnitude, magnitude);
    for (std::size_t i = 0; i < size_; ++i) data_[i] = uniform(generator);
  }

 private:
  float* data_;
  std::size_t size_;
};

}  // namespace mobilevd::kernels
