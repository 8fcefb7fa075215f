#pragma once

#include <executorch/runtime/kernel/kernel_includes.h>

#include <cstddef>

namespace mobilevd::ops {

/// `bytes` of the program's temporary memory, 64-byte aligned, in *scratch (null for 0 bytes). When
/// there is none: says so for `kernel`, fails its call with MemoryAllocationFailed, returns false.
inline bool allocate_scratch(executorch::runtime::KernelRuntimeContext& context, const char* kernel,
                             std::size_t bytes, void** scratch) {
  *scratch = nullptr;
  if (bytes == 0) return true;
  const auto memory = context.allocate_temp(bytes, 64);
  if (!memory.ok()) {
    ET_LOG(Error, "%s: no %zu bytes of temporary memory", kernel, bytes);
    context.fail(executorch::runtime::Error::MemoryAllocationFailed);
    return false;
  }
  *scratch = *memory;
  return true;
}

}  // namespace mobilevd::ops
