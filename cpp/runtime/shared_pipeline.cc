#include "runtime/shared_pipeline.h"

#include <utility>

#include "runtime/error.h"

namespace mobilevd {

std::recursive_timed_mutex& clip_turn() {
  static std::recursive_timed_mutex turn;
  return turn;
}

Frames SharedPipeline::generate(const std::unique_lock<std::recursive_timed_mutex>& turn,
                                ClipRequest request, RunStats& stats,
                                const ProgressCallback& progress) {
  if (!turn.owns_lock()) throw Error("a clip was started out of its turn");
  if (busy_) {
    throw Error("a progress callback cannot start a clip of the pipeline that called it",
                Error::Kind::kUsage);
  }
  struct Busy {
    bool& flag;
    explicit Busy(bool& busy) : flag(busy) { flag = true; }
    ~Busy() { flag = false; }
  } const busy(busy_);
  return native_.generate(std::move(request), stats, progress);
}

}  // namespace mobilevd
