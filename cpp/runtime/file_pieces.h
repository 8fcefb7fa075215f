#pragma once

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "runtime/error.h"

namespace mobilevd {

/// Feeds a whole file to `hash.update(data, size)`, a piece at a time. Throws Error when it can't
/// be read.
template <typename Hash>
void update_with_file(Hash& hash, const std::string& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                             &std::fclose);
  if (!file) throw Error("cannot read " + path + ": " + std::strerror(errno));
  std::setvbuf(file.get(), nullptr, _IONBF, 0);
  std::vector<std::uint8_t> piece(std::size_t{1} << 20);
  while (const std::size_t size = std::fread(piece.data(), 1, piece.size(), file.get())) {
    hash.update(piece.data(), size);
  }
  if (std::ferror(file.get()) != 0) {
    throw Error("cannot read " + path + ": " + std::strerror(errno));
  }
}

}  // namespace mobilevd
