#pragma once

#include <executorch/runtime/kernel/thread_parallel_interface.h>

#include <cstddef>
#include <cstdint>

#include "mobilevd/kernels/parallel.h"

namespace mobilevd::ops {

/// ExecuTorch's thread pool as a kernels::ParallelFor.
inline constexpr auto executorch_parallel_for = [](std::size_t n, std::size_t grain,
                                                   kernels::RangeFn body) {
  if (n == 0) return;
  const auto range = [&](int64_t begin, int64_t end) {
    body(static_cast<std::size_t>(begin), static_cast<std::size_t>(end));
  };
  executorch::extension::parallel_for(0, static_cast<int64_t>(n),
                                      grain == 0 ? 1 : static_cast<int64_t>(grain), range);
};

/// Threads that executorch_parallel_for uses, for kernels that are told in how many lanes to cut.
int executorch_lanes();

}  // namespace mobilevd::ops
