#include "ops/op_counter.h"

#include <algorithm>
#include <cstring>

namespace mobilevd::ops {
namespace {

/// Filled while the library is loaded, only read afterwards.
std::vector<const OpCounter*>& counters() {
  static std::vector<const OpCounter*> all;
  return all;
}

}  // namespace

OpCounter::OpCounter(const char* name) : name_(name) { counters().push_back(this); }

OpCount OpCounter::read() const {
  return {name_, kernels::isa_name(isa_.load(std::memory_order_relaxed)),
          calls_.load(std::memory_order_relaxed), nanoseconds_.load(std::memory_order_relaxed)};
}

OpCounter::Call::~Call() {
  const auto taken = std::chrono::steady_clock::now() - start_;
  counter_.nanoseconds_.fetch_add(static_cast<uint64_t>(std::chrono::nanoseconds(taken).count()),
                                  std::memory_order_relaxed);
  counter_.isa_.store(kernels::last_isa(), std::memory_order_relaxed);
  counter_.calls_.fetch_add(1, std::memory_order_relaxed);
}

std::vector<OpCount> op_counts() {
  std::vector<OpCount> counts;
  for (const OpCounter* counter : counters()) counts.push_back(counter->read());
  std::sort(counts.begin(), counts.end(),
            [](const OpCount& a, const OpCount& b) { return std::strcmp(a.name, b.name) < 0; });
  return counts;
}

std::vector<OpCount> calls_between(const std::vector<OpCount>& before,
                                   const std::vector<OpCount>& after) {
  std::vector<OpCount> called;
  for (std::size_t i = 0; i < after.size(); ++i) {
    OpCount count = after[i];
    count.calls -= before[i].calls;
    count.nanoseconds -= before[i].nanoseconds;
    if (count.calls > 0) called.push_back(count);
  }
  return called;
}

}  // namespace mobilevd::ops
