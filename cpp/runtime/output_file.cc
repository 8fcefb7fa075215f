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

std::string temporary_name(const std::string& path) {
  const fs::path target(path);
  const std::string hidden =
      "." + target.filename().string() + ".tmp." + std::to_string(::getpid());
  return (target.parent_path() / hidden).string();
}

OutputFile::OutputFile(const std::string& path) : path_(path) {
  // A rename would replace a link or a device, so a link is followed first.
  std::error_code ignored;
  const fs::path real = fs::weakly_canonical(path, ignored);
  const std::string target = ignored ? path : real.string();
  struct stat info{};
  const bool direct = ::stat(target.c_str(), &info) == 0 && !S_ISREG(info.st_mode);
  if (!direct) {
    path_ = target;
    temporary_ = temporary_name(target);
  }
  const int flags = direct ? O_WRONLY : O_WRONLY | O_CREAT | O_TRUNC;
  file_ = ::open((direct ? path_ : temporary_).c_str(), flags | O_CLOEXEC, 0666);
  if (file_ < 0) {
    const int reason = errno;
    temporary_.clear();
    errno = reason;
    fail("create");
  }
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
