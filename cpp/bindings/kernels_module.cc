// mobilevd._kernels: the kernels for Python, on numpy arrays as they lie in memory. Thin: each
// kernel's binding checks what C++ cannot see (types, contiguity), calls, and turns a Status into
// an exception. The public face is python/mobilevd/kernels.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "bindings/kernel_arrays.h"
#include "bindings/kernels.h"
#include "bindings/thread_pool.h"
#include "mobilevd/kernels/dispatch.h"
#include "mobilevd/kernels/roofline.h"

namespace py = pybind11;
using mobilevd::ThreadPool;
using mobilevd::bindings::kPool;
namespace kernels = mobilevd::kernels;

namespace {

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
  mobilevd::bindings::register_conv(m);
  mobilevd::bindings::register_conv_int8(m);
  mobilevd::bindings::register_gemm_int8(m);
  mobilevd::bindings::register_group_norm_silu(m);
  mobilevd::bindings::register_spatial_attention(m);
  mobilevd::bindings::register_linear(m);
  mobilevd::bindings::register_temporal_attention(m);
  mobilevd::bindings::register_temporal_attention_block(m);
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
