#include "ops/parallel.h"

#include <algorithm>

#include "ops/threadpool.h"

namespace mobilevd::ops {

int executorch_lanes() {
  const auto* const pool = executorch::extension::threadpool::get_threadpool();
  const std::size_t threads = pool == nullptr ? 1 : pool->get_thread_count();
  return static_cast<int>(std::clamp<std::size_t>(threads, 1, 1024));
}

}  // namespace mobilevd::ops
