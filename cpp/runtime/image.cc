#include "runtime/image.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <utility>

#include "runtime/error.h"
#include "runtime/image_container.h"
#include "runtime/resize.h"

// Only the two formats whose files inspect_image() has checked from end to end.
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_NO_STDIO
#define STBI_MAX_DIMENSIONS 32768
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#include <stb/stb_image.h>
#pragma GCC diagnostic pop

namespace mobilevd {
namespace {

// Orientations 5..8 swap width and height; the others keep them.
RgbImage oriented(RgbImage image, int orientation) {
  if (orientation == 1) return image;
  const int w = image.width;
  const int h = image.height;
  const bool swap = orientation >= 5;
  RgbImage out;
  out.width = swap ? h : w;
  out.height = swap ? w : h;
  out.pixels.resize(image.pixels.size());
  for (int y = 0; y < out.height; ++y) {
    for (int x = 0; x < out.width; ++x) {
      // Where the pixel that is shown at (x, y) is stored.
      int from_x = swap ? y : x;
      int from_y = swap ? x : y;
      if (orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8) {
        from_x = w - 1 - from_x;
      }
      if (orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7) {
        from_y = h - 1 - from_y;
      }
      const std::size_t from = 3 * (static_cast<std::size_t>(from_y) * w + from_x);
      const std::size_t to = 3 * (static_cast<std::size_t>(y) * out.width + x);
      std::copy_n(image.pixels.begin() + static_cast<std::ptrdiff_t>(from), 3,
                  out.pixels.begin() + static_cast<std::ptrdiff_t>(to));
    }
  }
  return out;
}

Error neither_jpeg_nor_png(const std::string& name) {
  return Error("image " + name + " is neither JPEG nor PNG; convert it first");
}

Error too_large(const std::string& name, std::size_t most) {
  return Error("image " + name + " is larger than " + std::to_string(most >> 20) +
               " MB; make it smaller first");
}

void check_memory(int width, int height, int bytes_per_pixel, uint64_t max_bytes,
                  const std::string& name) {
  const uint64_t needed = static_cast<uint64_t>(bytes_per_pixel) * static_cast<uint64_t>(width) *
                          static_cast<uint64_t>(height);
  if (needed <= max_bytes) return;
  throw Error("image " + name + " has " + std::to_string(width) + " x " + std::to_string(height) +
              " pixels and needs about " + std::to_string((needed >> 20) + 1) +
              " MB, more than the allowed " + std::to_string(max_bytes >> 20) +
              " MB; make it smaller, or raise --max-memory-mb");
}

}  // namespace

RgbImage decode_image(const uint8_t* data, std::size_t size, const std::string& name,
                      uint64_t max_memory_bytes) {
  const ImageContainer container = inspect_image(data, size);
  if (container.format == ImageContainer::Format::kUnknown) throw neither_jpeg_nor_png(name);
  if (!container.complete) {
    throw Error("image " + name + " is truncated or damaged; fetch it again");
  }
  if (size > kMostImageBytes) throw too_large(name, kMostImageBytes);
  int width = 0;
  int height = 0;
  int channels = 0;
  if (max_memory_bytes > 0 &&
      stbi_info_from_memory(data, static_cast<int>(size), &width, &height, &channels) != 0) {
    check_memory(width, height, container.bytes_per_pixel, max_memory_bytes, name);
  }
  std::unique_ptr<stbi_uc, void (*)(void*)> rgba(
      stbi_load_from_memory(data, static_cast<int>(size), &width, &height, &channels, 4),
      &stbi_image_free);
  if (!rgba) {
    throw Error("image " + name + " cannot be decoded (" + stbi_failure_reason() +
                "); save it as plain JPEG or PNG");
  }
  RgbImage image;
  image.width = width;
  image.height = height;
  const std::size_t count = static_cast<std::size_t>(width) * static_cast<std::size_t>(height);
  image.pixels.resize(3 * count);
  for (std::size_t i = 0; i < count; ++i) {
    const unsigned alpha = rgba.get()[4 * i + 3];
    for (std::size_t c = 0; c < 3; ++c) {
      const unsigned over_white = rgba.get()[4 * i + c] * alpha + 255 * (255 - alpha);
      image.pixels[3 * i + c] = static_cast<uint8_t>((over_white + 127) / 255);
    }
  }
  rgba.reset();  // turning takes a copy of its own
  return oriented(std::move(image), container.orientation);
}

std::string read_bytes(const std::string& path, std::size_t most) {
  const auto unreadable = [&path](const char* why) {
    return Error("cannot read image " + path + ": " + why);
  };
  const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
  if (!file) throw unreadable(std::strerror(errno));
  std::string bytes;
  char part[1 << 16];
  while (const std::size_t count = std::fread(part, 1, sizeof part, file.get())) {
    if (bytes.empty() && image_format(part, count) == ImageContainer::Format::kUnknown) {
      throw neither_jpeg_nor_png(path);
    }
    if (count > most - bytes.size()) throw too_large(path, most);
    bytes.append(part, count);
  }
  // A folder opens, but reading it is an error.
  if (std::ferror(file.get()) != 0) throw unreadable(std::strerror(errno));
  if (bytes.empty()) throw unreadable("the file is empty");
  return bytes;
}

Crop centre_crop(int width, int height, int64_t target_width, int64_t target_height) {
  Crop crop{0, 0, width, height};
  if (int64_t{width} * target_height > int64_t{height} * target_width) {
    crop.width = static_cast<int>(
        std::lround(static_cast<double>(height) * static_cast<double>(target_width) /
                    static_cast<double>(target_height)));
  } else {
    crop.height = static_cast<int>(
        std::lround(static_cast<double>(width) * static_cast<double>(target_height) /
                    static_cast<double>(target_width)));
  }
  crop.width = std::clamp(crop.width, 1, width);
  crop.height = std::clamp(crop.height, 1, height);
  crop.x = (width - crop.width) / 2;
  crop.y = (height - crop.height) / 2;
  return crop;
}

std::vector<float> crop_and_resize(const RgbImage& image, const Crop& crop, int64_t height,
                                   int64_t width) {
  const auto w = static_cast<std::size_t>(width);
  const auto h = static_cast<std::size_t>(height);
  const auto crop_w = static_cast<std::size_t>(crop.width);
  const auto crop_h = static_cast<std::size_t>(crop.height);
  std::vector<float> planes(3 * h * w);
  std::vector<float> cropped(crop_w * crop_h);
  for (std::size_t c = 0; c < 3; ++c) {
    for (std::size_t y = 0; y < crop_h; ++y) {
      const std::size_t row =
          (static_cast<std::size_t>(crop.y) + y) * static_cast<std::size_t>(image.width) +
          static_cast<std::size_t>(crop.x);
      for (std::size_t x = 0; x < crop_w; ++x) {
        cropped[y * crop_w + x] = static_cast<float>(image.pixels[3 * (row + x) + c]) / 255.0f;
      }
    }
    resize_plane(cropped.data(), crop_h, crop_w, planes.data() + c * h * w, h, w);
  }
  // The cubic overshoots at edges.
  for (float& value : planes) value = std::clamp(value, 0.0f, 1.0f);
  return planes;
}

}  // namespace mobilevd
