#include "runtime/packed_weights.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "scratch_folder.h"

namespace {
// Opening this file fails as if another process had just deleted it.
std::string deleted_file;
}  // namespace

// In front of libc's, also for the runtime's library.
extern "C" FILE* fopen(const char* path, const char* mode) {
  if (!deleted_file.empty() && deleted_file == path) {
    errno = ENOENT;
    return nullptr;
  }
  using Open = FILE* (*)(const char*, const char*);
  static const auto next = reinterpret_cast<Open>(dlsym(RTLD_NEXT, "fopen"));
  return next(path, mode);
}

namespace mobilevd {
namespace {

class PackedWeightsFile : public testing::ScratchFolder {
 protected:
  void SetUp() override {
    ScratchFolder::SetUp();
    bundle_.preset = "toy";
    bundle_.precision = "fp32";
    bundle_.backend = "xnnpack";
    bundle_.files["unet.pte"] = bundle_.files["unet.ptd"] = {};
    stage_.name = "unet";
    stage_.program = "unet.pte";
    stage_.weights = {"unet.ptd"};
    stage_.packable_bytes = 16;
  }
  void TearDown() override {
    deleted_file.clear();
    ScratchFolder::TearDown();
  }

  PackedWeights open() { return {bundle_, stage_, {folder_.string(), 0}, /*verify=*/true}; }

  /// What ExecuTorch does in between.
  static void pack_into(const std::string& file) {
    std::ofstream(file, std::ios::binary) << "packed weights: " << "CWPX" << "0001";
  }

  Bundle bundle_;
  StageSpec stage_;
};

TEST_F(PackedWeightsFile, OneOfEqualIdInAnotherContainerIsLeftAlone) {
  const std::string prefix = ".tmp." + std::to_string(::getpid()) + ".";
  for (const char* others : {"0", "1"}) put(prefix + others, "theirs");
  PackedWeights ours = open();
  PackedWeights more = open();
  const std::string first = ours.begin();
  const std::string second = more.begin();
  EXPECT_NE(first, second);
  EXPECT_EQ(first.find(path(prefix)), 0u);
  EXPECT_EQ(entries(), 4u);
  ours.abandon();
  more.abandon();
  EXPECT_EQ(entries(), 2u);
  for (const char* others : {"0", "1"}) EXPECT_EQ(get(prefix + others), "theirs");
}

TEST_F(PackedWeightsFile, AStageWithoutWeightsToPackMakesNone) {
  stage_.packable_bytes = 0;  // all are our kernels', which read the .ptd as it lies
  PackedWeights none = open();
  EXPECT_EQ(none.state(), PackedWeights::State::kOff);
  EXPECT_EQ(none.begin(), "");
  EXPECT_EQ(none.why_off(), "");
}

TEST_F(PackedWeightsFile, OneThatGoesAwayWhileItIsReadIsPackedAnew) {
  PackedWeights first = open();
  pack_into(first.begin());
  first.finish();
  ASSERT_EQ(first.why_off(), "");
  ASSERT_EQ(open().state(), PackedWeights::State::kRead);
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
    if (entry.path().extension() == ".packed") deleted_file = entry.path().string();
  }
  ASSERT_NE(deleted_file, "");
  EXPECT_EQ(open().state(), PackedWeights::State::kWritten);
}

}  // namespace
}  // namespace mobilevd
