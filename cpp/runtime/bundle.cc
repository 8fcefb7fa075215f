#include "runtime/bundle.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <sstream>

#include "runtime/error.h"
#include "runtime/sha256.h"

namespace mobilevd {

namespace fs = std::filesystem;

std::size_t TensorSpec::size() const {
  return std::accumulate(shape.begin(), shape.end(), std::size_t{1},
                         [](std::size_t n, int64_t d) { return n * static_cast<std::size_t>(d); });
}

namespace {

const TensorSpec& find_tensor(const StageSpec& stage, const std::vector<TensorSpec>& tensors,
                              const char* kind, const std::string& name) {
  for (const TensorSpec& tensor : tensors) {
    if (tensor.name == name) return tensor;
  }
  throw Error("bundle.json: stage '" + stage.name + "' has no " + kind + " '" + name + "'");
}

}  // namespace

const TensorSpec& StageSpec::input(const std::string& tensor) const {
  return find_tensor(*this, inputs, "input", tensor);
}

const TensorSpec& StageSpec::output(const std::string& tensor) const {
  return find_tensor(*this, outputs, "output", tensor);
}

const StageSpec& Bundle::stage(const std::string& name) const {
  const auto found = stages.find(name);
  if (found != stages.end()) return found->second;
  std::string known;
  for (const auto& [other, unused] : stages) known += (known.empty() ? "" : ", ") + other;
  throw Error("no stage '" + name + "' in this bundle; it has " + known, Error::Kind::kUsage);
}

uint64_t Bundle::file_bytes(const StageSpec& stage) const {
  uint64_t bytes = files.at(stage.program).bytes;
  for (const std::string& file : stage.weights) bytes += files.at(file).bytes;
  return bytes;
}

Bundle Bundle::only(const std::string& name) const {
  Bundle bundle = *this;
  bundle.stages = {{name, stage(name)}};
  bundle.files.clear();
  const StageSpec& wanted = bundle.stages.at(name);
  bundle.files[wanted.program] = files.at(wanted.program);
  for (const std::string& file : wanted.weights) bundle.files[file] = files.at(file);
  return bundle;
}

std::string Bundle::path(const std::string& file) const {
  return (fs::path(folder) / file).string();
}

Bundle read_bundle(const std::string& folder) {
  const std::string path = (fs::path(folder) / "bundle.json").string();
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    throw Error("cannot read " + path + ": " + std::strerror(errno) +
                " (a bundle is the folder that `mobilevd export` writes)");
  }
  std::ostringstream text;
  text << file.rdbuf();
  return parse_bundle(text.str(), folder);
}

void check_files(const Bundle& bundle, bool hashes) {
  for (const auto& [name, expected] : bundle.files) {
    const std::string path = bundle.path(name);
    std::error_code problem;
    const uint64_t bytes = fs::file_size(path, problem);
    if (problem) throw Error("bundle file " + path + " is missing: " + problem.message());
    if (bytes != expected.bytes) {
      throw Error("bundle file " + path + " has " + std::to_string(bytes) +
                  " bytes, bundle.json says " + std::to_string(expected.bytes) +
                  "; copy or export the bundle again");
    }
    if (hashes && sha256_of_file(path) != expected.sha256) {
      throw Error("bundle file " + path +
                  " does not have the sha256 that bundle.json gives; copy or export the bundle "
                  "again");
    }
  }
}

uint64_t estimate_memory(const Bundle& bundle, bool keep_loaded,
                         const std::function<bool(const std::string&)>& packed) {
  // Runner and ExecuTorch's libraries: measured 10 MiB, with room for frames and thread stacks.
  constexpr uint64_t kBaseBytes = 24ull << 20;
  uint64_t largest = 0;
  uint64_t sum = 0;
  uint64_t loading = 0;
  for (const auto& [name, stage] : bundle.stages) {
    uint64_t bytes = stage.weight_bytes + stage.arena_bytes + stage.workspace_bytes;
    uint64_t unpacked = 0;
    if (stage.weights.empty()) {
      bytes += bundle.file_bytes(stage);  // weights in the program stay beside what is made of them
    } else if (!packed || !packed(name)) {
      unpacked = stage.largest_delegate_bytes;
    }
    largest = std::max(largest, bytes + unpacked);
    loading = std::max(loading, unpacked);
    sum += bytes;
  }
  return kBaseBytes + (keep_loaded ? sum + loading : largest);
}

}  // namespace mobilevd
