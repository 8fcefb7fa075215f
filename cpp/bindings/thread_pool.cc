#include "bindings/thread_pool.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>

namespace mobilevd {
namespace {

std::size_t usable_cpus() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) {
    return std::max(1, CPU_COUNT(&set));
  }
#endif
  return std::max(1u, std::thread::hardware_concurrency());
}

/// One parallel_for call: its pieces are taken until none is left.
struct Job {
  std::size_t n, piece;
  const kernels::RangeFn* body;
  std::atomic<std::size_t> next{0};

  void work() {
    for (std::size_t begin; (begin = next.fetch_add(piece)) < n;) {
      (*body)(begin, std::min(begin + piece, n));
    }
  }
};

}  // namespace

struct ThreadPool::Crew {
  explicit Crew(std::size_t threads) : size(threads) {}

  std::mutex call;  // held by the call that uses the threads
  std::atomic<std::size_t> size;

  std::mutex mutex;  // guards what follows
  std::condition_variable wake, idle;
  std::vector<std::thread> threads;
  Job* job = nullptr;
  std::size_t wanted = 0;  // threads that may still join the job
  std::size_t busy = 0;
  bool stop = false;

  void run() {
    std::unique_lock<std::mutex> lock(mutex);
    for (;;) {
      wake.wait(lock, [&] { return stop || (job != nullptr && wanted > 0); });
      if (stop) return;
      Job* const mine = job;
      --wanted;
      ++busy;
      lock.unlock();
      mine->work();
      lock.lock();
      if (--busy == 0) idle.notify_one();
    }
  }

  void start(std::size_t count) {
    while (threads.size() < count) threads.emplace_back([this] { run(); });
  }

  void join() {
    {
      const std::lock_guard<std::mutex> lock(mutex);
      stop = true;
    }
    wake.notify_all();
    for (std::thread& thread : threads) thread.join();
    threads.clear();
    stop = false;
  }
};

namespace {
/// Set in a forked child, where the pool's threads do not exist.
std::atomic<bool> forked{false};
}  // namespace

ThreadPool& ThreadPool::global() {
  // Never destroyed: at exit other threads may still be inside, and joining from a static
  // destructor can deadlock with the interpreter's own shutdown.
  static ThreadPool* const pool = [] {
    pthread_atfork(nullptr, nullptr, [] { forked.store(true); });
    return new ThreadPool(usable_cpus());
  }();
  return *pool;
}

ThreadPool::ThreadPool(std::size_t size) : crew_(new Crew(size)) {}
ThreadPool::~ThreadPool() = default;

void ThreadPool::check_fork() {
  if (!forked.exchange(false)) return;
  crew_ = new Crew(crew_->size);  // the old one is left alone: its locks may be held for ever
}

void ThreadPool::set_size(std::size_t size) {
  check_fork();
  const std::lock_guard<std::mutex> call(crew_->call);
  size = std::max<std::size_t>(1, size);
  if (size - 1 < crew_->threads.size()) crew_->join();
  crew_->size = size;
}

std::size_t ThreadPool::size() const { return crew_->size; }

void ThreadPool::parallel_for(std::size_t n, std::size_t grain, kernels::RangeFn body) {
  if (n == 0) return;
  check_fork();
  Crew& crew = *crew_;
  grain = std::max<std::size_t>(1, grain);
  const std::size_t helpers = std::min<std::size_t>(crew.size, (n + grain - 1) / grain) - 1;
  std::unique_lock<std::mutex> call(crew.call, std::defer_lock);
  if (helpers == 0 || !call.try_lock()) return body(0, n);

  // Four pieces a thread: one that is late (a busy core) costs a quarter of its share.
  Job job{n, std::max(grain, (n + 4 * helpers + 3) / (4 * (helpers + 1))), &body};
  {
    const std::lock_guard<std::mutex> lock(crew.mutex);
    crew.start(helpers);
    crew.job = &job;
    crew.wanted = helpers;
  }
  crew.wake.notify_all();
  job.work();
  std::unique_lock<std::mutex> lock(crew.mutex);
  crew.job = nullptr;  // nobody joins any more
  crew.wanted = 0;
  crew.idle.wait(lock, [&] { return crew.busy == 0; });
}

}  // namespace mobilevd
