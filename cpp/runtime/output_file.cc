#include "runtime/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "runtime/error.h"

namespace mobilevd {

namespace fs = std::filesystem;

namespace {

constexpr char kStdout[] = "/dev/stdout";
constexpr char kStderr[] = "/dev/stderr";

bool is_standard_stream(const std::string& path) { return path == kStdout || path == kStderr; }

/// A rename would replace a link, so it is followed first.
std::string resolved(const std::string& path) {
  std::error_code unresolved;
  const fs::path target = fs::weakly_canonical(path, unresolved);
  return unresolved ? path : target.string();
}

}  // namespace

std::string temporary_name(const std::string& path) {
  const fs::path target(path);
  const std::string hidden =
      "." + target.filename().string() + ".tmp." + std::to_string(::getpid());
  return (target.parent_path() / hidden).string();
}

void check_folder_of(const std::string& path, const std::string& what) {
  fs::path target = fs::absolute(path);
  if (!target.has_filename()) target = target.parent_path();
  const fs::path folder = target.parent_path();
  std::error_code none;
  if (!fs::is_directory(folder, none)) {
    throw Error(what + ": there is no folder " + folder.string(), Error::Kind::kUsage);
  }
  if (::access(folder.c_str(), W_OK | X_OK) != 0) {
    throw Error(what + ": cannot write into " + folder.string() + ": " + std::strerror(errno) +
                    "; choose another folder",
                Error::Kind::kUsage);
  }
}

void check_output_file(const std::string& path, const std::string& what) {
  struct stat info{};
  const bool exists = ::stat(path.c_str(), &info) == 0;
  if (exists && S_ISDIR(info.st_mode)) throw Error(what + " is a folder", Error::Kind::kUsage);
  if (is_standard_stream(path) || (exists && !S_ISREG(info.st_mode))) return;
  check_folder_of(resolved(path), what);
}

namespace {

/// An open file for names that stand for something else than a file, else -1: the standard streams
/// (opening them anew would lose their position) and existing devices and pipes.
int open_directly(const std::string& path) {
  if (path == kStdout) return ::dup(STDOUT_FILENO);
  if (path == kStderr) return ::dup(STDERR_FILENO);
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0 || S_ISREG(info.st_mode)) return -1;
  return ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
}

}  // namespace

OutputFile::OutputFile(const std::string& path) : path_(path), file_(open_directly(path)) {
  if (file_ >= 0) return;
  path_ = resolved(path_);
  const std::string name = temporary_name(path_);
  file_ = ::open(name.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file_ < 0) fail("create");
  temporary_ = name;
}

OutputFile::~OutputFile() {
  if (file_ >= 0) ::close(file_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void OutputFile::fail(const char* doing) const {
  throw Error(std::string("cannot ") + doing + " " + path_ + ": " + std::strerror(errno));
}

void OutputFile::write(const void* data, std::size_t size) {
  const char* bytes = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t written = ::write(file_, bytes, size);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) fail("write");
    bytes += written;
    size -= static_cast<std::size_t>(written);
  }
}

void OutputFile::commit() {
  const int file = file_;
  file_ = -1;
  if (::close(file) != 0) fail("write");
  if (temporary_.empty()) return;
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail("write");
  temporary_.clear();
}

void write_file(const std::string& path, const std::string& bytes) {
  OutputFile file(path);
  file.write(bytes.data(), bytes.size());
  file.commit();
}

}  // namespace mobilevd
