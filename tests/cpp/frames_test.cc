#include "runtime/frames.h"

#include <fcntl.h>

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <limits>

#include "runtime/error.h"
#include "runtime/image.h"
#include "runtime/output_file.h"
#include "scratch_folder.h"

namespace {
// The next rename to this path fails.
std::string failing_rename_to;
}  // namespace

// In front of libc's, also for the runtime's library, so that a test can let one rename fail.
extern "C" int rename(const char* from, const char* to) noexcept {
  if (!failing_rename_to.empty() && failing_rename_to == to) {
    failing_rename_to.clear();
    errno = EIO;
    return -1;
  }
  return ::renameat(AT_FDCWD, from, AT_FDCWD, to);
}

namespace mobilevd {
namespace {

Frames two_frames() {
  Frames frames;
  frames.count = 2;
  frames.height = 1;
  frames.width = 2;
  frames.rgb = {255, 255, 255, 0, 0, 0, 255, 0, 0, 0, 0, 255};
  return frames;
}

TEST(Quantize, RoundsHalfAwayAndClamps) {
  Frames frames;
  frames.count = 1;
  frames.height = 1;
  frames.width = 6;
  frames.rgb.resize(18);
  std::vector<float> planes(18, -1.0f);
  const float red[6] = {-2.0f, -1.0f, 0.0f, 1.0f, 5.0f, 0.5f};
  std::copy(red, red + 6, planes.begin());
  quantize_frames(planes.data(), 1, 0, frames);
  const int expected[6] = {0, 0, 128, 255, 255, 191};  // 127.5 -> 128, 191.25 -> 191
  for (int i = 0; i < 6; ++i) EXPECT_EQ(frames.rgb[3 * i], expected[i]) << i;
  EXPECT_EQ(frames.rgb[1], 0);
}

TEST(Y4m, HeaderAndBytes) {
  const Frames frames = two_frames();
  EXPECT_EQ(y4m_header(frames, 7), "YUV4MPEG2 W2 H1 F7:1 Ip A1:1 C444 XCOLORRANGE=FULL\n");
  EXPECT_EQ(y4m_header(frames, 29.97),
            "YUV4MPEG2 W2 H1 F29970:1000 Ip A1:1 C444 XCOLORRANGE=FULL\n");
  // White and black: no colour; full range, so Y reaches 255 and 0.
  EXPECT_EQ(y4m_frame(frames, 0), std::string("FRAME\n\xff\x00\x80\x80\x80\x80", 12));
  // Red: Y 76, Cb 85, Cr 255; blue: Y 29, Cb 255, Cr 107.
  EXPECT_EQ(y4m_frame(frames, 1), std::string("FRAME\n\x4c\x1d\x55\xff\xff\x6b", 12));
}

using FramesFile = testing::ScratchFolder;

TEST_F(FramesFile, Y4mIsHeaderThenFrames) {
  const Frames frames = two_frames();
  write_frames(frames, 7, path("clip.y4m"));
  EXPECT_EQ(get("clip.y4m"), y4m_header(frames, 7) + y4m_frame(frames, 0) + y4m_frame(frames, 1));
  EXPECT_EQ(entries(), 1u);
}

TEST_F(FramesFile, PngFolderHoldsTheExactPixels) {
  const Frames frames = two_frames();
  write_frames(frames, 7, path("clip/"));
  for (int f = 0; f < 2; ++f) {
    const std::string png = get("clip/frame_000" + std::to_string(f) + ".png");
    const RgbImage image =
        decode_image(reinterpret_cast<const uint8_t*>(png.data()), png.size(), "frame");
    EXPECT_EQ(image.pixels, std::vector<uint8_t>(frames.frame(f), frames.frame(f) + 6));
  }
  EXPECT_EQ(entries(), 1u);
}

TEST_F(FramesFile, AnOlderClipIsReplacedWhole) {
  Frames frames = two_frames();
  write_frames(frames, 7, path("clip"));
  frames.count = 1;
  write_frames(frames, 7, path("clip"));
  EXPECT_TRUE(std::filesystem::exists(path("clip/frame_0000.png")));
  EXPECT_FALSE(std::filesystem::exists(path("clip/frame_0001.png")));
  EXPECT_EQ(entries(), 1u);
}

TEST_F(FramesFile, AFailedReplacementKeepsTheOlderClip) {
  const Frames frames = two_frames();
  write_frames(frames, 7, path("clip"));
  const std::string before = get("clip/frame_0000.png");
  Frames other = frames;
  other.rgb[0] = 7;
  failing_rename_to = path("clip");  // the second rename: the older clip is already aside
  const auto message = testing::error_of([&] { write_frames(other, 7, path("clip")); });
  EXPECT_NE(message.find("cannot write"), std::string::npos) << message;
  EXPECT_TRUE(failing_rename_to.empty());
  EXPECT_EQ(get("clip/frame_0000.png"), before);
  EXPECT_TRUE(std::filesystem::exists(path("clip/frame_0001.png")));
  EXPECT_EQ(entries(), 1u);
}

TEST_F(FramesFile, LeftoversOfAKilledProcessDoNotMixIn) {
  const std::string temporary = temporary_name(path("clip"));
  std::filesystem::create_directory(temporary);
  std::ofstream(temporary + "/frame_0099.png") << "stale";
  write_frames(two_frames(), 7, path("clip"));
  EXPECT_FALSE(std::filesystem::exists(path("clip/frame_0099.png")));
  EXPECT_TRUE(std::filesystem::exists(path("clip/frame_0001.png")));
  EXPECT_EQ(entries(), 1u);
}

TEST_F(FramesFile, OutputsAreCheckedWithoutFrames) {
  put("file", "precious");
  std::filesystem::create_directory(path("photos"));
  put("photos/holiday.png", "precious");
  std::filesystem::create_directory(path("folder.y4m"));
  for (const char* name : {"file", "file/", "photos", "photos/", "folder.y4m", "clip.mp4"}) {
    try {
      check_output(path(name));
      ADD_FAILURE() << name << " was not refused";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), Error::Kind::kUsage) << error.what();
      EXPECT_EQ(testing::error_of([&] { write_frames(two_frames(), 7, path(name)); }),
                error.what());
    }
  }
  EXPECT_EQ(get("file"), "precious");
  std::filesystem::create_directory(path("empty"));
  write_frames(two_frames(), 7, path("clip"));
  for (const char* name : {"new", "new.y4m", "empty", "clip", "clip/"}) check_output(path(name));
}

TEST_F(FramesFile, WhatNoRenameCanReplaceIsRefused) {
  const auto refusal = [](const std::string& name) {
    return testing::error_of([&] { check_output(name); });
  };
  EXPECT_NE(refusal("/proc").find("is a mount point"), std::string::npos);
  std::filesystem::create_symlink("nowhere", path("link"));
  EXPECT_NE(refusal(path("link")).find("is a link to what is not there"), std::string::npos);
  EXPECT_NE(refusal(path("none/clip")).find("there is no folder " + path("none")),
            std::string::npos);
  std::filesystem::create_directory(path("empty"));
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(path("empty"));
  const std::string here = refusal(".");
  std::filesystem::current_path(before);
  EXPECT_EQ(here, "output . is the working folder; choose a new folder in it");
}

TEST_F(FramesFile, ALinkToAFolderStays) {
  std::filesystem::create_directory(path("real"));
  std::filesystem::create_directory_symlink("real", path("link"));
  for (int i = 0; i < 2; ++i) write_frames(two_frames(), 7, path("link"));
  EXPECT_TRUE(std::filesystem::is_symlink(path("link")));
  EXPECT_TRUE(std::filesystem::exists(path("real/frame_0001.png")));
  EXPECT_EQ(entries(), 2u);
}

TEST_F(FramesFile, AFolderWithOtherThingsIsLeftAlone) {
  std::filesystem::create_directory(path("photos"));
  put("photos/holiday.png", "precious");
  const auto message = testing::error_of([&] { write_frames(two_frames(), 7, path("photos")); });
  EXPECT_NE(message.find("holiday.png"), std::string::npos) << message;
  EXPECT_EQ(get("photos/holiday.png"), "precious");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(FramesFile, EndingsAndMissingFolders) {
  EXPECT_EQ(frame_format("a.y4m"), FrameFormat::kY4m);
  EXPECT_EQ(frame_format("a/"), FrameFormat::kPngFolder);
  EXPECT_NE(testing::error_of([] { frame_format("a.mp4"); }).find("mobilevd generate"),
            std::string::npos);
  testing::error_of([&] { write_frames(two_frames(), 7, path("none/clip")); });
  testing::error_of([&] { write_frames(two_frames(), 7, path("none/clip.y4m")); });
  EXPECT_EQ(entries(), 0u);
}

}  // namespace
}  // namespace mobilevd
