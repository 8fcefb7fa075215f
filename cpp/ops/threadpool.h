#pragma once

#include <cstddef>
#include <cstdint>

// ExecuTorch exports its pool but its package (1.5) does not ship threadpool.h.
namespace executorch::extension::threadpool {
class ThreadPool {
 public:
  size_t get_thread_count() const;
  bool _unsafe_reset_threadpool(uint32_t);
};
ThreadPool* get_threadpool();
}  // namespace executorch::extension::threadpool
