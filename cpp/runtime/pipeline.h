#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "runtime/bundle.h"
#include "runtime/frames.h"
#include "runtime/image.h"
#include "runtime/packed_weights.h"
#include "runtime/stage.h"
#include "runtime/stats.h"

namespace mobilevd {

struct PipelineOptions {
  int threads = 0;                ///< for set_threads()
  bool verify = true;             ///< compare every file's sha256 with bundle.json
  bool keep_loaded = false;       ///< keep stages between clips; else each is freed after its part
  bool record = false;            ///< ExecuTorch's profiler on, see Pipeline::etdumps()
  uint64_t max_memory_bytes = 0;  ///< refuse a bundle, or a picture, of a higher estimate; 0: none
  std::string packed_folder;      ///< for PackedFolder::from_flag()
  std::string only_stage;         ///< for run_stage() alone: no other is checked or counted
};

/// One clip to make. What is unset comes from the bundle.
struct ClipRequest {
  std::string image;                       ///< bytes of a JPEG or PNG
  std::string image_name = "from memory";  ///< for messages
  std::optional<RgbImage> picture;         ///< decoded already: taken instead of `image`
  uint64_t seed = 0;
  std::optional<int> steps;
  std::optional<double> fps, motion_bucket, noise_aug;
  bool unrounded = false;  ///< fill Frames::unrounded, too
};

/// `done` of `total` program runs of the clip are over; `stage` made or makes the next one.
struct Progress {
  const char* stage;
  int done, total;
};

/// Return false to cancel: generate() then throws Error with kind kCancelled. May throw.
using ProgressCallback = std::function<bool(const Progress&)>;

/// A bundle, checked, and the way from a picture to a clip. Not thread-safe.
/// The same bundle, request and machine give the same bits, whatever the number of threads.
class Pipeline {
 public:
  /// Reads and checks the bundle and sets ExecuTorch's threads; loads no stage yet. Throws Error,
  /// of kind kUsage also for a MOBILEVD_ISA that this CPU does not have.
  explicit Pipeline(const std::string& folder, const PipelineOptions& options = {});

  const Bundle& bundle() const { return bundle_; }
  double verify_ms() const { return verify_ms_; }  ///< of checking files, packed weights' too
  uint64_t estimated_bytes() const { return estimated_bytes_; }  ///< estimate_memory(), at first
  bool keeps_loaded() const { return options_.keep_loaded; }

  /// The bundle's sampling constants with the request's in their place, checked.
  SamplingSpec sampling(const ClipRequest& request) const;

  /// Makes one clip and adds its times to `stats`. The picture is freed before a stage is loaded.
  /// To know each stage's peak memory it begins the process's VmHWM (/proc/self/status) anew.
  Frames generate(ClipRequest request, RunStats& stats, const ProgressCallback& progress = {});

  /// Runs one stage once on N(0, 1) inputs of the seed, for timing.
  void run_stage(const std::string& name, uint64_t seed, RunStats& stats);

  /// ETDump bytes by stage of what ran so far, when options.record.
  std::map<std::string, std::string> etdumps();

 private:
  uint64_t estimate() const;
  Stage& acquire(const std::string& name, RunStats& stats);
  void release(const std::string& name);
  NamedOutputs run(Stage& stage, const std::string& name, const NamedInputs& inputs,
                   RunStats& stats);

  Bundle bundle_;
  PipelineOptions options_;
  std::map<std::string, std::unique_ptr<PackedWeights>> packed_;
  double verify_ms_ = 0.0;
  uint64_t estimated_bytes_ = 0;
  bool programs_checked_ = false;
  std::map<std::string, std::unique_ptr<Stage>> loaded_;
  std::map<std::string, std::string> etdumps_;
};

}  // namespace mobilevd
