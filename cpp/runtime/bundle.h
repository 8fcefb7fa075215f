#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/sampler.h"

namespace mobilevd {

/// One input or output of a stage's program.
struct TensorSpec {
  std::string name;
  std::string dtype;  ///< "float32" or "float16"; the runtime's side is always float32
  std::vector<int64_t> shape;

  std::size_t size() const;  ///< number of elements
};

/// One box of the picture-to-clip way: an ExecuTorch program and what it needs.
struct StageSpec {
  std::string name;
  std::string program;               ///< file name inside the bundle
  std::vector<std::string> weights;  ///< .ptd files inside the bundle
  std::vector<TensorSpec> inputs, outputs;
  std::vector<std::string> required_ops;  ///< as registered: "aten::add.out"
  uint64_t weight_bytes = 0, arena_bytes = 0;
  uint64_t workspace_bytes = 0;         ///< of the delegates' inner tensors, which share it
  uint64_t largest_delegate_bytes = 0;  ///< the most weights that are packed at a time
  uint64_t packable_bytes = 0;          ///< of the delegates that have weights to pack
  std::optional<double> delegated_share_ops;
  std::vector<double> image_mean, image_std;  ///< image_encoder only, one value a channel

  const TensorSpec& input(const std::string& name) const;   ///< throws Error when absent
  const TensorSpec& output(const std::string& name) const;  ///< throws Error when absent
};

struct ClipShapes {
  int64_t frames = 0, height = 0, width = 0;
  int64_t latent_channels = 0, latent_height = 0, latent_width = 0;
};

struct FileSpec {
  uint64_t bytes = 0;
  std::string sha256;
};

/// What bundle.json says, checked; its fields are listed in cpp/README.md.
struct Bundle {
  std::string folder;
  std::string mobilevd_version, executorch_version;
  std::string preset, backend, precision;
  ClipShapes shapes;
  SamplingSpec sampling;
  std::map<std::string, StageSpec> stages;
  std::map<std::string, FileSpec> files;

  const StageSpec& stage(const std::string& name) const;  ///< throws Error listing the stages
  uint64_t file_bytes(const StageSpec& stage) const;      ///< program and weights together
  std::string path(const std::string& file) const;
  /// With that stage and its files alone; throws as stage() does.
  Bundle only(const std::string& name) const;
};

/// The schema_version this runtime reads.
inline constexpr int kSchemaVersion = 2;

/// Reads and checks bundle.json: schema version, the four stages and their tensors against the clip
/// shapes, the sampling constants, file names without folders, ExecuTorch's major.minor version.
Bundle read_bundle(const std::string& folder);

/// The same from the text of a bundle.json (`folder` is only remembered).
Bundle parse_bundle(std::string_view json, const std::string& folder);

/// Checks that every listed file is there with its size and, when `hashes`, its sha256.
void check_files(const Bundle& bundle, bool hashes = true);

/// Peak memory in bytes of a run, file-backed pages included, estimated before anything is loaded:
/// a base for the process and the most that a stage takes (all stages together when they stay
/// loaded). `packed(stage)`: whether its packed weights are mapped from a file that is there.
uint64_t estimate_memory(const Bundle& bundle, bool keep_loaded,
                         const std::function<bool(const std::string&)>& packed = {});

}  // namespace mobilevd
