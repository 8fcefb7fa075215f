#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <initializer_list>
#include <string>

#include "mobilevd/kernels/half.h"
#include "mobilevd/kernels/parallel.h"
#include "mobilevd/kernels/status.h"

// What every kernel's binding needs: numpy arrays as they lie in memory, checked, never copied.
namespace mobilevd::bindings {

/// numpy's letter for each storage type; pybind11 itself does not know float16.
template <typename T>
constexpr char kDtype = 'f';
template <>
inline constexpr char kDtype<kernels::Half> = 'e';

/// "float32 (1, 14, 2048, 320)".
std::string describe(const pybind11::array& array);

/// TypeError unless `array` is float32, or float16 where `half` allows it; ValueError unless it is
/// C-contiguous and, when `written`, writeable.
void check_array(const char* name, const pybind11::array& array, bool written, bool half = true);

/// The same for weights in 8 bits, which are never written.
void check_int8_array(const char* name, const pybind11::array& array);

/// ValueError unless `array` has `layout.size()` dimensions; the message names them.
void check_dimensions(const char* name, const pybind11::array& array,
                      std::initializer_list<const char*> layout);

/// TypeError unless `array` has the dtype of `like`.
void check_dtype(const char* name, const pybind11::array& array, const char* like_name,
                 const pybind11::array& like);

/// ValueError unless the first `dimensions` sizes (all when negative) are those of `like`; `what`
/// names them in the message.
void check_shape(const char* name, const pybind11::array& array, const char* like_name,
                 const pybind11::array& like, int dimensions = -1, const char* what = "the shape");

/// ValueError unless `array` has exactly these sizes: "<name>: expected <before> (<sizes>)<after>".
void check_sizes(const char* name, const pybind11::array& array,
                 std::initializer_list<std::int64_t> sizes, const char* before,
                 const char* after = "");

/// The head_dim of a last dimension of `width`; ValueError unless it is one the attention kernels
/// take.
std::int64_t head_dim(const char* name, std::int64_t width, std::int64_t num_heads);

/// ValueError for kInvalidArgument, RuntimeError for the rest.
void raise(const kernels::Status& status);

/// The process's thread pool as a kernels::ParallelFor.
struct Pool {
  void operator()(std::size_t n, std::size_t grain, kernels::RangeFn body) const;
};
inline constexpr Pool kPool{};

/// Threads of kPool, for kernels that are told in how many lanes to cut.
int lanes();

template <typename T>
const T* data(const pybind11::array& array) {
  return static_cast<const T*>(array.data());
}
template <typename T>
T* mutable_data(pybind11::array& array) {
  return static_cast<T*>(array.mutable_data());
}

/// Runs a kernel call without the interpreter's lock, then raises what it returned.
template <typename Call>
void call_released(Call&& call) {
  kernels::Status status;
  {
    const pybind11::gil_scoped_release release;
    status = call();
  }
  raise(status);
}

}  // namespace mobilevd::bindings
