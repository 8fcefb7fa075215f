#include "runtime/threads.h"

#include <sched.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <mutex>
#include <thread>
#include <vector>

#include "ops/threadpool.h"
#include "runtime/error.h"

namespace mobilevd {
namespace {

// Held while the pool is replaced, so that no stage starts meanwhile.
std::mutex pool_mutex;
int living_stages = 0;
bool size_was_asked_for = false;

int usable_core_count() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) return CPU_COUNT(&set);
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

}  // namespace

StageLease::StageLease() {
  const std::lock_guard<std::mutex> lock(pool_mutex);
  ++living_stages;
}

StageLease::~StageLease() {
  const std::lock_guard<std::mutex> lock(pool_mutex);
  --living_stages;
}

int performance_core_count(const std::string& cpu_folder) {
  std::vector<long> frequencies;
  for (int core = 0; core < 1024; ++core) {
    std::ifstream file(cpu_folder + "/cpu" + std::to_string(core) + "/cpufreq/cpuinfo_max_freq");
    long kilohertz = 0;
    if (!(file >> kilohertz)) break;
    frequencies.push_back(kilohertz);
  }
  const int usable = usable_core_count();
  if (frequencies.empty()) return usable;
  const long fastest = *std::max_element(frequencies.begin(), frequencies.end());
  const auto fast = std::count_if(frequencies.begin(), frequencies.end(),
                                  [&](long f) { return f * 10 >= fastest * 8; });
  return std::min(usable, static_cast<int>(fast));
}

namespace {

executorch::extension::threadpool::ThreadPool& shared_pool() {
  auto* pool = executorch::extension::threadpool::get_threadpool();
  if (pool == nullptr) throw Error("ExecuTorch has no thread pool in this build");
  return *pool;
}

}  // namespace

int thread_count() {
  const std::lock_guard<std::mutex> lock(pool_mutex);
  return static_cast<int>(shared_pool().get_thread_count());
}

void set_threads(int threads) {
  if (threads < 0 || threads > 1024) {
    throw Error("threads must be between 1 and 1024", Error::Kind::kUsage);
  }
  const std::lock_guard<std::mutex> lock(pool_mutex);
  auto& pool = shared_pool();
  const bool asked_for = threads != 0;
  if (!asked_for) {
    if (size_was_asked_for || living_stages > 0) return;
    threads = performance_core_count();
  }
  if (pool.get_thread_count() != static_cast<std::size_t>(threads)) {
    if (living_stages > 0) {
      throw Error(
          "the number of threads can't change while a pipeline keeps its stages loaded; "
          "release it first",
          Error::Kind::kUsage);
    }
    if (!pool._unsafe_reset_threadpool(static_cast<std::uint32_t>(threads))) {
      throw Error("cannot start " + std::to_string(threads) + " threads");
    }
  }
  size_was_asked_for = size_was_asked_for || asked_for;
}

}  // namespace mobilevd
