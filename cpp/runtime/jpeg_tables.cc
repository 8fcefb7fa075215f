#include "runtime/jpeg_tables.h"

namespace mobilevd {
namespace {

constexpr std::size_t kTables = 4;

}  // namespace

bool JpegTables::take(uint8_t marker, const uint8_t* data, std::size_t size) {
  switch (marker) {
    case 0xC4:
      return take_huffman(data, size);
    case 0xDB:
      return take_quantisation(data, size);
    case 0xC0:
    case 0xC1:
    case 0xC2:
      progressive_ = marker == 0xC2;
      return take_frame(data, size);
    case 0xDA:
      return foreign_ || take_scan(data, size);
    default:
      // Other frames, of arithmetic codes or without loss: stb_image says that it cannot.
      foreign_ = foreign_ || (marker > 0xC2 && marker <= 0xCF && marker != 0xC8 && marker != 0xCC);
      return true;
  }
}

bool JpegTables::take_huffman(const uint8_t* data, std::size_t size) {
  constexpr std::size_t kHead = 17;  // class and number, codes of each of 16 lengths
  while (size > 0) {
    if (size < kHead) return false;
    const std::size_t kind = data[0] >> 4, number = data[0] & 15u;
    std::size_t codes = 0;
    for (std::size_t i = 1; i < kHead; ++i) codes += data[i];
    if (kind > 1 || number >= kTables || codes > 256 || size - kHead < codes) return false;
    (kind == 0 ? dc_ : ac_)[number] = true;
    data += kHead + codes;
    size -= kHead + codes;
  }
  return true;
}

bool JpegTables::take_quantisation(const uint8_t* data, std::size_t size) {
  while (size > 0) {
    const std::size_t number = data[0] & 15u;
    const std::size_t bytes = 1 + ((data[0] >> 4) != 0 ? 128 : 64);
    if (number >= kTables || size < bytes) return false;
    quantisation_[number] = true;
    data += bytes;
    size -= bytes;
  }
  return true;
}

bool JpegTables::take_frame(const uint8_t* data, std::size_t size) {
  constexpr std::size_t kHead = 6;  // precision, height, width, number of components
  if (size < kHead || size != kHead + std::size_t{3} * data[kHead - 1]) return false;
  for (const uint8_t* component = data + kHead; component < data + size; component += 3) {
    if (component[2] >= kTables) return false;
    in_frame_[component[0]] = true;
    quantised_by_[component[0]] = component[2];
  }
  return true;
}

bool JpegTables::take_scan(const uint8_t* data, std::size_t size) const {
  if (size < 4 || size != 4 + std::size_t{2} * data[0]) return false;
  const uint8_t* end = data + 1 + std::size_t{2} * data[0];  // then first, last, successive bits
  const bool dc = !progressive_ || (end[0] == 0 && end[2] >> 4 == 0);
  const bool ac = !progressive_ || end[0] != 0;
  for (const uint8_t* component = data + 1; component < end; component += 2) {
    const std::size_t of_dc = component[1] >> 4, of_ac = component[1] & 15u;
    if (of_dc >= kTables || of_ac >= kTables || !in_frame_[component[0]]) return false;
    if (!quantisation_[quantised_by_[component[0]]]) return false;
    if ((dc && !dc_[of_dc]) || (ac && !ac_[of_ac])) return false;
  }
  return true;
}

}  // namespace mobilevd
