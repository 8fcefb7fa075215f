#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mobilevd {

/// A clip of 8-bit RGB frames, [count, height, width, 3].
struct Frames {
  int64_t count = 0, height = 0, width = 0;
  std::vector<uint8_t> rgb;
  std::vector<float> unrounded;  ///< the same in [0, 1] before rounding; empty unless asked for

  const uint8_t* frame(int64_t index) const { return rgb.data() + index * height * width * 3; }
};

/// Network output [N, 3, H, W] in [-1, 1] -> frames [first, first + N) of `frames`:
/// (y + 1) * 127.5, clamped to 0..255, rounded half away from zero.
void quantize_frames(const float* planes, int64_t n, int64_t first, Frames& frames);

/// How frames are written, by the ending of the path.
enum class FrameFormat { kY4m, kPngFolder };

/// ".y4m" -> kY4m; no ending or a trailing "/" -> kPngFolder; else Error (usage) naming what makes
/// other formats.
FrameFormat frame_format(const std::string& path);

/// Throws Error (usage) for what write_frames() would refuse to write to, whatever the frames; to
/// be called before the long work: a folder that is not there or may not be written into, a mount
/// point, the working folder. A folder that exists is replaced only when it holds nothing but
/// frame_*.png; of a link to one, what it leads to.
void check_output(const std::string& path);

/// Checks as above, writes under a temporary name and renames, so that an error (disk full) leaves
/// nothing behind and an older output as it was.
void write_frames(const Frames& frames, double fps, const std::string& path);

/// YUV4MPEG2, 4:4:4, BT.601 full range, one frame after another.
std::string y4m_header(const Frames& frames, double fps);
std::string y4m_frame(const Frames& frames, int64_t index);

}  // namespace mobilevd
