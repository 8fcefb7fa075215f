#pragma once

#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>

namespace mobilevd::kernels {

/// Non-owning reference to a callable, the size of two pointers. The callable must outlive the
/// call it is passed to; a temporary lambda written in the call's argument list does. (Plain
/// functions: wrap them in a lambda.)
template <typename Signature>
class FunctionRef;

template <typename Result, typename... Args>
class FunctionRef<Result(Args...)> {
 public:
  template <typename F,
            typename = std::enable_if_t<!std::is_same_v<std::decay_t<F>, FunctionRef> &&
                                        !std::is_function_v<std::remove_reference_t<F>> &&
                                        std::is_invocable_r_v<Result, F&, Args...>>>
  FunctionRef(F&& f)  // NOLINT: implicit on purpose, as a function parameter
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(f)))),
        call_([](void* object, Args... args) -> Result {
          return (*static_cast<std::remove_reference_t<F>*>(object))(std::forward<Args>(args)...);
        }) {}

  Result operator()(Args... args) const { return call_(object_, std::forward<Args>(args)...); }

 private:
  void* object_;
  Result (*call_)(void*, Args...);
};

/// Work on the items [begin, end). Kernels pass bodies that do not throw.
using RangeFn = FunctionRef<void(std::size_t begin, std::size_t end)>;

/// How a kernel runs its work: `parallel_for(n, grain, body)` must call `body(begin, end)` for
/// disjoint ranges that cover [0, n) exactly once, on any threads and in any order, and return
/// only when all are done. `grain` is a hint: the least number of items worth a thread's while.
/// Kernels own no threads; the results do not depend on how the range is cut.
using ParallelFor = FunctionRef<void(std::size_t n, std::size_t grain, RangeFn body)>;

/// The parallel-for that uses the calling thread only.
struct SerialFor {
  void operator()(std::size_t n, std::size_t /*grain*/, RangeFn body) const {
    if (n > 0) body(0, n);
  }
};
inline constexpr SerialFor serial_for{};

}  // namespace mobilevd::kernels
