#pragma once

#include <mutex>
#include <string>

#include "runtime/pipeline.h"

namespace mobilevd {

/// One clip at a time in a process: a Pipeline is not thread-safe, and two share ExecuTorch's pool.
/// Whoever makes a clip locks this mutex first. Recursive: a progress callback may use another
/// Pipeline, since no program runs meanwhile.
std::recursive_timed_mutex& clip_turn();

/// A Pipeline that several threads may hold, each in its turn.
class SharedPipeline {
 public:
  SharedPipeline(const std::string& bundle, const PipelineOptions& options)
      : native_(bundle, options) {}

  const Pipeline& native() const { return native_; }

  /// Pipeline::generate() in the turn that `turn` holds. Throws Error (usage) in a progress
  /// callback of this same pipeline.
  Frames generate(const std::unique_lock<std::recursive_timed_mutex>& turn, ClipRequest request,
                  RunStats& stats, const ProgressCallback& progress);

 private:
  Pipeline native_;
  bool busy_ = false;  ///< belongs to whoever holds the turn
};

}  // namespace mobilevd
