#include "runtime/image_container.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <utility>
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

constexpr uint8_t kQuantisation = 0xDB, kFrame = 0xC0, kHuffman = 0xC4, kScan = 0xDA;

void add(Bytes& jpeg, uint8_t marker, const Bytes& payload) {
  const std::size_t length = payload.size() + 2;
  for (const std::size_t byte : {std::size_t{0xFF}, std::size_t{marker}, length >> 8, length}) {
    jpeg.push_back(static_cast<uint8_t>(byte));
  }
  jpeg.insert(jpeg.end(), payload.begin(), payload.end());
}

/// A table of so many codes of 1, 2, ... bits.
Bytes huffman(uint8_t kind_and_number, Bytes codes) {
  codes.resize(16);
  Bytes table{kind_and_number};
  table.insert(table.end(), codes.begin(), codes.end());
  std::size_t total = 0;
  for (const uint8_t count : codes) total += count;
  table.resize(table.size() + total);
  return table;
}

Bytes jpeg_with(const Bytes& exif) {
  Bytes jpeg{0xFF, 0xD8, 0xFF, 0xE1};
  const std::size_t length = exif.size() + 8;
  jpeg.push_back(static_cast<uint8_t>(length >> 8));
  jpeg.push_back(static_cast<uint8_t>(length));
  for (const char c : {'E', 'x', 'i', 'f', '\0', '\0'}) jpeg.push_back(static_cast<uint8_t>(c));
  jpeg.insert(jpeg.end(), exif.begin(), exif.end());
  add(jpeg, kQuantisation, Bytes(65, 0));
  add(jpeg, kFrame, {8, 0, 8, 0, 8, 1, 7, 0x11, 0});  // 8x8, one component, named 7
  add(jpeg, kHuffman, huffman(0, {1}));
  add(jpeg, kHuffman, huffman(0x10, {1}));
  add(jpeg, kScan, {1, 7, 0, 0, 63, 0});
  // A stuffed 0xFF and a restart marker, then the end.
  for (const int byte : {0x12, 0xFF, 0x00, 0xFF, 0xD0, 0x34, 0xFF, 0xD9}) {
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

TEST(Container, SaysWhatDecodingTakes) {
  Bytes png{0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  png.resize(33);
  const auto of_png = [&](uint8_t depth, uint8_t interlaced) {
    png[24] = depth;
    png[28] = interlaced;
    return inspect_image(png.data(), png.size()).bytes_per_pixel;
  };
  EXPECT_EQ(of_png(8, 1), 10);
  EXPECT_EQ(of_png(16, 0), 16);
  EXPECT_EQ(of_png(16, 1), 20);
  Bytes jpeg = jpeg_with({});
  EXPECT_EQ(inspect_image(jpeg.data(), jpeg.size()).bytes_per_pixel, 10);
  for (std::size_t i = 0; i + 1 < jpeg.size(); ++i) {
    if (jpeg[i] == 0xFF && jpeg[i + 1] == kFrame) jpeg[i + 1] = 0xC2;
  }
  EXPECT_EQ(inspect_image(jpeg.data(), jpeg.size()).bytes_per_pixel, 16);
}

/// A whole JPEG of these segments, its scan last.
bool complete(const std::vector<std::pair<uint8_t, Bytes>>& segments) {
  Bytes jpeg{0xFF, 0xD8};
  for (const auto& [marker, payload] : segments) add(jpeg, marker, payload);
  jpeg.insert(jpeg.end(), {0x12, 0xFF, 0xD9});
  return inspect_image(jpeg.data(), jpeg.size()).complete;
}

/// Each of the first ones would have stb_image 2.27 write or read outside its tables.
TEST(Container, AScanNeedsItsTables) {
  using Segment = std::pair<uint8_t, Bytes>;
  const Segment quantisation{kQuantisation, Bytes(65, 0)};
  const Segment frame{kFrame, {8, 0, 8, 0, 8, 1, 7, 0x11, 0}};
  const Segment progressive{0xC2, frame.second};
  const Segment dc{kHuffman, huffman(0, {1})}, ac{kHuffman, huffman(0x10, {1})};
  const Segment scan{kScan, {1, 7, 0, 0, 63, 0}};
  EXPECT_TRUE(complete({quantisation, frame, dc, ac, scan}));
  EXPECT_FALSE(complete({quantisation, frame, dc, scan}));
  EXPECT_FALSE(complete({quantisation, frame, ac, scan}));
  EXPECT_FALSE(complete({frame, dc, ac, scan}));
  EXPECT_FALSE(complete({quantisation, dc, ac, scan}));
  EXPECT_FALSE(complete({quantisation, frame, dc, ac, {kScan, {1, 7, 0x10, 0, 63, 0}}}));
  EXPECT_FALSE(complete({quantisation, frame, dc, ac, {kScan, {1, 8, 0, 0, 63, 0}}}));
  EXPECT_FALSE(complete({quantisation, frame, dc, ac, {kScan, {2, 7, 0, 0, 63, 0}}}));
  Bytes many(16, 0);
  many[9] = many[10] = 255;
  EXPECT_FALSE(complete({quantisation, frame, dc, {kHuffman, huffman(0x10, many)}, scan}));
  many[10] = 1;
  EXPECT_TRUE(complete({quantisation, frame, dc, {kHuffman, huffman(0x10, many)}, scan}));
  EXPECT_FALSE(complete({quantisation, frame, dc, ac, {kHuffman, huffman(0x20, {1})}, scan}));
  EXPECT_FALSE(complete({quantisation, frame, dc, ac, {kHuffman, Bytes(9, 0)}, scan}));
  // The first scan of a progressive picture has the DC coefficients alone, later ones the others.
  const Segment first{kScan, {1, 7, 0, 0, 0, 0x01}}, refined{kScan, {1, 7, 0, 0, 0, 0x10}};
  const Segment others{kScan, {1, 7, 0, 1, 63, 0}};
  EXPECT_TRUE(complete({quantisation, progressive, dc, first}));
  EXPECT_TRUE(complete({quantisation, progressive, refined}));
  EXPECT_TRUE(complete({quantisation, progressive, ac, others}));
  EXPECT_FALSE(complete({quantisation, progressive, ac, first}));
  EXPECT_FALSE(complete({quantisation, progressive, dc, others}));
  // Arithmetic codes: for the decoder to refuse, in its own words.
  EXPECT_TRUE(complete({quantisation, {0xC9, frame.second}, scan}));
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
