#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace mobilevd {

/// What a JPEG's segments define before its scans use it (ITU-T T.81, B.2). stb_image up to 2.27
/// writes past its tables where a Huffman table has more than 256 codes, and decodes with whatever
/// memory held where a scan names a table that was never sent; both are refused here.
class JpegTables {
 public:
  /// The next segment: its marker's second byte and what follows its length. False if it is
  /// damaged, or a scan that lacks a table. Segments that define nothing are fine.
  bool take(uint8_t marker, const uint8_t* data, std::size_t size);

 private:
  bool take_huffman(const uint8_t* data, std::size_t size);
  bool take_quantisation(const uint8_t* data, std::size_t size);
  bool take_frame(const uint8_t* data, std::size_t size);
  bool take_scan(const uint8_t* data, std::size_t size) const;

  std::array<bool, 4> dc_{}, ac_{}, quantisation_{};
  std::array<bool, 256> in_frame_{};         ///< by a component's name
  std::array<uint8_t, 256> quantised_by_{};  ///< the table of each
  bool progressive_ = false, foreign_ = false;
};

}  // namespace mobilevd
