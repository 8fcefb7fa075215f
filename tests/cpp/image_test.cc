#include "runtime/image.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#include <stb/stb_image_write.h>
#pragma GCC diagnostic pop

#include "runtime/error.h"
#include "runtime/resize.h"
#include "scratch_folder.h"

namespace mobilevd {
namespace {

// Not inlined: GCC 12 otherwise warns of a branch of stb that small images never take.
[[gnu::noinline]] std::string png(int width, int height, int channels,
                                  const std::vector<uint8_t>& pixels) {
  std::string bytes;
  stbi_write_png_to_func(
      [](void* context, void* data, int size) {
        static_cast<std::string*>(context)->append(static_cast<char*>(data),
                                                   static_cast<std::size_t>(size));
      },
      &bytes, width, height, channels, pixels.data(), width * channels);
  return bytes;
}

RgbImage decode(const std::string& bytes) {
  return decode_image(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), "test");
}

TEST(Crop, LargestCentredRectangleOfTheAspectRatio) {
  const auto expect = [](const Crop& crop, int x, int y, int width, int height) {
    EXPECT_EQ(crop.x, x);
    EXPECT_EQ(crop.y, y);
    EXPECT_EQ(crop.width, width);
    EXPECT_EQ(crop.height, height);
  };
  expect(centre_crop(640, 427, 64, 64), 106, 0, 427, 427);
  expect(centre_crop(427, 640, 64, 64), 0, 106, 427, 427);
  expect(centre_crop(640, 427, 1024, 576), 0, 33, 640, 360);
  expect(centre_crop(1024, 576, 1024, 576), 0, 0, 1024, 576);
  expect(centre_crop(1, 1, 1024, 576), 0, 0, 1, 1);
  expect(centre_crop(3, 1000, 1000, 1), 0, 499, 3, 1);
}

TEST(Decode, AlphaGoesOverWhite) {
  const auto image = decode(png(3, 1, 4, {10, 20, 30, 255, 10, 20, 30, 0, 0, 100, 200, 128}));
  EXPECT_EQ(image.pixels, (std::vector<uint8_t>{10, 20, 30, 255, 255, 255, 127, 177, 227}));
}

TEST(Decode, GreyBecomesRgb) {
  EXPECT_EQ(decode(png(1, 1, 1, {77})).pixels, (std::vector<uint8_t>{77, 77, 77}));
}

TEST(Decode, BadBytesAreNamed) {
  const std::string good = png(5, 4, 3, std::vector<uint8_t>(60, 9));
  EXPECT_NE(testing::error_of([] { decode(""); }).find("neither JPEG nor PNG"), std::string::npos);
  EXPECT_NE(testing::error_of([] { decode("GIF89a..."); }).find("neither"), std::string::npos);
  for (std::size_t size = 8; size < good.size(); ++size) {
    EXPECT_NE(testing::error_of([&] { decode(good.substr(0, size)); }).find("truncated"),
              std::string::npos)
        << size;
  }
  std::string flipped = good;
  flipped[flipped.size() / 2] ^= 1;
  EXPECT_NE(testing::error_of([&] { decode(flipped); }).find("damaged"), std::string::npos);
}

TEST(Decode, APictureBeyondTheMemoryAllowedIsRefused) {
  const std::string bytes = png(512, 256, 3, std::vector<uint8_t>(3 * 512 * 256, 9));
  const auto decode_within = [&](uint64_t memory) {
    return decode_image(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), "test",
                        memory);
  };
  EXPECT_EQ(decode_within(10 * 512 * 256).width, 512);
  EXPECT_EQ(
      testing::error_of([&] { decode_within(1 << 20); }),
      "image test has 512 x 256 pixels and needs about 2 MB, more than the allowed 1 MB; make "
      "it smaller, or raise --max-memory-mb");
}

using ImageFile = testing::ScratchFolder;

TEST_F(ImageFile, WhyItCannotBeReadIsSaid) {
  put("empty.png", "");
  put("photo.jpg", std::string("\xff\xd8\xff\0b", 5));
  put("text.png", "none");
  const auto why = [&](const std::string& name) {
    return testing::error_of([&] { read_bytes(path(name)); });
  };
  errno = ENOENT;  // must not show
  EXPECT_EQ(why("empty.png"), "cannot read image " + path("empty.png") + ": the file is empty");
  EXPECT_EQ(why("none.png"),
            "cannot read image " + path("none.png") + ": No such file or directory");
  EXPECT_EQ(why("."), "cannot read image " + path(".") + ": Is a directory");
  EXPECT_EQ(why("text.png"),
            "image " + path("text.png") + " is neither JPEG nor PNG; convert it first");
  EXPECT_EQ(read_bytes(path("photo.jpg")), std::string("\xff\xd8\xff\0b", 5));
}

TEST_F(ImageFile, IsReadUpToALimitOnly) {
  EXPECT_NE(testing::error_of([] { read_bytes("/dev/zero"); }).find("neither JPEG nor PNG"),
            std::string::npos);
  const std::size_t limit = std::size_t{1} << 20;
  put("photo.jpg", "\xff\xd8\xff" + std::string(limit - 3, '\0'));
  EXPECT_EQ(read_bytes(path("photo.jpg"), limit).size(), limit);
  put("photo.jpg", "\xff\xd8\xff" + std::string(limit - 2, '\0'));
  EXPECT_EQ(testing::error_of([&] { read_bytes(path("photo.jpg"), limit); }),
            "image " + path("photo.jpg") + " is larger than 1 MB; make it smaller first");
}

TEST(Resize, SameSizeIsExact) {
  const float in[6] = {0.0f, 0.25f, 1.0f, 0.5f, 0.75f, 0.125f};
  float out[6];
  resize_plane(in, 2, 3, out, 2, 3);
  EXPECT_EQ(std::memcmp(in, out, sizeof in), 0);
}

TEST(Resize, KeepsConstantsAndAverages) {
  std::vector<float> in(37 * 23, 0.3f);
  std::vector<float> out(8 * 8);
  resize_plane(in.data(), 37, 23, out.data(), 8, 8);
  for (const float value : out) EXPECT_NEAR(value, 0.3f, 1e-6f);
  // A fine checkerboard shrinks to grey: the filter is wide enough not to alias.
  std::vector<float> board(64 * 64);
  for (std::size_t i = 0; i < board.size(); ++i) board[i] = (i + i / 64) % 2 == 0 ? 0.0f : 1.0f;
  resize_plane(board.data(), 64, 64, out.data(), 8, 8);
  for (const float value : out) EXPECT_NEAR(value, 0.5f, 0.01f);
}

TEST(CropAndResize, PlanesAndRange) {
  RgbImage image;
  image.width = 4;
  image.height = 2;
  for (int i = 0; i < 8; ++i) {
    image.pixels.push_back(static_cast<uint8_t>(i % 4 == 0 ? 255 : 0));
    image.pixels.push_back(255);
    image.pixels.push_back(0);
  }
  const auto planes = crop_and_resize(image, {1, 0, 2, 2}, 2, 2);
  EXPECT_EQ(planes, (std::vector<float>{0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0}));
}

}  // namespace
}  // namespace mobilevd
