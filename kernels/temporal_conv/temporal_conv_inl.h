#pragma once

#include <cstddef>

#include "conv/epilogue_inl.h"
#include "gemm/gemm_inl.h"
#include "temporal_conv/temporal_conv_internal.h"

// A block of positions at a time, all frames of it: each frame's rows are packed once, frames one
// behind the other, [frame][C_in][position]. The three frames under the filter are then one run of
// 3 C_in columns, in the order of the packed weights [tap][C_in][16], so a frame's outputs are one
// matrix product; at the first and last frame it is two thirds of it.
namespace mobilevd::kernels {
namespace {

template <typename D, typename T, typename W>
class TemporalConv {
  using Tile = GemmTile<D>;
  static constexpr int kRows = Tile::kRows;

 public:
  static_assert(kRows <= kTemporalConvPositions, "the scratch is sized for it");

  TemporalConv(const TemporalConvTask<T, W>& task, const LanePart& part) : t_(task), p_(part) {}

  void run() {
    for (std::ptrdiff_t index = p_.unit_begin; index < p_.unit_end; ++index) {
      const std::ptrdiff_t entry = index / t_.blocks, block = index % t_.blocks;
      const std::ptrdiff_t first = t_.positions * block / t_.blocks;
      const int rows = static_cast<int>(t_.positions * (block + 1) / t_.blocks - first);
      const std::ptrdiff_t row = entry * t_.frames * t_.positions + first;  // of frame 0
      for (std::ptrdiff_t f = 0; f < t_.frames; ++f) {
        const T* x = t_.x + (row + f * t_.positions) * t_.in_channels;
        pack_rows<D>([&](int i) { return x + i * t_.in_channels; }, rows, t_.in_channels,
                     p_.scratch + f * t_.in_channels * kRows);
      }
      for (std::ptrdiff_t panel = p_.panel_begin; panel < p_.panel_end; panel += Tile::kPanels) {
        if (p_.panel_end - panel >= Tile::kPanels) {
          one_panel_group<Tile::kPanels>(panel, row, rows);
        } else {
          one_panel_group<1>(panel, row, rows);
        }
      }
    }
  }

 private:
  template <int kPanels>
  void one_panel_group(std::ptrdiff_t panel, std::ptrdiff_t row, int rows) const {
    const std::ptrdiff_t tap = t_.in_channels * kPanelColumns;
    const W* weight = t_.weight + panel * 3 * tap;
    for (std::ptrdiff_t f = 0; f < t_.frames; ++f) {
      const std::ptrdiff_t first = f > 0 ? f - 1 : 0;
      const std::ptrdiff_t last = f + 1 < t_.frames ? f + 1 : f;
      const StoreRows<D, T> store{t_.epilogue, t_.out, t_.out_channels, row + f * t_.positions,
                                  panel * kPanelColumns};
      gemm_rows<D, kPanels>(rows, p_.scratch + first * t_.in_channels * kRows,
                            weight + (first - (f - 1)) * tap, 3 * tap,
                            (last - first + 1) * t_.in_channels, store);
    }
  }

  const TemporalConvTask<T, W>& t_;
  const LanePart& p_;
};

template <typename D, typename T, typename W>
void temporal_conv_blocks(const TemporalConvTask<T, W>& task, const LanePart& part) {
  TemporalConv<D, T, W>(task, part).run();
}

template <typename D>
constexpr TemporalConvVariant temporal_conv_variant() {
  return {GemmTile<D>::kRows, temporal_conv_blocks<D, float, float>,
          temporal_conv_blocks<D, float, Half>, temporal_conv_blocks<D, Half, Half>};
}

}  // namespace
}  // namespace mobilevd::kernels
