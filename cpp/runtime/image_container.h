#pragma once

#include <cstddef>
#include <cstdint>

namespace mobilevd {

/// What a JPEG or PNG file says about itself before its pixels are decoded. Every read is checked
/// against `size`; any bytes may be given.
struct ImageContainer {
  enum class Format { kUnknown, kJpeg, kPng };
  Format format = Format::kUnknown;
  /// The end marker is there; a JPEG's scans have their tables, and every chunk of a PNG its CRC.
  bool complete = false;
  int orientation = 1;  ///< EXIF orientation 1..8; 1 when absent or unreadable
  /// What decoding takes at once: stb_image's own planes and RGBA, then ours.
  int bytes_per_pixel = 10;
};

/// The format, by the first bytes of a file.
ImageContainer::Format image_format(const void* data, std::size_t size);

ImageContainer inspect_image(const uint8_t* data, std::size_t size);

/// Orientation tag (0x0112) of a TIFF block as EXIF holds it; 1 when absent or unreadable.
int exif_orientation(const uint8_t* tiff, std::size_t size);

}  // namespace mobilevd
