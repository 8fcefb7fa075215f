#pragma once

#include <cstdint>
#include <string>

#include "runtime/frames.h"

namespace mobilevd {

/// Network output [N, 3, H, W] in [-1, 1] -> the same frames of `frames.unrounded`, which it sizes:
/// (y + 1) / 2, clamped to 0..1.
void unrounded_frames(const float* planes, int64_t n, int64_t first, Frames& frames);

/// Writes `unrounded` to `path` as an OutputFile: NumPy's NPY, float32 [count, height, width, 3].
void write_unrounded(const Frames& frames, const std::string& path);

}  // namespace mobilevd
