#include "bindings/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace mobilevd {
namespace {

/// Plain counters: a piece given out twice is a race that the thread sanitizer sees.
void expect_each_item_once(std::size_t n, std::size_t grain) {
  std::vector<int> seen(n, 0);
  ThreadPool::global().parallel_for(n, grain, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) ++seen[i];
  });
  for (std::size_t i = 0; i < n; ++i) ASSERT_EQ(seen[i], 1) << "item " << i << " of " << n;
}

TEST(ThreadPool, EveryItemOnceForAnySizeAndGrain) {
  for (const std::size_t size : {1, 2, 3, 8}) {
    ThreadPool::global().set_size(size);
    EXPECT_EQ(ThreadPool::global().size(), size);
    for (const std::size_t n : {0, 1, 2, 7, 1000}) {
      for (const std::size_t grain : {0, 1, 3, 5000}) expect_each_item_once(n, grain);
    }
  }
}

TEST(ThreadPool, CallsAndResizesFromSeveralThreads) {
  std::atomic<bool> stop{false};
  std::thread resizer([&] {
    for (std::size_t size = 1; !stop; size = size % 4 + 1) {
      ThreadPool::global().set_size(size);
      std::this_thread::yield();
    }
  });
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 3; ++caller) {
    callers.emplace_back([] {
      for (int call = 0; call < 200; ++call) expect_each_item_once(64, 1);
    });
  }
  for (std::thread& caller : callers) caller.join();
  stop = true;
  resizer.join();
}

TEST(ThreadPool, ACallFromInsideACallRunsOnItsOwnThread) {
  ThreadPool::global().set_size(4);
  std::atomic<int> items{0};
  ThreadPool::global().parallel_for(8, 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      ThreadPool::global().parallel_for(
          5, 1, [&](std::size_t from, std::size_t to) { items += static_cast<int>(to - from); });
    }
  });
  EXPECT_EQ(items, 40);
}

}  // namespace
}  // namespace mobilevd
