#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <vector>

#include "mobilevd/kernels/dispatch.h"

namespace mobilevd::ops {

/// What an op's calls took; the strings live as long as the process.
struct OpCount {
  const char* name;  ///< "mobilevd::temporal_attention"
  const char* isa;   ///< of the kernel variant of the last call, see kernels::last_isa()
  uint64_t calls = 0;
  uint64_t nanoseconds = 0;  ///< wall time, checks and all threads' work included
};

/// Counts one op's calls for the whole process, always: two looks at the clock a call. Lives as
/// long as the process; thread-safe.
class OpCounter {
 public:
  explicit OpCounter(const char* name);
  OpCounter(const OpCounter&) = delete;
  OpCounter& operator=(const OpCounter&) = delete;

  OpCount read() const;

  /// Counts the scope it stands in as a call.
  class Call {
   public:
    explicit Call(OpCounter& counter) : counter_(counter) {}
    ~Call();
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;

   private:
    OpCounter& counter_;
    const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  };

 private:
  const char* const name_;
  std::atomic<uint64_t> calls_{0};
  std::atomic<uint64_t> nanoseconds_{0};
  std::atomic<kernels::Isa> isa_{kernels::Isa::kScalar};
};

/// Every op of this library, since the process started.
std::vector<OpCount> op_counts();

/// What came between two op_counts(): the ops that were called, by name.
std::vector<OpCount> calls_between(const std::vector<OpCount>& before,
                                   const std::vector<OpCount>& after);

}  // namespace mobilevd::ops
