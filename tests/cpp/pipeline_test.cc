// Pipelines beside one another, on the shipped mini: MOBILEVD_MINI_BUNDLE names its folder.
#include "runtime/pipeline.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <string>

#include "runtime/host.h"
#include "runtime/threads.h"

namespace mobilevd {
namespace {

class PipelineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* folder = std::getenv("MOBILEVD_MINI_BUNDLE");
    ASSERT_NE(folder, nullptr) << "set it to the bundle that `make bundle` writes";
    mini_ = folder;
  }

  static RunStats one_run(Pipeline& pipeline) {
    RunStats stats;
    pipeline.run_stage("vae_encoder", 0, stats);
    return stats;
  }

  std::string mini_;
};

TEST_F(PipelineTest, ADefaultNumberOfThreadsDisturbsNobody) {
  PipelineOptions options;
  options.threads = performance_core_count() + 1;
  options.keep_loaded = true;
  Pipeline asked(mini_, options);
  EXPECT_EQ(one_run(asked).threads, options.threads);
  Pipeline plain(mini_);
  EXPECT_EQ(one_run(plain).threads, options.threads);
}

TEST_F(PipelineTest, TheResultTellsTheThreadsThatWorked) {
  PipelineOptions options;
  options.threads = 1;
  Pipeline first(mini_, options);
  options.threads = 2;
  const Pipeline second(mini_, options);
  EXPECT_EQ(one_run(first).threads, 2);
}

/// Memory of somebody else's, for as long as it lives.
class Ballast {
 public:
  static constexpr std::size_t kBytes = std::size_t{128} << 20;

  Ballast()
      : pages_(mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
    if (pages_ != MAP_FAILED) std::memset(pages_, 1, kBytes);
  }
  ~Ballast() { munmap(pages_, kBytes); }

 private:
  void* pages_;
};

TEST_F(PipelineTest, AStagesPeakCoversItsLoadAndAllItsRuns) {
  PipelineOptions options;
  options.keep_loaded = true;
  Pipeline pipeline(mini_, options);
  RunStats warmup;
  {
    const Ballast ballast;
    pipeline.run_stage("vae_encoder", 0, warmup);
  }
  const double most = warmup.stages.at("vae_encoder").peak_rss_mb;
  EXPECT_GT(most, 128.0);
  pipeline.run_stage("vae_encoder", 0, warmup);
  EXPECT_GE(warmup.stages.at("vae_encoder").peak_rss_mb, most) << "of two runs";
  EXPECT_GT(one_run(pipeline).stages.at("vae_encoder").peak_rss_mb, 128.0) << "of the load";
}

#ifndef __SANITIZE_ADDRESS__  // which keeps what was freed in quarantine
TEST_F(PipelineTest, APictureIsGoneBeforeTheStages) {
  Pipeline pipeline(mini_);
  const auto peak_with = [&](int side) {
    ClipRequest request;
    request.picture.emplace();
    request.picture->width = request.picture->height = side;
    request.picture->pixels.assign(std::size_t{3} * side * side, 128);
    request.steps = 1;
    RunStats stats;
    pipeline.generate(std::move(request), stats);
    return stats.stages.at("vae_decoder").peak_rss_mb;
  };
  const double small = peak_with(64);
  const double large = peak_with(6000);
  new_peak_rss();
  if (recent_peak_rss_mb() == peak_rss_mb()) GTEST_SKIP() << "this kernel cannot begin anew";
  EXPECT_LT(large, small + 50.0);  // the picture alone is 103 MB
}
#endif

}  // namespace
}  // namespace mobilevd
