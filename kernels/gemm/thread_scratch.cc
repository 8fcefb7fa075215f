#include "gemm/thread_scratch.h"

#include <memory>
#include <new>

namespace mobilevd::kernels {
namespace {

constexpr std::align_val_t kAlignment{64};

struct Free {
  void operator()(float* data) const { ::operator delete[](data, kAlignment); }
};

}  // namespace

float* thread_scratch(std::size_t floats) {
  static thread_local std::unique_ptr<float[], Free> scratch;
  static thread_local std::size_t size = 0;
  if (floats > size) {
    scratch.reset();
    scratch.reset(
        static_cast<float*>(::operator new[](floats * sizeof(float), kAlignment, std::nothrow)));
    size = scratch == nullptr ? 0 : floats;
  }
  return scratch.get();
}

}  // namespace mobilevd::kernels
