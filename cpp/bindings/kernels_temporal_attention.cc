// mobilevd._kernels.temporal_attention.
#include <pybind11/stl.h>

#include <cmath>
#include <optional>
#include <string>
#include <utility>

#include "bindings/kernel_arrays.h"
#include "bindings/kernels.h"
#include "mobilevd/kernels/temporal_attention.h"

namespace py = pybind11;

namespace mobilevd::bindings {
namespace {

template <typename T>
void call(const py::array& q, const py::array& k, const py::array& v, py::array& out,
          const kernels::TemporalAttentionShape& shape, float scale) {
  const T *q_data = data<T>(q), *k_data = data<T>(k), *v_data = data<T>(v);
  T* const out_data = mutable_data<T>(out);
  call_released([&] {
    return kernels::temporal_attention(q_data, k_data, v_data, out_data, shape, scale, kPool);
  });
}

void temporal_attention(const py::array& q, const py::array& k, const py::array& v, py::array out,
                        std::int64_t num_heads, std::optional<double> scale) {
  const auto check = [](const char* name, const py::array& array, bool written) {
    check_array(name, array, written);
    check_dimensions(name, array, {"batch", "frames", "positions", "heads * head_dim"});
  };
  check("q", q, false);
  check("k", k, false);
  check("v", v, false);
  check("out", out, true);
  for (const auto& [name, array] : {std::pair{"k", &k}, {"v", &v}})
    check_dtype(name, *array, "q", q);
  check_dtype("out", out, "v", v);
  check_shape("k", k, "q", q);
  check_shape("v", v, "q", q, 3, "batch, frames and positions");
  check_shape("out", out, "v", v);
  if (num_heads < 1) {
    throw py::value_error("num_heads: expected at least 1, got " + std::to_string(num_heads));
  }
  if (q.shape(1) < 1 || q.shape(1) > 32) {
    throw py::value_error("q: expected 1 to 32 frames, got " + describe(q));
  }
  const kernels::TemporalAttentionShape shape{q.shape(0),
                                              q.shape(1),
                                              q.shape(2),
                                              num_heads,
                                              head_dim("q", q.shape(3), num_heads),
                                              head_dim("v", v.shape(3), num_heads)};
  const auto factor =
      static_cast<float>(scale ? *scale : 1 / std::sqrt(static_cast<double>(shape.head_dim_qk)));
  if (q.dtype().char_() == kDtype<float>) {
    call<float>(q, k, v, out, shape, factor);
  } else {
    call<kernels::Half>(q, k, v, out, shape, factor);
  }
}

}  // namespace

void register_temporal_attention(py::module_& m) {
  m.def("temporal_attention", &temporal_attention, py::arg("q").noconvert(),
        py::arg("k").noconvert(), py::arg("v").noconvert(), py::arg("out").noconvert(),
        py::arg("num_heads"), py::arg("scale") = py::none(),
        "Writes softmax(scale q k^T) v over the frames of each position to out.");
}

}  // namespace mobilevd::bindings
