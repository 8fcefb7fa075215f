#include "runtime/image_container.h"

#include <array>
#include <cstring>

#include "runtime/jpeg_tables.h"

namespace mobilevd {
namespace {

/// Bytes with bounds: a read past the end gives nothing and makes ok() false.
class Reader {
 public:
  Reader(const uint8_t* data, std::size_t size) : data_(data), size_(size) {}

  uint32_t read(std::size_t offset, int bytes, bool little_endian = false) {
    if (offset > size_ || size_ - offset < static_cast<std::size_t>(bytes)) {
      ok_ = false;
      return 0;
    }
    uint32_t value = 0;
    for (int i = 0; i < bytes; ++i) {
      const int at = little_endian ? bytes - 1 - i : i;
      value = value << 8 | data_[offset + static_cast<std::size_t>(at)];
    }
    return value;
  }

  bool ok() const { return ok_; }

 private:
  const uint8_t* data_;
  std::size_t size_;
  bool ok_ = true;
};

void inspect_jpeg(const uint8_t* data, std::size_t size, ImageContainer& image) {
  JpegTables tables;
  std::size_t at = 2;
  bool in_scan = false;
  while (at + 2 <= size) {
    if (in_scan && data[at] != 0xFF) {  // entropy-coded bytes up to the next marker
      ++at;
      continue;
    }
    if (data[at] != 0xFF) return;
    const uint8_t marker = data[at + 1];
    if (marker == 0xFF) {  // fill byte
      ++at;
      continue;
    }
    if (in_scan && (marker == 0x00 || (marker >= 0xD0 && marker <= 0xD7))) {
      at += 2;  // a stuffed 0xFF or a restart marker: the scan goes on
      continue;
    }
    if (marker == 0xD9) {
      image.complete = in_scan;
      return;
    }
    if (at + 4 > size) return;
    const std::size_t length = static_cast<std::size_t>(data[at + 2]) << 8 | data[at + 3];
    if (length < 2 || length > size - at - 2) return;
    if (marker == 0xE1 && length >= 8 && std::memcmp(data + at + 4, "Exif\0\0", 6) == 0) {
      image.orientation = exif_orientation(data + at + 10, length - 8);
    }
    if (marker == 0xC2) image.bytes_per_pixel = 16;  // progressive: all coefficients are kept
    if (!tables.take(marker, data + at + 4, length - 2)) return;
    in_scan = in_scan || marker == 0xDA;
    at += 2 + length;
  }
}

uint32_t crc32(const uint8_t* data, std::size_t size) {
  static const std::array<uint32_t, 256> table = [] {
    std::array<uint32_t, 256> entries{};
    for (uint32_t n = 0; n < 256; ++n) {
      uint32_t c = n;
      for (int bit = 0; bit < 8; ++bit) c = (c & 1) != 0 ? 0xEDB88320u ^ (c >> 1) : c >> 1;
      entries[n] = c;
    }
    return entries;
  }();
  uint32_t c = 0xFFFFFFFFu;
  for (std::size_t i = 0; i < size; ++i) c = table[(c ^ data[i]) & 0xFF] ^ (c >> 8);
  return c ^ 0xFFFFFFFFu;
}

void inspect_png(const uint8_t* data, std::size_t size, ImageContainer& image) {
  std::size_t at = 8;
  Reader reader(data, size);
  constexpr std::size_t kBitDepth = 24, kInterlaced = 28;  // of the first chunk, IHDR
  if (reader.read(kBitDepth, 1) == 16) {
    image.bytes_per_pixel = reader.read(kInterlaced, 1) != 0 ? 20 : 16;
  }
  while (true) {
    const std::size_t length = reader.read(at, 4);
    if (!reader.ok() || length > size || size - at < length + 12) return;
    if (reader.read(at + 8 + length, 4) != crc32(data + at + 4, length + 4)) return;
    if (std::memcmp(data + at + 4, "eXIf", 4) == 0) {
      image.orientation = exif_orientation(data + at + 8, length);
    }
    if (std::memcmp(data + at + 4, "IEND", 4) == 0) {
      image.complete = true;
      return;
    }
    at += length + 12;
  }
}

}  // namespace

int exif_orientation(const uint8_t* tiff, std::size_t size) {
  if (size < 8) return 1;
  bool little = false;
  if (std::memcmp(tiff, "II*\0", 4) == 0) {
    little = true;
  } else if (std::memcmp(tiff, "MM\0*", 4) != 0) {
    return 1;
  }
  Reader reader(tiff, size);
  const std::size_t directory = reader.read(4, 4, little);
  const uint32_t entries = reader.read(directory, 2, little);
  for (uint32_t i = 0; i < entries && reader.ok(); ++i) {
    const std::size_t entry = directory + 2 + std::size_t{12} * i;
    if (reader.read(entry, 2, little) != 0x0112) continue;
    constexpr uint32_t kShort = 3;
    const bool one_short =
        reader.read(entry + 2, 2, little) == kShort && reader.read(entry + 4, 4, little) == 1;
    const uint32_t value = reader.read(entry + 8, 2, little);
    return reader.ok() && one_short && value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

ImageContainer::Format image_format(const void* data, std::size_t size) {
  static constexpr uint8_t kPngSignature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  static constexpr uint8_t kJpegSignature[3] = {0xFF, 0xD8, 0xFF};
  if (size >= 3 && std::memcmp(data, kJpegSignature, 3) == 0) return ImageContainer::Format::kJpeg;
  if (size >= 8 && std::memcmp(data, kPngSignature, 8) == 0) return ImageContainer::Format::kPng;
  return ImageContainer::Format::kUnknown;
}

ImageContainer inspect_image(const uint8_t* data, std::size_t size) {
  ImageContainer image;
  image.format = image_format(data, size);
  if (image.format == ImageContainer::Format::kJpeg) inspect_jpeg(data, size, image);
  if (image.format == ImageContainer::Format::kPng) inspect_png(data, size, image);
  return image;
}

}  // namespace mobilevd
