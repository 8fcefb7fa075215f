#pragma once

#include <cstdint>
#include <string>

#include "runtime/bundle.h"

namespace mobilevd {

/// Where packed weights are kept, from a flag: a folder; "none"; or empty, which means the user's
/// cache folder (without a user's, as on phones, one beside the bundle), for stages large enough to
/// gain by it.
struct PackedFolder {
  std::string path;          ///< empty: nowhere
  uint64_t least_bytes = 0;  ///< of the weights of a stage

  /// Makes a folder that was asked for; Error (usage) when it is not to be written into.
  static PackedFolder from_flag(const std::string& flag, const std::string& bundle);
};

/// XNNPACK's weights in the layout that its kernels read, in a file: the first load packs and
/// writes it, the next maps it and packs nothing.
///
/// The file is FOLDER/PRESET-PRECISION-STAGE-KEY-SUM.packed. KEY stands for everything the content
/// follows from (program, weights, ExecuTorch, CPU), so nothing stale is ever found; SUM is the
/// content's own XXH64, so damage shows. It gets this name when it is whole, by a rename, and is
/// read-only from then on: processes that write at once replace equals by equals.
class PackedWeights {
 public:
  enum class State {
    kOff,      ///< nothing to pack, or packed in memory: why_off() says why if it should not be
    kWritten,  ///< this load packs into a new file
    kRead,     ///< this load maps a file that was there
  };

  /// Looks for the stage's file; with `verify` one whose content is not its SUM's is removed.
  PackedWeights(const Bundle& bundle, const StageSpec& stage, const PackedFolder& folder,
                bool verify);
  ~PackedWeights() { abandon(); }
  PackedWeights(const PackedWeights&) = delete;
  PackedWeights& operator=(const PackedWeights&) = delete;

  State state() const { return state_; }
  const std::string& why_off() const { return why_off_; }

  /// The file that XNNPACK is to map or to write in the load that begins now; empty: none. Until
  /// finish() no other process loads from this folder.
  std::string begin();

  /// The load went well: a new file gets its name, and others may read it. The next load maps it.
  void finish();

  /// The load failed: a new file goes.
  void abandon();

 private:
  std::string find(bool verify) const;
  bool start_file();
  void publish();
  void off(const std::string& why);

  std::string folder_, name_, reader_prefix_;  ///< name_: PRESET-PRECISION-STAGE
  std::string path_;                           ///< of the file that is read or written
  uint64_t packable_bytes_ = 0;
  State state_ = State::kOff;
  std::string why_off_;
  int lock_ = -1;
};

}  // namespace mobilevd
