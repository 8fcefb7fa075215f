#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runtime/bundle.h"
#include "runtime/packed_weights.h"

namespace mobilevd {

/// Durations of the same work done several times, in milliseconds.
class Timings {
 public:
  void add(double ms) { values_.push_back(ms); }
  const std::vector<double>& values() const { return values_; }
  std::size_t count() const { return values_.size(); }
  double total() const;
  double min() const { return percentile(0.0); }
  double median() const;  ///< mean of the middle two for an even count
  double p90() const { return percentile(0.9); }
  double percentile(double share) const;  ///< nearest rank; 0 when there are none

 private:
  std::vector<double> values_;
};

/// One of our own ops in the runs of a stage.
struct OpStats {
  std::string isa;  ///< of the kernel variant that ran, "neon"
  uint64_t calls = 0;
  double total_ms = 0.0;
};

struct StageStats {
  Timings loads;
  Timings runs;
  PackedWeights::State packed_weights = PackedWeights::State::kOff;  ///< in the last load
  std::string why_not_packed;                                        ///< if they should have been
  double peak_rss_mb = 0.0;  ///< the most of the process while the stage was loaded and ran
  std::map<std::string, OpStats> ops;  ///< by name, "mobilevd::temporal_attention"
};

/// What one or several runs took. Warm-up runs are not put in.
struct RunStats {
  std::map<std::string, StageStats> stages;
  Timings totals;       ///< whole clips, from the decoded picture to the frames, loading included
  int evaluations = 0;  ///< of the UNet, for one clip
  int threads = 0;      ///< of ExecuTorch's pool while the last stage ran
};

/// The other facts of a result. Strings that are empty and options that are unset become null.
struct RunInfo {
  std::string tool = "mobilevd_runner";
  std::string stage;                     ///< set when only this stage ran, on random inputs
  std::optional<SamplingSpec> sampling;  ///< of clips; its steps are 0 when unset
  uint64_t seed = 0;
  int warmup = 0, repeat = 1;
  double verify_ms = 0.0;
  uint64_t estimated_bytes = 0;  ///< what estimate_memory() said before
  std::string output, float_frames;
};

/// The result JSON, with the samples themselves so that results of several processes can be put
/// together; one schema (version 1) for host, emulated and phone runs.
std::string result_json(const Bundle& bundle, const RunStats& stats, const RunInfo& info);

}  // namespace mobilevd
