#pragma once

#include <cstddef>

// Include only after an ISA's header, in that ISA's translation unit.
namespace mobilevd::kernels {
namespace {

constexpr std::ptrdiff_t kLineBytes = 64;

/// Fetches rows of `bytes`, `stride` bytes apart, into the second-level cache: `step_bytes` at a
/// time, less than a line adds up.
class RowFetcher {
 public:
  void start(const void* first, std::ptrdiff_t bytes, std::ptrdiff_t stride,
             std::ptrdiff_t step_bytes) {
    at_ = static_cast<const char*>(first);
    left_ = bytes_ = bytes;
    gap_ = stride - bytes;
    step_bytes_ = step_bytes;
    owed_ = 0;
  }
  void stop() { step_bytes_ = owed_ = 0; }

  template <typename D>
  [[gnu::always_inline]] void step() {
    for (owed_ += step_bytes_; owed_ > 0; owed_ -= kLineBytes) {
      D::prefetch(at_);
      at_ += kLineBytes;
      left_ -= kLineBytes;
      if (left_ <= 0) {
        at_ += left_ + gap_;
        left_ = bytes_;
      }
    }
  }

 private:
  const char* at_ = nullptr;
  std::ptrdiff_t left_ = 0, bytes_ = 0, gap_ = 0, step_bytes_ = 0, owed_ = 0;
};

/// What gemm_block() does beside its multiplications for a linear layer: it fetches the block's
/// residual, read at its end, and the rows that are packed next. In a burst at once they would
/// hold every fill buffer that the multiplications need.
struct SideWork {
  static constexpr std::ptrdiff_t kColumns = 16;

  RowFetcher rows;
  const char* residual = nullptr;
  std::ptrdiff_t residual_bytes = 0, residual_stride = 0;
  int residual_rows = 0;

  /// A row of the residual per step.
  template <typename D>
  [[gnu::always_inline]] void step() {
    if (residual_rows > 0) {
      for (std::ptrdiff_t i = 0; i < residual_bytes; i += kLineBytes) {
        D::prefetch_near(residual + i);
      }
      residual += residual_stride;
      --residual_rows;
    }
    rows.step<D>();
  }
};

}  // namespace
}  // namespace mobilevd::kernels
