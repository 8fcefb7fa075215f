#include "runtime/unrounded_frames.h"

#include <algorithm>
#include <cstddef>

#include "runtime/output_file.h"

namespace mobilevd {

void unrounded_frames(const float* planes, int64_t n, int64_t first, Frames& frames) {
  const int64_t area = frames.height * frames.width;
  frames.unrounded.resize(static_cast<std::size_t>(frames.count * area * 3));
  for (int64_t f = 0; f < n; ++f) {
    float* rgb = frames.unrounded.data() + (first + f) * area * 3;
    for (int64_t c = 0; c < 3; ++c) {
      const float* plane = planes + (f * 3 + c) * area;
      for (int64_t i = 0; i < area; ++i) {
        rgb[3 * i + c] = std::clamp((plane[i] + 1.0f) * 0.5f, 0.0f, 1.0f);
      }
    }
  }
}

void write_unrounded(const Frames& frames, const std::string& path) {
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (" +
                       std::to_string(frames.count) + ", " + std::to_string(frames.height) + ", " +
                       std::to_string(frames.width) + ", 3), }";
  // Magic, version 1.0, two bytes of length, then the header, which ends on a multiple of 64.
  const std::size_t before = 10;
  header.resize((before + header.size() + 1 + 63) / 64 * 64 - before, ' ');
  header.back() = '\n';
  std::string start("\x93NUMPY\x01\x00", 8);
  start += static_cast<char>(header.size() & 0xff);
  start += static_cast<char>(header.size() >> 8);
  start += header;
  OutputFile file(path);
  file.write(start.data(), start.size());
  file.write(frames.unrounded.data(), frames.unrounded.size() * sizeof(float));
  file.commit();
}

}  // namespace mobilevd
