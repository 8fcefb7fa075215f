#include "runtime/unrounded_frames.h"

#include <cstring>

#include "scratch_folder.h"

namespace mobilevd {
namespace {

Frames two_by_one() {
  Frames frames;
  frames.count = 2;
  frames.height = 1;
  frames.width = 2;
  return frames;
}

TEST(UnroundedFrames, AreInterleavedScaledAndClamped) {
  Frames frames = two_by_one();
  const float first[6] = {-1.0f, 1.0f, 0.0f, 0.5f, -3.0f, 3.0f};  // planes R, G, B
  const float second[6] = {0.25f, 0.25f, 0.25f, 0.25f, 0.25f, 0.25f};
  unrounded_frames(second, 1, 1, frames);
  unrounded_frames(first, 1, 0, frames);
  const std::vector<float> expected = {0.0f,   0.5f,   0.0f,   1.0f,   0.75f,  1.0f,
                                       0.625f, 0.625f, 0.625f, 0.625f, 0.625f, 0.625f};
  EXPECT_EQ(frames.unrounded, expected);
}

using UnroundedFramesFile = testing::ScratchFolder;

TEST_F(UnroundedFramesFile, IsAnNpyOfItsShape) {
  Frames frames = two_by_one();
  frames.unrounded.assign(12, 0.25f);
  write_unrounded(frames, path("frames.npy"));
  const std::string bytes = get("frames.npy");
  ASSERT_GT(bytes.size(), 10u);
  EXPECT_EQ(bytes.substr(0, 8), std::string("\x93NUMPY\x01\x00", 8));
  const std::size_t length = static_cast<uint8_t>(bytes[8]) + 256u * static_cast<uint8_t>(bytes[9]);
  EXPECT_EQ((10 + length) % 64, 0u);
  EXPECT_EQ(bytes.size(), 10 + length + 12 * sizeof(float));
  EXPECT_EQ(bytes[9 + length], '\n');
  EXPECT_NE(bytes.find("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1, 2, 3), }"),
            std::string::npos);
  float value = 0.0f;
  std::memcpy(&value, bytes.data() + bytes.size() - sizeof value, sizeof value);
  EXPECT_EQ(value, 0.25f);
  EXPECT_EQ(entries(), 1u);
}

TEST_F(UnroundedFramesFile, AFullDeviceIsAnError) {
  Frames frames = two_by_one();
  frames.unrounded.assign(12, 0.25f);
  EXPECT_NE(testing::error_of([&] { write_unrounded(frames, "/dev/full"); }).find("No space left"),
            std::string::npos);
}

}  // namespace
}  // namespace mobilevd
