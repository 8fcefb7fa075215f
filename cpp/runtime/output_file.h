#pragma once

#include <cstddef>
#include <string>

namespace mobilevd {

/// A file that is either written whole or not at all: bytes go to a hidden name in the same folder,
/// commit() renames it. Destroyed before commit(), it leaves nothing behind and an older file of
/// that name as it was. A target that is no regular file (/dev/stdout, a pipe) is written directly.
/// Every error (disk full, no permission) throws Error with the path and the reason.
class OutputFile {
 public:
  explicit OutputFile(const std::string& path);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write(const void* data, std::size_t size);
  void commit();

 private:
  [[noreturn]] void fail(const char* doing) const;

  std::string path_;
  std::string temporary_;  ///< empty when written directly
  int file_ = -1;
};

/// Throws Error (usage) when an OutputFile of that path could not be made: a folder, or a name in a
/// folder that check_folder_of() refuses. `what` begins the message: "output clip.y4m".
void check_output_file(const std::string& path, const std::string& what);

/// Throws Error (usage) when no new name could be made beside `path`: its folder is not there, or
/// may not be written into.
void check_folder_of(const std::string& path, const std::string& what);

/// Writes `bytes` to `path` as an OutputFile.
void write_file(const std::string& path, const std::string& bytes);

/// A name in path's folder that no other process uses: ".NAME.tmp.PID".
std::string temporary_name(const std::string& path);

}  // namespace mobilevd
