#pragma once

#include <cstddef>

namespace mobilevd::ops {

/// Threads that executorch_parallel_for uses at most.
std::size_t executorch_thread_count();

}  // namespace mobilevd::ops
