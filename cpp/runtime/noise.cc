#include "runtime/noise.h"

#include <cmath>

namespace mobilevd {

std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                        std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53} * counter[0];
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57} * counter[2];
    counter = {
        static_cast<std::uint32_t>(p1 >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(p1),
        static_cast<std::uint32_t>(p0 >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(p0)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

void normal(std::uint64_t seed, std::uint32_t stream, std::size_t count, float* out) {
  constexpr double kTwoPi = 6.283185307179586476925286766559;
  constexpr double kUnit = 1.0 / 4294967296.0;  // 2^-32
  const std::array<std::uint32_t, 2> key{static_cast<std::uint32_t>(seed),
                                         static_cast<std::uint32_t>(seed >> 32)};
  for (std::size_t first = 0; first < count; first += 4) {
    const std::uint64_t block = first / 4;
    const auto words = philox4x32(
        {static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32), stream, 0},
        key);
    double four[4];
    for (int pair = 0; pair < 2; ++pair) {
      // + 0.5 keeps the uniforms inside (0, 1): no log of zero.
      const double radius = std::sqrt(-2.0 * std::log((words[2 * pair] + 0.5) * kUnit));
      const double angle = kTwoPi * ((words[2 * pair + 1] + 0.5) * kUnit);
      four[2 * pair] = radius * std::cos(angle);
      four[2 * pair + 1] = radius * std::sin(angle);
    }
    for (std::size_t i = first; i < count && i < first + 4; ++i) {
      out[i] = static_cast<float>(four[i - first]);
    }
  }
}

}  // namespace mobilevd
