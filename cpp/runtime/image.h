#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace mobilevd {

/// 8-bit RGB, [height, width, 3], top row first.
struct RgbImage {
  int width = 0, height = 0;
  std::vector<uint8_t> pixels;
};

/// Decodes a whole JPEG or PNG held in memory: EXIF rotation applied, alpha composited over white,
/// grey and palette expanded, 16 bits reduced to 8. One decoder for C++ and Python, so that bits
/// agree. `name` stands in the messages. Throws Error for anything else, truncated or broken, and
/// for a picture that takes more than about `max_memory_bytes` (0: no limit) until it is cropped.
RgbImage decode_image(const uint8_t* data, std::size_t size, const std::string& name,
                      uint64_t max_memory_bytes = 0);

/// Larger files are no pictures for us.
inline constexpr std::size_t kMostImageBytes = std::size_t{1} << 30;

/// The bytes of a JPEG or PNG file. Throws Error, for what begins like neither at once, and for
/// more than `most` bytes when it has read as many.
std::string read_bytes(const std::string& path, std::size_t most = kMostImageBytes);

/// A rectangle of an image, in pixels.
struct Crop {
  int x = 0, y = 0, width = 0, height = 0;
};

/// The crop rule: the largest rectangle of the target's aspect ratio that fits, centred. Sizes are
/// rounded to the nearest pixel, offsets down; at least one pixel each way.
Crop centre_crop(int width, int height, int64_t target_width, int64_t target_height);

/// Crops, then resizes to [3, height, width] in [0, 1], planes R, G, B.
std::vector<float> crop_and_resize(const RgbImage& image, const Crop& crop, int64_t height,
                                   int64_t width);

}  // namespace mobilevd
