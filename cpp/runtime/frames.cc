#include "runtime/frames.h"

#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>

#include "runtime/error.h"
#include "runtime/output_file.h"

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#include <stb/stb_image_write.h>
#pragma GCC diagnostic pop

namespace mobilevd {

namespace fs = std::filesystem;

void quantize_frames(const float* planes, int64_t n, int64_t first, Frames& frames) {
  const int64_t area = frames.height * frames.width;
  for (int64_t f = 0; f < n; ++f) {
    uint8_t* rgb = frames.rgb.data() + (first + f) * area * 3;
    for (int64_t c = 0; c < 3; ++c) {
      const float* plane = planes + (f * 3 + c) * area;
      for (int64_t i = 0; i < area; ++i) {
        const double level = std::clamp((double{plane[i]} + 1.0) * 127.5, 0.0, 255.0);
        rgb[3 * i + c] = static_cast<uint8_t>(std::lround(level));
      }
    }
  }
}

FrameFormat frame_format(const std::string& path) {
  const std::string ending = fs::path(path).extension().string();
  if (ending == ".y4m") return FrameFormat::kY4m;
  if (ending.empty()) return FrameFormat::kPngFolder;
  throw Error("output " + path +
                  ": the runner writes .y4m or, without an ending, a folder of PNGs; " +
                  "`mobilevd generate` makes mp4, webm and gif",
              Error::Kind::kUsage);
}

std::string y4m_header(const Frames& frames, double fps) {
  const long long numerator = std::llround(fps * 1000.0);
  const long long divisor = numerator % 1000 == 0 ? 1000 : 1;
  return "YUV4MPEG2 W" + std::to_string(frames.width) + " H" + std::to_string(frames.height) +
         " F" + std::to_string(numerator / divisor) + ":" + std::to_string(1000 / divisor) +
         " Ip A1:1 C444 XCOLORRANGE=FULL\n";
}

std::string y4m_frame(const Frames& frames, int64_t index) {
  const auto area = static_cast<std::size_t>(frames.height * frames.width);
  std::string bytes = "FRAME\n";
  const std::size_t start = bytes.size();
  bytes.resize(start + 3 * area);
  const uint8_t* rgb = frames.frame(index);
  const auto level = [](double value) {
    return static_cast<char>(static_cast<uint8_t>(std::lround(std::clamp(value, 0.0, 255.0))));
  };
  for (std::size_t i = 0; i < area; ++i) {
    const double r = rgb[3 * i];
    const double g = rgb[3 * i + 1];
    const double b = rgb[3 * i + 2];
    const double y = 0.299 * r + 0.587 * g + 0.114 * b;
    bytes[start + i] = level(y);
    bytes[start + area + i] = level(128.0 + (b - y) / 1.772);
    bytes[start + 2 * area + i] = level(128.0 + (r - y) / 1.402);
  }
  return bytes;
}

namespace {

void write_y4m(const Frames& frames, double fps, const std::string& path) {
  OutputFile file(path);
  const std::string header = y4m_header(frames, fps);
  file.write(header.data(), header.size());
  for (int64_t f = 0; f < frames.count; ++f) {
    const std::string bytes = y4m_frame(frames, f);
    file.write(bytes.data(), bytes.size());
  }
  file.commit();
}

std::string png_bytes(const Frames& frames, int64_t index) {
  std::string bytes;
  const auto append = [](void* context, void* data, int size) {
    static_cast<std::string*>(context)->append(static_cast<const char*>(data),
                                               static_cast<std::size_t>(size));
  };
  const int ok = stbi_write_png_to_func(append, &bytes, static_cast<int>(frames.width),
                                        static_cast<int>(frames.height), 3, frames.frame(index),
                                        static_cast<int>(frames.width * 3));
  if (ok == 0) throw Error("cannot encode a frame as PNG");
  return bytes;
}

bool is_frame_name(const std::string& name) {
  return name.rfind("frame_", 0) == 0 && fs::path(name).extension() == ".png";
}

/// Removes a folder unless told that it was moved into place.
struct TemporaryFolder {
  fs::path path;
  ~TemporaryFolder() {
    std::error_code ignored;
    if (!path.empty()) fs::remove_all(path, ignored);
  }
};

/// The folder itself: without a "/" at its end, and where a link to it leads, since a rename would
/// replace the link.
fs::path folder_path(const std::string& name) {
  const fs::path target = fs::weakly_canonical(fs::absolute(name));
  return target.has_filename() ? target : target.parent_path();
}

bool is_mount_point(const fs::path& folder) {
  struct stat own{};
  struct stat parents{};
  return ::stat(folder.c_str(), &own) == 0 && ::stat(folder.parent_path().c_str(), &parents) == 0 &&
         own.st_dev != parents.st_dev;
}

void check_png_folder(const std::string& name) {
  const auto refuse = [&name](const std::string& why) {
    throw Error("output " + name + why, Error::Kind::kUsage);
  };
  const fs::path target = folder_path(name);
  check_folder_of(target.string(), "output " + name);
  if (fs::is_symlink(target)) refuse(" is a link to what is not there");
  if (!fs::exists(target)) return;
  if (!fs::is_directory(target)) refuse(" exists and is no folder");
  // Frames appear by a rename of the whole folder.
  if (is_mount_point(target)) refuse(" is a mount point; choose a new folder in it");
  if (fs::equivalent(target, fs::current_path())) {
    refuse(" is the working folder; choose a new folder in it");
  }
  for (const auto& entry : fs::directory_iterator(target)) {
    if (!is_frame_name(entry.path().filename().string())) {
      refuse(" holds other files (" + entry.path().filename().string() + "); choose a new folder");
    }
  }
}

void write_png_folder(const Frames& frames, const std::string& name) {
  const fs::path target = folder_path(name);
  TemporaryFolder fresh{temporary_name(target.string())};
  fs::remove_all(fresh.path);  // what a killed process of the same id left
  fs::create_directory(fresh.path);
  for (int64_t f = 0; f < frames.count; ++f) {
    char file_name[32];
    std::snprintf(file_name, sizeof file_name, "frame_%04d.png", static_cast<int>(f));
    write_file((fresh.path / file_name).string(), png_bytes(frames, f));
  }
  if (!fs::exists(target)) {
    fs::rename(fresh.path, target);
    fresh.path.clear();
    return;
  }
  const fs::path aside = fresh.path.string() + ".old";
  fs::remove_all(aside);
  fs::rename(target, aside);
  try {
    fs::rename(fresh.path, target);
  } catch (const fs::filesystem_error& error) {
    std::error_code lost;
    fs::rename(aside, target, lost);
    if (!lost) throw;
    throw Error("cannot write " + name + ": " + error.code().message() +
                "; the older frames are in " + aside.string());
  }
  fresh.path.clear();
  const TemporaryFolder old{aside};
}

}  // namespace

void check_output(const std::string& path) {
  try {
    if (frame_format(path) == FrameFormat::kPngFolder) {
      check_png_folder(path);
    } else {
      check_output_file(path, "output " + path);
    }
  } catch (const fs::filesystem_error& error) {
    throw Error("cannot write " + path + ": " + error.code().message());
  }
}

void write_frames(const Frames& frames, double fps, const std::string& path) {
  check_output(path);
  try {
    if (frame_format(path) == FrameFormat::kY4m) {
      write_y4m(frames, fps, path);
    } else {
      write_png_folder(frames, path);
    }
  } catch (const fs::filesystem_error& error) {
    throw Error("cannot write " + path + ": " + error.code().message());
  }
}

}  // namespace mobilevd
