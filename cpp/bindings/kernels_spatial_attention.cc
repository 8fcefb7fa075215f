// mobilevd._kernels.spatial_attention.
#include <pybind11/stl.h>

#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "bindings/kernel_arrays.h"
#include "bindings/kernels.h"
#include "bindings/scratch.h"
#include "bindings/thread_pool.h"
#include "mobilevd/kernels/spatial_attention.h"

namespace py = pybind11;

namespace mobilevd::bindings {
namespace {

template <typename T>
void call(const py::array& q, const py::array& k, const py::array& v, py::array& out,
          const kernels::SpatialAttentionShape& shape, float scale) {
  const T *q_data = data<T>(q), *k_data = data<T>(k), *v_data = data<T>(v);
  T* const out_data = mutable_data<T>(out);
  const int lanes = static_cast<int>(ThreadPool::global().size());
  call_released([&] {
    void* scratch = thread_scratch(kernels::spatial_attention_scratch_bytes(shape, lanes));
    return kernels::spatial_attention(q_data, k_data, v_data, out_data, shape, scale, scratch,
                                      lanes, kPool);
  });
}

void spatial_attention(const py::array& q, const py::array& k, const py::array& v, py::array out,
                       std::int64_t num_heads, std::optional<double> scale) {
  for (const auto& [name, array] : {std::pair{"q", &q}, {"k", &k}, {"v", &v}}) {
    check_array(name, *array, false);
    check_dimensions(name, *array, {"batch", "tokens", "heads * head_dim"});
    check_dtype(name, *array, "q", q);
  }
  check_array("out", out, true);
  check_dtype("out", out, "q", q);
  check_shape("v", v, "k", k, 2, "batch and tokens");
  check_shape("k", k, "q", q, 1, "the batch");
  if (k.shape(2) != q.shape(2)) {
    throw py::value_error("k: expected the channels of q, " + describe(q) + ", got " + describe(k));
  }
  if (out.ndim() != 3 || out.shape(0) != q.shape(0) || out.shape(1) != q.shape(1) ||
      out.shape(2) != v.shape(2)) {
    throw py::value_error("out: expected the batch and tokens of q and the channels of v, got " +
                          describe(out));
  }
  if (num_heads < 1) {
    throw py::value_error("num_heads: expected at least 1, got " + std::to_string(num_heads));
  }
  const kernels::SpatialAttentionShape shape{q.shape(0),
                                             q.shape(1),
                                             k.shape(1),
                                             num_heads,
                                             head_dim("q", q.shape(2), num_heads),
                                             head_dim("v", v.shape(2), num_heads)};
  const auto factor =
      static_cast<float>(scale ? *scale : 1 / std::sqrt(static_cast<double>(shape.head_dim_qk)));
  if (q.dtype().char_() == kDtype<float>) {
    call<float>(q, k, v, out, shape, factor);
  } else {
    call<kernels::Half>(q, k, v, out, shape, factor);
  }
}

}  // namespace

void register_spatial_attention(py::module_& m) {
  m.def("spatial_attention", &spatial_attention, py::arg("q").noconvert(), py::arg("k").noconvert(),
        py::arg("v").noconvert(), py::arg("out").noconvert(), py::arg("num_heads"),
        py::arg("scale") = py::none(),
        "Writes softmax(scale q k^T) v over the tokens of each picture to out.");
}

}  // namespace mobilevd::bindings
