#include "bindings/kernel_arrays.h"

#include <stdexcept>

#include "bindings/thread_pool.h"

namespace py = pybind11;

namespace mobilevd::bindings {

std::string describe(const py::array& array) {
  return py::str(array.dtype()).cast<std::string>() + " " +
         py::str(array.attr("shape")).cast<std::string>();
}

void check_array(const char* name, const py::array& array, bool written, bool half) {
  const char kind = array.dtype().char_();
  if ((kind != 'f' && (kind != 'e' || !half)) || array.dtype().byteorder() == '>') {
    throw py::type_error(std::string(name) + ": expected float32" + (half ? " or float16" : "") +
                         ", got " + py::str(array.dtype()).cast<std::string>());
  }
  if ((array.flags() & py::array::c_style) == 0) {
    throw py::value_error(std::string(name) + ": expected a C-contiguous array, got strides " +
                          py::str(array.attr("strides")).cast<std::string>());
  }
  if (written && !array.writeable()) {
    throw py::value_error(std::string(name) + ": the array is read-only");
  }
}

void check_int8_array(const char* name, const py::array& array) {
  if (array.dtype().char_() != 'b') {
    throw py::type_error(std::string(name) + ": expected int8, got " +
                         py::str(array.dtype()).cast<std::string>());
  }
  if ((array.flags() & py::array::c_style) == 0) {
    throw py::value_error(std::string(name) + ": expected a C-contiguous array");
  }
}

void check_dimensions(const char* name, const py::array& array,
                      std::initializer_list<const char*> layout) {
  if (array.ndim() == static_cast<py::ssize_t>(layout.size())) return;
  std::string names;
  for (const char* dimension : layout)
    names += (names.empty() ? "" : ", ") + std::string(dimension);
  throw py::value_error(std::string(name) + ": expected " + std::to_string(layout.size()) +
                        " dimensions [" + names + "], got " + describe(array));
}

void check_dtype(const char* name, const py::array& array, const char* like_name,
                 const py::array& like) {
  if (array.dtype().char_() == like.dtype().char_()) return;
  throw py::type_error(std::string(name) + ": expected the dtype of " + like_name + ", " +
                       py::str(like.dtype()).cast<std::string>() + ", got " +
                       py::str(array.dtype()).cast<std::string>());
}

void check_shape(const char* name, const py::array& array, const char* like_name,
                 const py::array& like, int dimensions, const char* what) {
  const bool all = dimensions < 0;
  bool same = !all || array.ndim() == like.ndim();
  for (py::ssize_t i = 0; same && i < (all ? like.ndim() : dimensions); ++i) {
    same = array.shape(i) == like.shape(i);
  }
  if (same) return;
  throw py::value_error(std::string(name) + ": expected " + what + " of " + like_name + ", " +
                        describe(like) + ", got " + describe(array));
}

void check_sizes(const char* name, const py::array& array,
                 std::initializer_list<std::int64_t> sizes, const char* before, const char* after) {
  bool same = array.ndim() == static_cast<py::ssize_t>(sizes.size());
  std::string list;
  py::ssize_t i = 0;
  for (const std::int64_t size : sizes) {
    same = same && array.shape(i++) == size;
    list += (list.empty() ? "" : ", ") + std::to_string(size);
  }
  if (same) return;
  throw py::value_error(std::string(name) + ": expected " + before + " (" + list + ")" + after +
                        ", got " + describe(array));
}

std::int64_t head_dim(const char* name, std::int64_t width, std::int64_t num_heads) {
  const std::int64_t each = width / num_heads;
  if (width % num_heads != 0 || each < 8 || each > 128 || each % 8 != 0) {
    throw py::value_error(
        std::string(name) +
        ": expected a last dimension of num_heads = " + std::to_string(num_heads) +
        " times a head_dim of 8..128 in steps of 8, got " + std::to_string(width));
  }
  return each;
}

void raise(const kernels::Status& status) {
  if (status.ok()) return;
  if (status.code == kernels::StatusCode::kInvalidArgument) throw py::value_error(status.message);
  throw std::runtime_error(status.message);
}

void Pool::operator()(std::size_t n, std::size_t grain, kernels::RangeFn body) const {
  ThreadPool::global().parallel_for(n, grain, body);
}

int lanes() { return static_cast<int>(ThreadPool::global().size()); }

}  // namespace mobilevd::bindings
