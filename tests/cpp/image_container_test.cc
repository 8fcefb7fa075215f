#include "runtime/image_container.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace mobilevd {
namespace {

using Bytes = std::vector<uint8_t>;

Bytes tiff(bool little, uint16_t tag, uint16_t type, uint32_t count, uint16_t value) {
  Bytes out;
  const auto put = [&](uint32_t number, int bytes) {
    for (int i = 0; i < bytes; ++i) {
      const int shift = 8 * (little ? i : bytes - 1 - i);
      out.push_back(static_cast<uint8_t>(number >> shift));
    }
  };
  const uint8_t order = little ? 'I' : 'M';
  out.push_back(order);
  out.push_back(order);
  put(42, 2);
  put(8, 4);  // the directory follows
  put(1, 2);  // one entry
  put(tag, 2);
  put(type, 2);
  put(count, 4);
  put(value, 2);
  put(0, 2);
  return out;
}

Bytes jpeg_with(const Bytes& exif) {
  Bytes jpeg{0xFF, 0xD8, 0xFF, 0xE1};
  const std::size_t length = exif.size() + 8;
  jpeg.push_back(static_cast<uint8_t>(length >> 8));
  jpeg.push_back(static_cast<uint8_t>(length));
  for (const char c : {'E', 'x', 'i', 'f', '\0', '\0'}) jpeg.push_back(static_cast<uint8_t>(c));
  jpeg.insert(jpeg.end(), exif.begin(), exif.end());
  // An empty scan with a stuffed 0xFF and a restart marker, then the end.
  for (const int byte : {0xFF, 0xDA, 0, 2, 0x12, 0xFF, 0x00, 0xFF, 0xD0, 0x34, 0xFF, 0xD9}) {
    jpeg.push_back(static_cast<uint8_t>(byte));
  }
  return jpeg;
}

TEST(Exif, OrientationInBothByteOrders) {
  for (int orientation = 1; orientation <= 8; ++orientation) {
    for (const bool little : {true, false}) {
      const Bytes block = tiff(little, 0x0112, 3, 1, static_cast<uint16_t>(orientation));
      EXPECT_EQ(exif_orientation(block.data(), block.size()), orientation) << little;
    }
  }
}

TEST(Exif, NonsenseIsUpright) {
  for (const Bytes& block :
       {tiff(true, 0x0112, 3, 1, 0), tiff(true, 0x0112, 3, 1, 9), tiff(true, 0x0112, 4, 1, 6),
        tiff(true, 0x0112, 3, 2, 6), tiff(true, 0x0113, 3, 1, 6), Bytes{'I', 'I', '*', 0}, Bytes{},
        Bytes{'I', 'I', '*', 0, 0xFF, 0xFF, 0xFF, 0xFF}, Bytes(64, 0)}) {
    EXPECT_EQ(exif_orientation(block.data(), block.size()), 1);
  }
}

TEST(Exif, EveryTruncationIsRead) {
  const Bytes block = tiff(true, 0x0112, 3, 1, 6);
  for (std::size_t size = 0; size < block.size() - 2; ++size) {
    const Bytes part(block.begin(), block.begin() + static_cast<std::ptrdiff_t>(size));
    const int orientation = exif_orientation(part.data(), part.size());
    EXPECT_EQ(orientation, size >= 20 ? 6 : 1) << size;
  }
}

TEST(Container, JpegWithExifIsComplete) {
  const Bytes jpeg = jpeg_with(tiff(false, 0x0112, 3, 1, 8));
  const ImageContainer image = inspect_image(jpeg.data(), jpeg.size());
  EXPECT_EQ(image.format, ImageContainer::Format::kJpeg);
  EXPECT_TRUE(image.complete);
  EXPECT_EQ(image.orientation, 8);
}

TEST(Container, AnyTruncationIsIncomplete) {
  const Bytes jpeg = jpeg_with(tiff(false, 0x0112, 3, 1, 8));
  for (std::size_t size = 0; size < jpeg.size(); ++size) {
    const Bytes part(jpeg.begin(), jpeg.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_FALSE(inspect_image(part.data(), part.size()).complete) << size;
  }
}

// Under the asan preset this shows that no byte outside is read.
TEST(Container, RandomBytesAreHarmless) {
  std::mt19937 random(1);
  const std::string png_signature("\x89PNG\r\n\x1A\n", 8);
  const Bytes jpeg = jpeg_with(tiff(true, 0x0112, 3, 1, 6));
  for (int round = 0; round < 20000; ++round) {
    Bytes bytes = jpeg;
    if (round % 2 == 0) {
      bytes.assign(random() % 80, 0);
      for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
      if (bytes.size() > 8) std::copy(png_signature.begin(), png_signature.end(), bytes.begin());
    } else {
      for (int change = 0; change < 4; ++change) {
        bytes[3 + random() % (bytes.size() - 3)] = static_cast<uint8_t>(random());
      }
    }
    const ImageContainer image = inspect_image(bytes.data(), bytes.size());
    EXPECT_GE(image.orientation, 1);
    EXPECT_LE(image.orientation, 8);
  }
}

}  // namespace
}  // namespace mobilevd
