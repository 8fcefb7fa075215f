#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace mobilevd {

/// XXH64 with seed 0 (github.com/Cyan4973/xxHash, doc/xxhash_spec.md) over bytes given in pieces:
/// finds damage, at the speed of memory. No protection against someone who means it.
class Xxh64 {
 public:
  void update(const void* data, std::size_t size);
  std::uint64_t digest() const;

 private:
  std::array<std::uint64_t, 4> lanes_{0x60ea27eeadc0b5d6, 0xc2b2ae3d27d4eb4f, 0,
                                      0x61c8864e7a143579};
  std::array<std::uint8_t, 32> pending_{};
  std::size_t pending_size_ = 0;
  std::uint64_t total_bytes_ = 0;
};

/// Of a whole file, read in pieces: 16 hex digits. Throws Error when the file can't be read.
std::string xxh64_of_file(const std::string& path);

}  // namespace mobilevd
