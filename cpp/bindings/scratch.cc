#include "bindings/scratch.h"

#include <new>

namespace mobilevd::bindings {
namespace {

constexpr std::align_val_t kAlignment{64};

struct Memory {
  ~Memory() { ::operator delete(data, kAlignment); }
  void* data = nullptr;
  std::size_t size = 0;
};

}  // namespace

void* thread_scratch(std::size_t bytes) {
  thread_local Memory memory;
  if (bytes == 0) return nullptr;
  if (memory.size < bytes) {
    ::operator delete(memory.data, kAlignment);
    memory.data = nullptr;
    memory.size = 0;
    memory.data = ::operator new(bytes, kAlignment);
    memory.size = bytes;
  }
  return memory.data;
}

}  // namespace mobilevd::bindings
