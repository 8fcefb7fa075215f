// mobilevd._runtime: the C++ runtime for Python. Thin: checks and maths live in cpp/runtime.
#include <pybind11/functional.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/backend_library.h"
#include "runtime/error.h"
#include "runtime/executorch_log.h"
#include "runtime/image.h"
#include "runtime/noise.h"
#include "runtime/sampler.h"
#include "runtime/shared_pipeline.h"
#include "runtime/threads.h"
#include "runtime/version.h"

namespace py = pybind11;
using mobilevd::Error;

namespace {

template <typename T>
py::array_t<T> to_array(std::vector<T>&& values, std::vector<py::ssize_t> shape) {
  auto* owner = new std::vector<T>(std::move(values));
  const py::capsule free(owner, [](void* p) { delete static_cast<std::vector<T>*>(p); });
  return py::array_t<T>(std::move(shape), owner->data(), free);
}

struct NamedImage {
  std::string bytes, name;
};

NamedImage image_from(const py::object& source) {
  if (py::isinstance<py::bytes>(source)) return {source.cast<std::string>(), "from memory"};
  const std::string path = py::module_::import("os").attr("fspath")(source).cast<std::string>();
  return {mobilevd::read_bytes(path), path};
}

/// Lets Ctrl-C through and asks the caller's callback; an exception of either ends the run.
mobilevd::ProgressCallback progress_callback(const py::object& callback) {
  return [&callback](const mobilevd::Progress& progress) {
    const py::gil_scoped_acquire gil;
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    if (callback.is_none()) return true;
    const py::object go_on = callback(progress.stage, progress.done, progress.total);
    return go_on.is_none() || py::cast<bool>(go_on);  // None: a callback that returns nothing
  };
}

using Pipeline = mobilevd::SharedPipeline;

/// The turn of the calling thread, which must not hold the GIL. Ctrl-C ends the wait. A thread
/// waits without the GIL and takes it (for a callback) while it has its turn: the order is always
/// turn, then GIL, and nobody waits in a circle.
std::unique_lock<std::recursive_timed_mutex> wait_for_turn() {
  std::unique_lock<std::recursive_timed_mutex> lock(mobilevd::clip_turn(), std::defer_lock);
  while (!lock.try_lock_for(std::chrono::milliseconds(100))) {
    const py::gil_scoped_acquire gil;
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
  }
  return lock;
}

py::tuple generate(Pipeline& pipeline, const py::object& image, uint64_t seed,
                   std::optional<int> steps, std::optional<double> fps,
                   std::optional<double> motion_bucket, std::optional<double> noise_aug,
                   const py::object& progress) {
  NamedImage source = image_from(image);
  mobilevd::ClipRequest request;
  request.image = std::move(source.bytes);
  request.image_name = std::move(source.name);
  request.seed = seed;
  request.steps = steps;
  request.fps = fps;
  request.motion_bucket = motion_bucket;
  request.noise_aug = noise_aug;
  mobilevd::RunInfo info;
  info.tool = "mobilevd";
  info.seed = seed;
  info.sampling = pipeline.native().sampling(request);
  info.verify_ms = pipeline.native().verify_ms();
  info.estimated_bytes = pipeline.native().estimated_bytes();
  mobilevd::RunStats stats;
  mobilevd::Frames frames;
  {
    const py::gil_scoped_release no_gil;
    frames =
        pipeline.generate(wait_for_turn(), std::move(request), stats, progress_callback(progress));
  }
  return py::make_tuple(
      to_array(std::move(frames.rgb), {frames.count, frames.height, frames.width, 3}),
      mobilevd::result_json(pipeline.native().bundle(), stats, info));
}

py::array_t<float> noise(uint64_t seed, uint32_t stream, std::size_t count) {
  std::vector<float> values(count);
  mobilevd::normal(seed, stream, count, values.data());
  return to_array(std::move(values), {static_cast<py::ssize_t>(count)});
}

py::array_t<float> load_image(const py::object& image, int64_t height, int64_t width) {
  if (height < 1 || width < 1)
    throw Error("height and width must be at least 1", Error::Kind::kUsage);
  const NamedImage source = image_from(image);
  const auto picture = mobilevd::decode_image(reinterpret_cast<const uint8_t*>(source.bytes.data()),
                                              source.bytes.size(), source.name);
  const auto crop = mobilevd::centre_crop(picture.width, picture.height, width, height);
  return to_array(mobilevd::crop_and_resize(picture, crop, height, width), {3, height, width});
}

mobilevd::SamplingSpec sampling_spec(const std::string& sampler, int steps, double sigma_min,
                                     double sigma_max, double rho, int levels, double guidance_min,
                                     double guidance_max) {
  mobilevd::SamplingSpec spec;
  spec.sampler = sampler;
  spec.steps = steps;
  spec.sigma_min = sigma_min;
  spec.sigma_max = sigma_max;
  spec.rho = rho;
  spec.levels = levels;
  spec.guidance_min = guidance_min;
  spec.guidance_max = guidance_max;
  return spec;
}

using FloatArray = py::array_t<float, py::array::c_style | py::array::forcecast>;

/// velocity(scaled [frames, values], sigma, conditional) -> v of the same shape;
/// renoise(step) -> noise of that shape.
py::array_t<float> sample(const mobilevd::SamplingSpec& spec, const FloatArray& start,
                          const py::function& velocity, const py::object& renoise) {
  if (start.ndim() != 2) throw Error("start must be [frames, values]", Error::Kind::kUsage);
  const py::ssize_t frames = start.shape(0);
  const py::ssize_t values = start.shape(1);
  const auto copy_result = [&](const py::object& result, float* out) {
    const auto array = result.cast<FloatArray>();
    if (array.size() != frames * values) {
      throw Error("a callback returned an array of a wrong size", Error::Kind::kUsage);
    }
    std::copy_n(array.data(), array.size(), out);
  };
  std::vector<float> x(start.data(), start.data() + start.size());
  mobilevd::sample(
      spec, static_cast<int>(frames), static_cast<std::size_t>(values), x,
      [&](const float* scaled, double sigma, bool conditional, float* v) {
        const py::array_t<float> input({frames, values}, scaled);
        copy_result(velocity(input, sigma, conditional), v);
      },
      [&](int step, float* out) { copy_result(renoise(step), out); });
  return to_array(std::move(x), {frames, values});
}

}  // namespace

PYBIND11_MODULE(_runtime, m) {
  m.doc() = "The MobileVD C++ runtime; use mobilevd.runtime instead.";
  m.attr("version") = mobilevd::kVersion;
  m.attr("executorch_version") = mobilevd::kExecutorchVersion;

  // Bad data is an Error, a bad argument a UsageError, a callback that said stop Cancelled.
  // UsageError is Python's own, so that one `except` serves what either language refuses.
  static const py::handle data_error =
      py::exception<Error>(m, "Error", PyExc_RuntimeError).release();
  static const py::handle cancelled = py::exception<void>(m, "Cancelled", data_error).release();
  static const py::handle usage_error =
      py::module_::import("mobilevd.errors").attr("UsageError").cast<py::object>().release();
  m.attr("UsageError") = usage_error;
  py::register_exception_translator([](std::exception_ptr p) {
    try {
      if (p) std::rethrow_exception(p);
    } catch (const Error& error) {
      const bool usage = error.kind() == Error::Kind::kUsage;
      const bool stopped = error.kind() == Error::Kind::kCancelled;
      py::set_error(usage ? usage_error : stopped ? cancelled : data_error, error.what());
    }
  });

  py::class_<Pipeline>(m, "Pipeline")
      .def(py::init([](const std::string& bundle, int threads, bool verify, bool keep_loaded,
                       uint64_t max_memory_mb, const std::string& packed_weights) {
             mobilevd::PipelineOptions options;
             options.threads = threads;
             options.verify = verify;
             options.keep_loaded = keep_loaded;
             options.max_memory_bytes = max_memory_mb << 20;
             options.packed_folder = packed_weights;
             const py::gil_scoped_release no_gil;
             return std::make_unique<Pipeline>(bundle, options);
           }),
           py::arg("bundle"), py::arg("threads") = 0, py::arg("verify") = true,
           py::arg("keep_loaded") = false, py::arg("max_memory_mb") = 0,
           py::arg("packed_weights") = "")
      .def("generate", &generate, py::arg("image"), py::arg("seed") = 0, py::kw_only(),
           py::arg("steps") = py::none(), py::arg("fps") = py::none(),
           py::arg("motion_bucket") = py::none(), py::arg("noise_aug") = py::none(),
           py::arg("progress") = py::none())
      .def_property_readonly("threads", [](const Pipeline&) { return mobilevd::thread_count(); })
      .def_property_readonly("preset", [](const Pipeline& p) { return p.native().bundle().preset; })
      .def_property_readonly("fps",
                             [](const Pipeline& p) { return p.native().bundle().sampling.fps; })
      .def_property_readonly("shape", [](const Pipeline& p) {
        const auto& s = p.native().bundle().shapes;
        return py::make_tuple(s.frames, s.height, s.width);
      });

  m.def("noise", &noise, py::arg("seed"), py::arg("stream"), py::arg("count"));
  m.def("load_image", &load_image, py::arg("image"), py::arg("height"), py::arg("width"));
  m.def("capture_executorch_log", &mobilevd::capture_executorch_log, py::arg("echo"));
  m.def("registered_ops", &mobilevd::registered_ops);
  m.def("registered_backends", &mobilevd::registered_backends);
  m.def("load_backend_library", &mobilevd::load_backend_library, py::arg("path"),
        py::call_guard<py::gil_scoped_release>());  // it may take a minute to find out

  py::class_<mobilevd::SamplingSpec>(m, "SamplingSpec")
      .def(py::init(&sampling_spec), py::kw_only(), py::arg("sampler") = "euler",
           py::arg("steps") = 25, py::arg("sigma_min") = 0.002, py::arg("sigma_max") = 700.0,
           py::arg("rho") = 7.0, py::arg("levels") = 40, py::arg("guidance_min") = 1.0,
           py::arg("guidance_max") = 1.0);
  m.def("sigmas", &mobilevd::sampling_sigmas, py::arg("spec"));
  m.def(
      "sinusoid",
      [](double t, int channels) {
        if (channels < 2 || channels % 2 != 0) {
          throw Error("channels must be even", Error::Kind::kUsage);
        }
        return to_array(mobilevd::sinusoid(t, channels), {channels});
      },
      py::arg("t"), py::arg("channels"));
  m.def("sample", &sample, py::arg("spec"), py::arg("start"), py::arg("velocity"),
        py::arg("renoise") = py::none());
}
