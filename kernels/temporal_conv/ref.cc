// The scalar reference: the definition read aloud, sums in float64.
#include "conv/epilogue_ref.h"
#include "temporal_conv/temporal_conv_internal.h"

namespace mobilevd::kernels {
namespace {

template <typename T, typename W>
void blocks(const TemporalConvTask<T, W>& t, const LanePart& part) {
  for (std::ptrdiff_t index = part.unit_begin; index < part.unit_end; ++index) {
    const std::ptrdiff_t entry = index / t.blocks, block = index % t.blocks;
    for (std::ptrdiff_t f = 0; f < t.frames; ++f) {
      for (std::ptrdiff_t s = t.positions * block / t.blocks;
           s < t.positions * (block + 1) / t.blocks; ++s) {
        const std::ptrdiff_t row = (entry * t.frames + f) * t.positions + s;
        for (std::ptrdiff_t o = part.panel_begin * 16;
             o < part.panel_end * 16 && o < t.out_channels; ++o) {
          double sum = 0;
          for (int tap = 0; tap < 3; ++tap) {
            if (f + tap - 1 < 0 || f + tap - 1 >= t.frames) continue;
            const T* x = t.x + (row + (tap - 1) * t.positions) * t.in_channels;
            const W* w = t.weight + ((o / 16 * 3 + tap) * t.in_channels) * 16 + o % 16;
            for (std::ptrdiff_t c = 0; c < t.in_channels; ++c) {
              sum += static_cast<double>(widen(x[c])) * widen(w[c * 16]);
            }
          }
          finish(t.epilogue, static_cast<float>(sum), o, row * t.out_channels + o, t.out);
        }
      }
    }
  }
}

}  // namespace

const TemporalConvVariant kTemporalConvScalar = {kTemporalConvPositions, blocks<float, float>,
                                                 blocks<float, Half>, blocks<Half, Half>};

}  // namespace mobilevd::kernels
