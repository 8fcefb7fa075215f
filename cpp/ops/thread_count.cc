#include "ops/thread_count.h"

// ExecuTorch exports its pool but its package (1.5) does not ship threadpool.h.
namespace executorch::extension::threadpool {
class ThreadPool {
 public:
  size_t get_thread_count() const;
};
ThreadPool* get_threadpool();
}  // namespace executorch::extension::threadpool

namespace mobilevd::ops {

std::size_t executorch_thread_count() {
  const auto* pool = executorch::extension::threadpool::get_threadpool();
  return pool == nullptr ? 1 : pool->get_thread_count();
}

}  // namespace mobilevd::ops
