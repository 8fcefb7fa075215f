#pragma once

#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "mobilevd/kernels/parallel.h"

namespace mobilevd {

/// The parallel-for of the Python bindings: persistent threads that take pieces of [0, n) from one
/// counter. The calling thread works too, so a pool of size n holds n - 1 threads; they are started
/// by the first call that has work for them.
///
/// One call at a time uses the threads: a call that finds them busy (from another Python thread)
/// runs on its own thread. After fork() the child has none of the parent's threads; the pool
/// notices and starts new ones. A fork while another thread is inside a kernel is safe for the
/// child as long as it calls set_size() or parallel_for() from one thread first.
class ThreadPool {
 public:
  /// The process's pool, sized to the CPUs this process may use.
  static ThreadPool& global();

  /// Threads used by one call, at least 1; a change waits for the call under way.
  void set_size(std::size_t size);
  std::size_t size() const;

  /// A mobilevd::kernels::ParallelFor.
  void parallel_for(std::size_t n, std::size_t grain, kernels::RangeFn body);

 private:
  struct Crew;

  explicit ThreadPool(std::size_t size);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  void check_fork();

  /// Replaced, never reused, in a forked child: its mutex may be held by a thread that is gone.
  Crew* crew_;
};

}  // namespace mobilevd
