#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <new>
#include <random>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "mobilevd/kernels/dispatch.h"
#include "mobilevd/kernels/half.h"
#include "mobilevd/kernels/parallel.h"
#include "simd/half_convert.h"

// What the kernels' tests share: every test runs on every ISA this CPU has.
//   class MyTest : public testing_isa::IsaTest {};
//   MOBILEVD_TEST_EVERY_ISA(MyTest);
namespace mobilevd::kernels::testing_isa {

inline float widen(float x) { return x; }
inline float widen(Half x) { return half_to_float(x); }
template <typename T>
T narrow(float x) {
  if constexpr (std::is_same_v<T, float>) {
    return x;
  } else {
    return float_to_half(x);
  }
}

/// Half a unit in the last place of storage, relative.
template <typename T>
constexpr double kStorageEpsilon = std::is_same_v<T, float> ? 0.5 / (1 << 23) : 0.5 / (1 << 10);

class IsaTest : public testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    before_ = isa();
    ASSERT_TRUE(set_isa(isa_name(GetParam())).ok());
  }
  void TearDown() override { ASSERT_TRUE(set_isa(isa_name(before_)).ok()); }

 private:
  Isa before_ = Isa::kScalar;
};

inline std::vector<Isa> every_isa() {
  std::size_t count = 0;
  const Isa* isas = available_isas(&count);
  return {isas, isas + count};
}

#define MOBILEVD_TEST_EVERY_ISA(Suite)                                                       \
  INSTANTIATE_TEST_SUITE_P(Isa, Suite,                                                       \
                           testing::ValuesIn(::mobilevd::kernels::testing_isa::every_isa()), \
                           [](const auto& info) { return std::string(isa_name(info.param)); })

/// Cuts [0, n) into pieces of `piece` items, run by three threads in no fixed order.
struct Threaded {
  std::size_t piece = 1;
  void operator()(std::size_t n, std::size_t /*grain*/, RangeFn body) const {
    std::atomic<std::size_t> next{0};
    const auto work = [&] {
      for (std::size_t begin; (begin = next.fetch_add(piece)) < n;) {
        body(begin, std::min(begin + piece, n));
      }
    };
    std::thread a(work), b(work);
    work();
    a.join();
    b.join();
  }
};

/// Scratch as kernels want it, 64-byte aligned, filled with NaN: nothing may be read before it is
/// written.
class Scratch {
 public:
  explicit Scratch(std::size_t bytes) : data_(new (std::align_val_t{64}) char[bytes + 1]) {
    std::memset(data_, 0xFF, bytes);
  }
  ~Scratch() { ::operator delete[](data_, std::align_val_t{64}); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  char* data() { return data_; }

 private:
  char* data_;
};

/// An array whose neighbours are watched: guards before and behind must stay as they were, and a
/// sanitizer sees what goes further. `misalign` elements past an aligned address.
template <typename T>
class Guarded {
 public:
  explicit Guarded(std::size_t size, int misalign = 0)
      : store_(size + 2 * kGuard + 16 + misalign, narrow<T>(kMark)), size_(size) {
    std::size_t start = kGuard;
    while (reinterpret_cast<std::uintptr_t>(&store_[start]) % 64 != 0 && start < kGuard + 16) {
      ++start;
    }
    start_ = start + misalign;
  }

  T* data() { return store_.data() + start_; }
  const T* data() const { return store_.data() + start_; }
  std::size_t size() const { return size_; }
  T& operator[](std::size_t i) { return data()[i]; }
  const T& operator[](std::size_t i) const { return data()[i]; }

  void fill_normal(unsigned seed, float scale = 1, float mean = 0) {
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal;
    for (std::size_t i = 0; i < size_; ++i) data()[i] = narrow<T>(mean + scale * normal(generator));
  }

  void expect_guards_untouched() const {
    for (std::size_t i = 0; i < store_.size(); ++i) {
      if (i >= start_ && i < start_ + size_) continue;
      ASSERT_EQ(widen(store_[i]), kMark)
          << "wrote at [" << static_cast<std::ptrdiff_t>(i - start_) << "] of " << size_;
    }
  }

 private:
  static constexpr std::size_t kGuard = 64;
  static constexpr float kMark = -12344.0f;  // exact in binary16, too
  std::vector<T> store_;
  std::size_t size_, start_ = 0;
};

}  // namespace mobilevd::kernels::testing_isa
