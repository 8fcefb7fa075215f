#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ops/op_counter.h"
#include "runtime/bundle.h"
#include "runtime/packed_weights.h"

namespace mobilevd {

/// Values by tensor name, row-major float32 of the bundle's shape.
using NamedInputs = std::map<std::string, const float*>;
using NamedOutputs = std::map<std::string, std::vector<float>>;

/// One loaded program of a bundle. Loading maps the file; destroying frees everything.
/// Not thread-safe; two Stages of one process must not run at the same time either, since they
/// share ExecuTorch's pool.
class Stage {
 public:
  /// Loads `name` after check_required_ops() and what check_program() checks, its weights by way of
  /// `packed` (null: packed in memory). With `record` ExecuTorch's profiler is on. Throws Error.
  Stage(const Bundle& bundle, const std::string& name, bool record = false,
        PackedWeights* packed = nullptr);
  ~Stage();
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;

  /// Runs once. `inputs` must hold every input of the spec. Throws Error when the program fails or
  /// an output has a NaN or Inf, naming the stage and the output.
  NamedOutputs run(const NamedInputs& inputs);

  double load_ms() const;
  double load_peak_rss_mb() const;              ///< recent_peak_rss_mb() when it was loaded
  PackedWeights::State packed_weights() const;  ///< what loading did
  double last_run_ms() const;  ///< of the program alone, without the checks around it
  /// Our own ops that the last run called, by name. Another program that runs meanwhile counts,
  /// too.
  const std::vector<ops::OpCount>& last_run_ops() const;

  /// The profile of all runs so far (.etdp bytes for executorch.devtools.Inspector); empty when not
  /// recording. Can be taken once.
  std::string take_etdump();

 private:
  struct Loaded;
  std::unique_ptr<Loaded> loaded_;
};

/// Checks a stage's program without loading its weights: its backends against those registered,
/// shapes and dtypes against bundle.json's. Throws Error.
void check_program(const Bundle& bundle, const std::string& stage);

/// Throws Error naming the ops of `stage` that no library in this process registers.
void check_required_ops(const StageSpec& stage);

}  // namespace mobilevd
