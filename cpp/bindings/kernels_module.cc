// mobilevd._kernels: the kernels for Python, on numpy arrays as they lie in memory. Thin: it checks
// what C++ cannot see (types, contiguity), calls, and turns a Status into an exception. The public
// face is python/mobilevd/kernels.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cmath>
#include <cstdint>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "bindings/thread_pool.h"
#include "mobilevd/kernels/dispatch.h"
#include "mobilevd/kernels/roofline.h"
#include "mobilevd/kernels/temporal_attention.h"

namespace py = pybind11;
using mobilevd::ThreadPool;
namespace kernels = mobilevd::kernels;

namespace {

/// numpy's letter for each storage type; pybind11 itself does not know float16.
template <typename T>
constexpr char kDtype = 'f';
template <>
constexpr char kDtype<kernels::Half> = 'e';

std::string describe(const py::array& array) {
  return py::str(array.dtype()).cast<std::string>() + " " +
         py::str(array.attr("shape")).cast<std::string>();
}

void check_array(const char* name, const py::array& array, bool written) {
  const char kind = array.dtype().char_();
  if ((kind != 'f' && kind != 'e') || array.dtype().byteorder() == '>') {
    throw py::type_error(std::string(name) + ": expected float32 or float16, got " +
                         py::str(array.dtype()).cast<std::string>());
  }
  if (array.ndim() != 4) {
    throw py::value_error(std::string(name) +
                          ": expected 4 dimensions [batch, frames, positions, heads * head_dim], "
                          "got " +
                          describe(array));
  }
  if ((array.flags() & py::array::c_style) == 0) {
    throw py::value_error(std::string(name) + ": expected a C-contiguous array, got strides " +
                          py::str(array.attr("strides")).cast<std::string>());
  }
  if (written && !array.writeable()) {
    throw py::value_error(std::string(name) + ": the array is read-only");
  }
}

void check_like(const char* name, const py::array& array, const py::array& q, bool all_dims) {
  if (array.dtype().char_() != q.dtype().char_()) {
    throw py::type_error(std::string(name) + ": expected the dtype of q, " +
                         py::str(q.dtype()).cast<std::string>() + ", got " +
                         py::str(array.dtype()).cast<std::string>());
  }
  for (int i = 0; i < (all_dims ? 4 : 3); ++i) {
    if (array.shape(i) != q.shape(i)) {
      throw py::value_error(std::string(name) + ": expected " +
                            (all_dims ? "the shape" : "batch, frames and positions") + " of q, " +
                            describe(q) + ", got " + describe(array));
    }
  }
}

std::int64_t head_dim(const char* name, const py::array& array, std::int64_t num_heads) {
  const std::int64_t width = array.shape(3);
  if (width % num_heads != 0 || width / num_heads < 8 || width / num_heads > 128 ||
      width / num_heads % 8 != 0) {
    throw py::value_error(
        std::string(name) +
        ": expected a last dimension of num_heads = " + std::to_string(num_heads) +
        " times a head_dim of 8..128 in steps of 8, got " + std::to_string(width));
  }
  return width / num_heads;
}

void raise(const kernels::Status& status) {
  if (status.ok()) return;
  if (status.code == kernels::StatusCode::kInvalidArgument) throw py::value_error(status.message);
  throw std::runtime_error(status.message);
}

/// kernels::ParallelFor on the process's pool.
constexpr auto kPool = [](std::size_t n, std::size_t grain, kernels::RangeFn body) {
  ThreadPool::global().parallel_for(n, grain, body);
};

template <typename T>
void call(const py::array& q, const py::array& k, const py::array& v, py::array& out,
          const kernels::TemporalAttentionShape& shape, float scale) {
  const auto* const q_data = static_cast<const T*>(q.data());
  const auto* const k_data = static_cast<const T*>(k.data());
  const auto* const v_data = static_cast<const T*>(v.data());
  auto* const out_data = static_cast<T*>(out.mutable_data());
  kernels::Status status;
  {
    const py::gil_scoped_release release;
    status = kernels::temporal_attention(q_data, k_data, v_data, out_data, shape, scale, kPool);
  }
  raise(status);
}

void temporal_attention(const py::array& q, const py::array& k, const py::array& v, py::array out,
                        std::int64_t num_heads, std::optional<double> scale) {
  check_array("q", q, false);
  check_array("k", k, false);
  check_array("v", v, false);
  check_array("out", out, true);
  check_like("k", k, q, true);
  check_like("v", v, q, false);
  check_like("out", out, v, true);
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
                                              head_dim("q", q, num_heads),
                                              head_dim("v", v, num_heads)};
  const auto factor =
      static_cast<float>(scale ? *scale : 1 / std::sqrt(static_cast<double>(shape.head_dim_qk)));
  if (q.dtype().char_() == kDtype<float>) {
    call<float>(q, k, v, out, shape, factor);
  } else {
    call<kernels::Half>(q, k, v, out, shape, factor);
  }
}

/// (GFLOP/s, GB/s) of this machine now; see mobilevd/kernels/roofline.h.
std::pair<double, double> measure_roofline(double seconds) {
  constexpr std::size_t kBytes = std::size_t{32} << 20;
  const py::gil_scoped_release release;
  const std::align_val_t alignment{4096};
  auto* const data = new (alignment) float[kBytes]();  // four arrays of kBytes
  const std::size_t count = kBytes / sizeof(float);
  const double gflops = kernels::measure_fma_gflops(seconds, kPool);
  const double gbps = kernels::measure_stream_gbps(data, data + count, data + 2 * count,
                                                   data + 3 * count, kBytes, seconds, kPool);
  ::operator delete[](data, alignment);
  return {gflops, gbps};
}

std::vector<std::string> available_isas() {
  std::size_t count = 0;
  const kernels::Isa* isas = kernels::available_isas(&count);
  std::vector<std::string> names;
  for (std::size_t i = 0; i < count; ++i) names.emplace_back(kernels::isa_name(isas[i]));
  return names;
}

void set_isa(const std::string& name) {
  const kernels::Status status = kernels::set_isa(name.c_str());
  if (!status.ok()) throw py::value_error("'" + name + "': " + status.message);
}

void set_num_threads(std::int64_t threads) {
  if (threads < 1 || threads > 1024) {
    throw py::value_error("num_threads: expected 1..1024, got " + std::to_string(threads));
  }
  const py::gil_scoped_release release;
  ThreadPool::global().set_size(static_cast<std::size_t>(threads));
}

}  // namespace

PYBIND11_MODULE(_kernels, m) {
  m.doc() = "MobileVD's CPU kernels on raw numpy arrays; use mobilevd.kernels.";
  m.def("temporal_attention", &temporal_attention, py::arg("q").noconvert(),
        py::arg("k").noconvert(), py::arg("v").noconvert(), py::arg("out").noconvert(),
        py::arg("num_heads"), py::arg("scale") = py::none(),
        "Writes softmax(scale q k^T) v over the frames of each position to out.");
  m.def(
      "isa", [] { return std::string(kernels::isa_name(kernels::isa())); },
      "Name of the instruction set the kernels use.");
  m.def("set_isa", &set_isa, py::arg("name"), "Forces an instruction set by name.");
  m.def("available_isas", &available_isas, "Names this CPU and build have, worst first.");
  m.def("measure_roofline", &measure_roofline, py::arg("seconds") = 0.2,
        "Peak GFLOP/s and stream GB/s of this machine, with the ISA and threads in use.");
  m.def(
      "get_num_threads", [] { return ThreadPool::global().size(); },
      "Threads one kernel call uses.");
  m.def("set_num_threads", &set_num_threads, py::arg("threads"),
        "Sets how many threads one kernel call uses.");
}
