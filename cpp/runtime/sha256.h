#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "runtime/sha256_blocks.h"

namespace mobilevd {

/// SHA-256 (FIPS 180-4) over bytes given in pieces.
class Sha256 {
 public:
  Sha256();

  void update(const void* data, std::size_t size);

  /// Ends the message; 64 lower-case hex digits. The object is used up afterwards.
  std::string hex_digest();

 private:
  Sha256Blocks blocks_;
  std::array<std::uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<std::uint8_t, 64> pending_{};
  std::size_t pending_size_ = 0;
  std::uint64_t total_bytes_ = 0;
};

/// Digest of a whole file, read in pieces. Throws Error when the file can't be read.
std::string sha256_of_file(const std::string& path);

}  // namespace mobilevd
