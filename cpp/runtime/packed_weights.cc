#include "runtime/packed_weights.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <vector>

#include "runtime/error.h"
#include "runtime/host.h"
#include "runtime/sha256.h"
#include "runtime/version.h"
#include "runtime/xxh64.h"

namespace mobilevd {

namespace fs = std::filesystem;

namespace {

constexpr char kEnding[] = ".packed";
// Smaller stages are packed sooner than their file is found.
constexpr uint64_t kLeastBytes = 64ull << 20;
// Names go to ExecuTorch as options of this size, which it would cut.
constexpr std::size_t kMaxPath = 255;
// The last eight bytes of a cache that XNNPACK wrote to its end are this and a version.
constexpr char kMagic[] = {'C', 'W', 'P', 'X'};

std::string usual_folder(const std::string& bundle) {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && *cache != '\0') return (fs::path(cache) / "mobilevd/packed").string();
  const char* home = std::getenv("HOME");
  if (home != nullptr && *home != '\0' && std::strcmp(home, "/") != 0) {
    return (fs::path(home) / ".cache/mobilevd/packed").string();
  }
  return (fs::absolute(bundle).lexically_normal() / "../.packed").lexically_normal().string();
}

bool starts_with(const std::string& text, const std::string& start) {
  return text.compare(0, start.size(), start) == 0;
}

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

std::vector<std::string> names_in(const std::string& folder, const std::string& start) {
  std::vector<std::string> names;
  std::error_code problem;  // others may change the folder meanwhile: then what was seen so far
  for (fs::directory_iterator entry(folder, problem), end; !problem && entry != end;
       entry.increment(problem)) {
    std::string name = entry->path().filename().string();
    if (starts_with(name, start)) names.push_back(std::move(name));
  }
  std::sort(names.begin(), names.end());
  return names;
}

/// 16 hex digits of what the packed bytes follow from.
std::string key_of(const Bundle& bundle, const StageSpec& stage) {
  Sha256 key;
  const auto add = [&](const std::string& text) { key.update(text.c_str(), text.size() + 1); };
  add("mobilevd packed weights 1");
  add(kExecutorchVersion);
  add(host_info().arch);
  add(cpu_features());
  add(bundle.files.at(stage.program).sha256);
  for (const std::string& file : stage.weights) add(bundle.files.at(file).sha256);
  return key.hex_digest().substr(0, 16);
}

bool is_whole(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  char magic[sizeof kMagic] = {};
  return file.seekg(-8, std::ios::end) && file.read(magic, sizeof magic) &&
         std::equal(std::begin(magic), std::end(magic), std::begin(kMagic));
}

/// Whether the content is `sum`'s; false also for a file that went away or cannot be read.
bool has_sum(const std::string& path, const std::string& sum) {
  try {
    return xxh64_of_file(path) == sum;
  } catch (const Error&) {
    return false;
  }
}

/// XNNPACK keeps its file locked as long as it is mapped, and a second process that finds it locked
/// packs for itself. Its bytes never change from here on, so the lock has nothing to guard.
void release_locks(const std::string& path) {
  struct stat wanted{};
  if (::stat(path.c_str(), &wanted) != 0) return;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator("/proc/self/fd", none)) {
    const int file = std::atoi(entry.path().filename().c_str());
    struct stat found{};
    if (::fstat(file, &found) == 0 && found.st_dev == wanted.st_dev &&
        found.st_ino == wanted.st_ino) {
      ::flock(file, LOCK_UN);
    }
  }
}

/// Files of processes that were killed while they wrote.
void remove_abandoned(const std::string& folder) {
  for (const std::string& name : names_in(folder, ".tmp.")) {
    const int process = std::atoi(name.c_str() + std::strlen(".tmp."));
    if (process > 0 && ::kill(process, 0) != 0 && errno == ESRCH) {
      ::unlink((fs::path(folder) / name).c_str());
    }
  }
}

}  // namespace

PackedFolder PackedFolder::from_flag(const std::string& flag, const std::string& bundle) {
  if (flag == "none") return {};
  if (flag.empty()) return {usual_folder(bundle), kLeastBytes};
  std::error_code problem;
  fs::create_directories(flag, problem);
  const bool writable = !problem && ::access(flag.c_str(), W_OK | X_OK) == 0;
  if (!writable || !fs::is_directory(flag)) {
    throw Error("cannot keep packed weights in " + flag + ": " +
                    (problem ? problem.message()
                             : std::strerror(fs::is_directory(flag) ? errno : ENOTDIR)) +
                    "; choose another folder, or \"none\"",
                Error::Kind::kUsage);
  }
  return {fs::absolute(flag).string(), 0};
}

PackedWeights::PackedWeights(const Bundle& bundle, const StageSpec& stage,
                             const PackedFolder& folder, bool verify)
    : packable_bytes_(stage.packable_bytes) {
  // Weights inside a program have no names by which XNNPACK would find them.
  if (bundle.backend != "xnnpack" || stage.weights.empty() || folder.path.empty() ||
      packable_bytes_ == 0 || packable_bytes_ < folder.least_bytes) {
    return;
  }
  folder_ = folder.path;
  name_ = bundle.preset + "-" + bundle.precision + "-" + stage.name + "-";
  reader_prefix_ = name_ + key_of(bundle, stage) + "-";
  path_ = find(verify);
  state_ = path_.empty() ? State::kWritten : State::kRead;
}

void PackedWeights::abandon() {
  if (lock_ >= 0) ::close(lock_);
  lock_ = -1;
  if (state_ != State::kWritten || path_.empty()) return;
  ::unlink(path_.c_str());
  path_.clear();
}

void PackedWeights::off(const std::string& why) {
  state_ = State::kOff;
  why_off_ = why;
  path_.clear();
}

std::string PackedWeights::find(bool verify) const {
  for (const std::string& name : names_in(folder_, reader_prefix_)) {
    const std::string path = (fs::path(folder_) / name).string();
    if (!ends_with(name, kEnding) || path.size() > kMaxPath) continue;
    const std::string sum = name.substr(reader_prefix_.size(),
                                        name.size() - reader_prefix_.size() - sizeof kEnding + 1);
    if (is_whole(path) && (!verify || has_sum(path, sum))) return path;
    ::unlink(path.c_str());
  }
  return "";
}

std::string PackedWeights::begin() {
  if (state_ == State::kOff) return "";
  if (state_ == State::kRead && ::access(path_.c_str(), R_OK) != 0) {  // went away since
    path_.clear();
    state_ = State::kWritten;
  }
  if (state_ == State::kWritten) return start_file() ? path_ : "";
  // XNNPACK takes its own locks without waiting, and would write the file anew if it found another
  // load at it; so one load at a time. Where this lock cannot be made nothing can be written.
  const std::string lock = (fs::path(folder_) / ".lock").string();
  lock_ = ::open(lock.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC, 0644);
  while (lock_ >= 0 && ::flock(lock_, LOCK_EX) != 0 && errno == EINTR) {
  }
  return path_;
}

bool PackedWeights::start_file() {
  std::error_code problem;
  fs::create_directories(folder_, problem);
  if (problem) {
    off("cannot make " + folder_ + ": " + problem.message());
    return false;
  }
  remove_abandoned(folder_);
  // A disk that fills up under a mapped file ends the process. Packing pads: an eighth, and a page
  // for each of a few thousand weights.
  const uint64_t needed = packable_bytes_ + packable_bytes_ / 8 + (16u << 20);
  const fs::space_info space = fs::space(folder_, problem);
  if (!problem && space.available < needed) {
    off("packed weights need " + std::to_string(needed >> 20) + " MB in " + folder_ +
        ", which has " + std::to_string(space.available >> 20));
    return false;
  }
  if (folder_.size() + reader_prefix_.size() + 32 > kMaxPath) {
    off("the path of " + folder_ + " is too long for packed weights");
    return false;
  }
  // New for certain: containers that share a folder have processes of the same id.
  path_ = (fs::path(folder_) / (".tmp." + std::to_string(::getpid()) + ".XXXXXX")).string();
  const int file = ::mkostemp(path_.data(), O_CLOEXEC);
  if (file < 0) {
    off("cannot write into " + folder_ + ": " + std::strerror(errno));
    return false;
  }
  ::close(file);
  return true;
}

void PackedWeights::finish() {
  if (state_ == State::kOff) return;
  if (state_ == State::kWritten) publish();
  if (state_ != State::kOff) release_locks(path_);
  if (lock_ >= 0) ::close(lock_);
  lock_ = -1;
}

void PackedWeights::publish() {
  const std::string written = path_;
  try {
    if (!is_whole(written)) throw Error("ExecuTorch wrote no whole file into " + folder_);
    const std::string name = reader_prefix_ + xxh64_of_file(written) + kEnding;
    const std::string final_path = (fs::path(folder_) / name).string();
    ::chmod(written.c_str(), 0444);
    if (::rename(written.c_str(), final_path.c_str()) != 0) {
      throw Error("cannot write into " + folder_ + ": " + std::strerror(errno));
    }
    for (const std::string& other : names_in(folder_, name_)) {  // of older exports
      if (other != name) ::unlink((fs::path(folder_) / other).c_str());
    }
    path_ = final_path;
    state_ = State::kRead;  // from the next load on
  } catch (const Error& error) {
    ::unlink(written.c_str());
    off(error.what());
  }
}

}  // namespace mobilevd
