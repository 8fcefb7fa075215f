// The C API: every function catches what its body throws and turns it into a status and a line.
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <utility>

#include "mobilevd/mobilevd.h"
#include "runtime/backend_library.h"
#include "runtime/error.h"
#include "runtime/executorch_log.h"
#include "runtime/image.h"
#include "runtime/shared_pipeline.h"
#include "runtime/version.h"

struct mobilevd_pipeline {
  mobilevd_pipeline(const std::string& bundle, const mobilevd::PipelineOptions& options)
      : shared(bundle, options) {}

  mobilevd::SharedPipeline shared;
  std::string last_result;  // belongs to whoever holds clip_turn()
};

namespace {

using mobilevd::Error;

thread_local std::string last_error;

mobilevd_status failed(mobilevd_status status, const char* what) noexcept {
  try {
    last_error = what;
  } catch (const std::bad_alloc&) {
    last_error.clear();
  }
  return status;
}

mobilevd_status status_of(Error::Kind kind) {
  switch (kind) {
    case Error::Kind::kUsage:
      return MOBILEVD_USAGE;
    case Error::Kind::kCancelled:
      return MOBILEVD_CANCELLED;
    case Error::Kind::kData:
      break;
  }
  return MOBILEVD_DATA;
}

template <typename Body>
mobilevd_status guarded(Body body) noexcept {
  try {
    body();
    return MOBILEVD_OK;
  } catch (const Error& error) {
    return failed(status_of(error.kind()), error.what());
  } catch (const std::bad_alloc&) {
    return failed(MOBILEVD_INTERNAL, "out of memory");
  } catch (const std::exception& error) {
    return failed(MOBILEVD_INTERNAL, error.what());
  } catch (...) {
    return failed(MOBILEVD_INTERNAL, "an exception of an unknown type");
  }
}

[[noreturn]] void usage(const std::string& what) { throw Error(what, Error::Kind::kUsage); }

void require(const void* pointer, const char* name) {
  if (pointer == nullptr) usage(std::string(name) + " must not be null");
}

/// `given` over `defaults`; an older header's struct is a shorter one.
template <typename T>
T filled(const T* given, T defaults, const char* initialiser) {
  if (given == nullptr) return defaults;
  std::size_t size = 0;
  std::memcpy(&size, given, sizeof size);
  if (size < sizeof size || size > sizeof(T)) {
    usage(std::string("struct_size is none that this library knows; start from ") + initialiser);
  }
  std::memcpy(&defaults, given, size);
  return defaults;
}

mobilevd::PipelineOptions pipeline_options(const mobilevd_options* given) {
  const mobilevd_options from = filled(given, MOBILEVD_OPTIONS_INIT, "MOBILEVD_OPTIONS_INIT");
  if (from.max_memory_mb > uint64_t{1} << 30) usage("max_memory_mb is too large");
  mobilevd::PipelineOptions options;
  options.threads = from.threads;
  options.verify = from.skip_hashes == 0;
  options.keep_loaded = from.keep_loaded != 0;
  options.max_memory_bytes = from.max_memory_mb << 20;
  if (from.packed_weights != nullptr) options.packed_folder = from.packed_weights;
  return options;
}

mobilevd_clip clip_of(const mobilevd::Bundle& bundle) {
  const mobilevd::ClipShapes& shapes = bundle.shapes;
  mobilevd_clip clip;
  clip.frames = static_cast<int32_t>(shapes.frames);
  clip.height = static_cast<int32_t>(shapes.height);
  clip.width = static_cast<int32_t>(shapes.width);
  clip.fps = bundle.sampling.fps;
  clip.bytes = static_cast<size_t>(shapes.frames * shapes.height * shapes.width * 3);
  return clip;
}

/// The picture is in `request`, the rest in `given`.
void generate(mobilevd_pipeline& pipeline, mobilevd::ClipRequest request,
              const mobilevd_request* given, uint8_t* out, size_t bytes) {
  const mobilevd_request from = filled(given, MOBILEVD_REQUEST_INIT, "MOBILEVD_REQUEST_INIT");
  const mobilevd::Pipeline& native = pipeline.shared.native();
  require(out, "frames");
  const size_t needed = clip_of(native.bundle()).bytes;
  if (bytes < needed) {
    usage("the clip needs " + std::to_string(needed) + " bytes, the buffer has " +
          std::to_string(bytes));
  }
  request.seed = from.seed;
  if (from.steps != 0) request.steps = from.steps;
  if (from.fps != 0) request.fps = from.fps;
  if (!(from.motion_bucket < 0)) request.motion_bucket = from.motion_bucket;
  if (!(from.noise_aug < 0)) request.noise_aug = from.noise_aug;

  mobilevd::RunInfo info;
  info.tool = "libmobilevd";
  info.seed = request.seed;
  info.sampling = native.sampling(request);
  info.verify_ms = native.verify_ms();
  info.estimated_bytes = native.estimated_bytes();
  const std::unique_lock<std::recursive_timed_mutex> turn(mobilevd::clip_turn());
  mobilevd::RunStats stats;
  const mobilevd::Frames frames = pipeline.shared.generate(
      turn, std::move(request), stats, [&](const mobilevd::Progress& progress) {
        return from.progress == nullptr ||
               from.progress(from.user, progress.stage, progress.done, progress.total) == 0;
      });
  pipeline.last_result = mobilevd::result_json(native.bundle(), stats, info);
  std::memcpy(out, frames.rgb.data(), needed);
}

mobilevd::RgbImage copied(const uint8_t* pixels, int32_t width, int32_t height, size_t row_bytes) {
  require(pixels, "pixels");
  if (width < 1 || height < 1 || width > 65535 || height > 65535) {
    usage("width and height must be from 1 to 65535");
  }
  const size_t row = 3 * static_cast<size_t>(width);
  if (row_bytes < row) usage("row_bytes must be at least 3 * width");
  mobilevd::RgbImage image;
  image.width = width;
  image.height = height;
  image.pixels.resize(row * static_cast<size_t>(height));
  for (size_t y = 0; y < static_cast<size_t>(height); ++y) {
    std::memcpy(image.pixels.data() + y * row, pixels + y * row_bytes, row);
  }
  return image;
}

}  // namespace

int32_t mobilevd_api_version(void) { return MOBILEVD_API_VERSION; }
const char* mobilevd_version(void) { return mobilevd::kVersion; }
const char* mobilevd_last_error(void) { return last_error.c_str(); }

void mobilevd_capture_log(void) { mobilevd::capture_executorch_log(false); }

mobilevd_status mobilevd_load_backend(const char* library) {
  return guarded([&] {
    require(library, "library");
    mobilevd::load_backend_library(library);
  });
}

mobilevd_status mobilevd_open(const char* bundle_folder, const mobilevd_options* options,
                              mobilevd_pipeline** pipeline) {
  if (pipeline != nullptr) *pipeline = nullptr;
  return guarded([&] {
    require(bundle_folder, "bundle_folder");
    require(pipeline, "pipeline");
    *pipeline = new mobilevd_pipeline(bundle_folder, pipeline_options(options));
  });
}

void mobilevd_close(mobilevd_pipeline* pipeline) { delete pipeline; }

mobilevd_status mobilevd_clip_of(const mobilevd_pipeline* pipeline, mobilevd_clip* clip) {
  return guarded([&] {
    require(pipeline, "pipeline");
    require(clip, "clip");
    *clip = clip_of(pipeline->shared.native().bundle());
  });
}

mobilevd_status mobilevd_generate_file(mobilevd_pipeline* pipeline, const char* image_path,
                                       const mobilevd_request* request, uint8_t* frames,
                                       size_t bytes) {
  return guarded([&] {
    require(pipeline, "pipeline");
    require(image_path, "image_path");
    mobilevd::ClipRequest clip;
    clip.image = mobilevd::read_bytes(image_path);
    clip.image_name = image_path;
    generate(*pipeline, std::move(clip), request, frames, bytes);
  });
}

mobilevd_status mobilevd_generate_rgb(mobilevd_pipeline* pipeline, const uint8_t* pixels,
                                      int32_t width, int32_t height, size_t row_bytes,
                                      const mobilevd_request* request, uint8_t* frames,
                                      size_t bytes) {
  return guarded([&] {
    require(pipeline, "pipeline");
    mobilevd::ClipRequest clip;
    clip.picture = copied(pixels, width, height, row_bytes);
    generate(*pipeline, std::move(clip), request, frames, bytes);
  });
}

const char* mobilevd_last_result(const mobilevd_pipeline* pipeline) {
  return pipeline == nullptr ? "" : pipeline->last_result.c_str();
}
