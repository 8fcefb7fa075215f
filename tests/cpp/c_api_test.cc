// The C API on the shipped mini: MOBILEVD_MINI_BUNDLE names its folder.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "mobilevd/mobilevd.h"
#include "runtime/pipeline.h"
#include "scratch_folder.h"

namespace mobilevd {
namespace {

std::string mini() {
  const char* folder = std::getenv("MOBILEVD_MINI_BUNDLE");
  return folder == nullptr ? "" : folder;
}

RgbImage gradient() {
  RgbImage image;
  image.width = 40;
  image.height = 30;
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      for (const int level : {6 * x, 8 * y, 3 * (x + y)}) {
        image.pixels.push_back(static_cast<uint8_t>(level));
      }
    }
  }
  return image;
}

/// What the runner's own code makes of the picture.
std::vector<uint8_t> expected_frames(const RgbImage& image, uint64_t seed) {
  Pipeline pipeline(mini());
  ClipRequest request;
  request.picture = image;
  request.seed = seed;
  request.steps = 1;
  RunStats stats;
  return pipeline.generate(request, stats).rgb;
}

/// One sampling step: these tests are not about the clip.
mobilevd_request one_step(uint64_t seed = 0) {
  mobilevd_request request = MOBILEVD_REQUEST_INIT;
  request.seed = seed;
  request.steps = 1;
  return request;
}

class CApi : public testing::ScratchFolder {
 protected:
  void SetUp() override {
    ScratchFolder::SetUp();
    ASSERT_NE(mini(), "") << "set MOBILEVD_MINI_BUNDLE to the bundle that `make bundle` writes";
    ASSERT_EQ(mobilevd_open(mini().c_str(), nullptr, &pipeline_), MOBILEVD_OK) << error();
    ASSERT_EQ(mobilevd_clip_of(pipeline_, &clip_), MOBILEVD_OK);
    frames_.resize(clip_.bytes);
  }
  void TearDown() override {
    mobilevd_close(pipeline_);
    ScratchFolder::TearDown();
  }

  static std::string error() { return mobilevd_last_error(); }

  mobilevd_status generate(const mobilevd_request* request) {
    return mobilevd_generate_rgb(pipeline_, image_.pixels.data(), image_.width, image_.height,
                                 static_cast<size_t>(3 * image_.width), request, frames_.data(),
                                 frames_.size());
  }

  const RgbImage image_ = gradient();
  mobilevd_pipeline* pipeline_ = nullptr;
  mobilevd_clip clip_{};
  std::vector<uint8_t> frames_;
};

TEST_F(CApi, GivesTheRunnersFramesBitForBit) {
  EXPECT_STREQ(mobilevd_last_result(pipeline_), "");
  const mobilevd_request request = one_step(7);
  ASSERT_EQ(generate(&request), MOBILEVD_OK) << error();
  EXPECT_EQ(frames_, expected_frames(image_, 7));
  const std::string result = mobilevd_last_result(pipeline_);
  EXPECT_NE(result.find("\"tool\": \"libmobilevd\""), std::string::npos) << result;
  EXPECT_NE(result.find("\"seed\": 7"), std::string::npos) << result;
}

TEST_F(CApi, RowsMayBePaddedAndAFileIsThePicture) {
  const mobilevd_request request = one_step();
  const auto row = static_cast<size_t>(3 * image_.width);
  std::vector<uint8_t> padded((row + 5) * static_cast<size_t>(image_.height), 255);
  for (size_t y = 0; y < static_cast<size_t>(image_.height); ++y) {
    std::memcpy(padded.data() + y * (row + 5), image_.pixels.data() + y * row, row);
  }
  ASSERT_EQ(mobilevd_generate_rgb(pipeline_, padded.data(), 40, 30, row + 5, &request,
                                  frames_.data(), frames_.size()),
            MOBILEVD_OK)
      << error();
  EXPECT_EQ(frames_, expected_frames(image_, 0));

  Frames picture;  // written as the PNG of a clip of one frame
  picture.count = 1;
  picture.height = image_.height;
  picture.width = image_.width;
  picture.rgb = image_.pixels;
  write_frames(picture, 7, path("clip"));
  std::vector<uint8_t> from_file(clip_.bytes);
  ASSERT_EQ(mobilevd_generate_file(pipeline_, path("clip/frame_0000.png").c_str(), &request,
                                   from_file.data(), from_file.size()),
            MOBILEVD_OK)
      << error();
  EXPECT_EQ(from_file, frames_);
}

struct Calls {
  int count = 0, last_done = -1, total = 0, cancel_at = -1;
};

int count_calls(void* user, const char* stage, int32_t done, int32_t total) {
  auto& calls = *static_cast<Calls*>(user);
  EXPECT_NE(std::string(stage), "");
  ++calls.count;
  calls.last_done = done;
  calls.total = total;
  return done == calls.cancel_at ? 1 : 0;
}

TEST_F(CApi, ProgressReachesTheEndOrCancels) {
  Calls calls;
  mobilevd_request request = one_step();
  request.progress = count_calls;
  request.user = &calls;
  ASSERT_EQ(generate(&request), MOBILEVD_OK) << error();
  EXPECT_EQ(calls.last_done, calls.total);
  EXPECT_EQ(calls.count, calls.total + 1);

  calls = Calls();
  calls.cancel_at = 2;
  EXPECT_EQ(generate(&request), MOBILEVD_CANCELLED);
  EXPECT_EQ(error(), "cancelled");
  EXPECT_EQ(calls.last_done, 2);
  request.progress = nullptr;
  EXPECT_EQ(generate(&request), MOBILEVD_OK) << "a cancelled pipeline goes on";
}

TEST_F(CApi, TwoPipelinesInTwoThreads) {
  mobilevd_pipeline* other = nullptr;
  mobilevd_options options = MOBILEVD_OPTIONS_INIT;
  options.skip_hashes = 1;
  ASSERT_EQ(mobilevd_open(mini().c_str(), &options, &other), MOBILEVD_OK) << error();
  std::vector<uint8_t> others(clip_.bytes);
  mobilevd_status status = MOBILEVD_INTERNAL;
  std::thread thread([&] {
    const mobilevd_request request = one_step(1);
    status = mobilevd_generate_rgb(other, image_.pixels.data(), 40, 30, 120, &request,
                                   others.data(), others.size());
  });
  const mobilevd_request request = one_step();
  ASSERT_EQ(generate(&request), MOBILEVD_OK) << error();
  thread.join();
  ASSERT_EQ(status, MOBILEVD_OK);
  mobilevd_close(other);
  EXPECT_EQ(frames_, expected_frames(image_, 0));
  EXPECT_EQ(others, expected_frames(image_, 1));
}

struct Nested {
  mobilevd_pipeline* pipeline;
  uint8_t* frames;
  size_t bytes;
  mobilevd_status status = MOBILEVD_OK;
};

TEST_F(CApi, AClipWithinItsOwnProgressIsRefused) {
  Nested nested{pipeline_, frames_.data(), frames_.size()};
  mobilevd_request request = one_step();
  request.user = &nested;
  request.progress = [](void* user, const char*, int32_t, int32_t) {
    auto& inner = *static_cast<Nested*>(user);
    const uint8_t grey[3] = {128, 128, 128};
    inner.status =
        mobilevd_generate_rgb(inner.pipeline, grey, 1, 1, 3, nullptr, inner.frames, inner.bytes);
    return 1;
  };
  EXPECT_EQ(generate(&request), MOBILEVD_CANCELLED);
  EXPECT_EQ(nested.status, MOBILEVD_USAGE);
}

TEST_F(CApi, WrongArgumentsAreUsageAndSayWhich) {
  const auto refuses = [&](mobilevd_request request, const char* says) {
    EXPECT_EQ(generate(&request), MOBILEVD_USAGE) << says;
    EXPECT_NE(error().find(says), std::string::npos) << error();
  };
  mobilevd_request request = one_step();
  request.steps = -1;
  refuses(request, "steps");
  request = one_step();
  request.fps = 0.5;
  refuses(request, "fps");
  request = one_step();
  request.motion_bucket = std::numeric_limits<double>::quiet_NaN();
  refuses(request, "motion-bucket");
  request = one_step();
  request.struct_size = sizeof(request) + 8;
  refuses(request, "struct_size");
  frames_.pop_back();
  refuses(one_step(), std::to_string(clip_.bytes).c_str());
  const uint8_t pixel[3] = {};
  const auto rgb = [&](const uint8_t* pixels, int32_t width, size_t row) {
    return mobilevd_generate_rgb(pipeline_, pixels, width, 1, row, nullptr, frames_.data(), 0);
  };
  EXPECT_EQ(rgb(nullptr, 1, 3), MOBILEVD_USAGE);
  EXPECT_EQ(rgb(pixel, 0, 3), MOBILEVD_USAGE);
  EXPECT_EQ(rgb(pixel, 1, 2), MOBILEVD_USAGE);
  EXPECT_EQ(mobilevd_generate_file(nullptr, "x", nullptr, nullptr, 0), MOBILEVD_USAGE);
  EXPECT_EQ(mobilevd_generate_file(pipeline_, nullptr, nullptr, nullptr, 0), MOBILEVD_USAGE);
  EXPECT_EQ(mobilevd_clip_of(pipeline_, nullptr), MOBILEVD_USAGE);
}

/// An app built with a header that had less knows nothing of what came later.
TEST_F(CApi, AnOlderHeadersStructIsShorter) {
  mobilevd_request request = one_step();
  request.struct_size = offsetof(mobilevd_request, fps);
  request.fps = 1e9;  // beyond what the caller knows: not read
  EXPECT_EQ(generate(&request), MOBILEVD_OK) << error();
}

TEST_F(CApi, PackedWeightsAreKeptInTheAppsFolder) {
  const std::string kept = path("packed");
  mobilevd_options options = MOBILEVD_OPTIONS_INIT;
  options.packed_weights = kept.c_str();
  std::vector<uint8_t> first;
  for (const char* state : {"written", "read"}) {
    mobilevd_close(pipeline_);
    ASSERT_EQ(mobilevd_open(mini().c_str(), &options, &pipeline_), MOBILEVD_OK) << error();
    const mobilevd_request request = one_step();
    ASSERT_EQ(generate(&request), MOBILEVD_OK) << error();
    const std::string result = mobilevd_last_result(pipeline_);
    EXPECT_NE(result.find("\"packed_weights\": \"" + std::string(state)), std::string::npos);
    if (first.empty()) first = frames_;
    EXPECT_EQ(frames_, first);
  }
  mobilevd_pipeline* other = nullptr;
  options.packed_weights = "/proc/packed";
  EXPECT_EQ(mobilevd_open(mini().c_str(), &options, &other), MOBILEVD_USAGE);
  EXPECT_NE(error().find("cannot keep packed weights in /proc/packed"), std::string::npos);
}

TEST_F(CApi, BadFilesAreData) {
  mobilevd_pipeline* other = pipeline_;
  EXPECT_EQ(mobilevd_open(path("none").c_str(), nullptr, &other), MOBILEVD_DATA);
  EXPECT_EQ(other, nullptr);
  EXPECT_NE(error().find("bundle.json"), std::string::npos) << error();
  put("picture.jpg", "no picture");
  EXPECT_EQ(mobilevd_generate_file(pipeline_, path("picture.jpg").c_str(), nullptr, frames_.data(),
                                   frames_.size()),
            MOBILEVD_DATA);
  EXPECT_NE(error().find("picture.jpg"), std::string::npos) << error();
  EXPECT_NE(mobilevd_load_backend(path("none.so").c_str()), MOBILEVD_OK);
  mobilevd_options options = MOBILEVD_OPTIONS_INIT;
  options.max_memory_mb = 1;
  EXPECT_EQ(mobilevd_open(mini().c_str(), &options, &other), MOBILEVD_DATA);
  options.max_memory_mb = 0;
  options.threads = -1;
  EXPECT_EQ(mobilevd_open(mini().c_str(), &options, &other), MOBILEVD_USAGE);
  EXPECT_EQ(mobilevd_open(nullptr, nullptr, &other), MOBILEVD_USAGE);
  EXPECT_EQ(mobilevd_open(mini().c_str(), nullptr, nullptr), MOBILEVD_USAGE);
}

TEST_F(CApi, ErrorsBelongToTheirThread) {
  EXPECT_EQ(mobilevd_clip_of(nullptr, &clip_), MOBILEVD_USAGE);
  std::thread([] { EXPECT_STREQ(mobilevd_last_error(), ""); }).join();
  EXPECT_NE(error(), "");
}

TEST(CApiVersion, IsThatOfTheHeader) {
  EXPECT_EQ(mobilevd_api_version(), MOBILEVD_API_VERSION);
  EXPECT_STRNE(mobilevd_version(), "");
  mobilevd_close(nullptr);
  EXPECT_STREQ(mobilevd_last_result(nullptr), "");
}

}  // namespace
}  // namespace mobilevd
