#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace mobilevd {

/// What each noise stream of a clip is for; stream kRenoise + i belongs to consistency step i.
enum NoiseStream : std::uint32_t { kLatents = 0, kImageAugmentation = 1, kRenoise = 2 };

/// Philox4x32-10, the counter-based generator of Salmon et al., "Parallel random numbers: as easy
/// as 1, 2, 3" (SC 2011): four uniform 32-bit words from a 128-bit counter and a 64-bit key.
std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                        std::array<std::uint32_t, 2> key);

/// `count` independent N(0, 1) values of (seed, stream), the same on every call, in every thread
/// and whatever the count: value i depends on (seed, stream, i) alone. Box-Muller in double.
void normal(std::uint64_t seed, std::uint32_t stream, std::size_t count, float* out);

}  // namespace mobilevd
