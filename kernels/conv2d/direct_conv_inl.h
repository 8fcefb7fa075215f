#pragma once

#include <cstddef>

#include "conv/epilogue_inl.h"
#include "conv2d/conv2d_internal.h"
#include "gemm/gemm_inl.h"

// An implicit matrix product: for a chunk of outputs the pixels under the nine taps are packed as
// rows of 9 C_in columns, then multiplied with the panels as they lie in memory.
namespace mobilevd::kernels {
namespace {

template <typename D, typename T, typename W>
class DirectConv {
  using Tile = GemmTile<D>;
  static constexpr int kRows = Tile::kRows;

 public:
  DirectConv(const Conv2dTask<T, W>& task, const LanePart& part)
      : t_(task),
        p_(part),
        depth_(9 * task.in_channels),
        block_stride_(kRows * depth_ + 16),
        zeros_(reinterpret_cast<T*>(part.scratch)),
        packed_(part.scratch + (task.in_channels + 15) / 16 * 16) {}

  void run() {
    for (std::ptrdiff_t c = 0; c < t_.in_channels; ++c) zeros_[c] = T{};
    for (std::ptrdiff_t first = p_.unit_begin; first < p_.unit_end; first += kConvChunk) {
      const int count = static_cast<int>(smaller<std::ptrdiff_t>(kConvChunk, p_.unit_end - first));
      const int blocks = part_count(count, kRows);
      const auto begin = [&](int block) { return part_begin(count, blocks, block); };
      for (int b = 0; b < blocks; ++b) pack_block(first + begin(b), begin(b + 1) - begin(b), b);
      for (std::ptrdiff_t panel = p_.panel_begin; panel < p_.panel_end; panel += Tile::kPanels) {
        const W* weight = t_.weight + panel * depth_ * kPanelColumns;
        const bool whole = p_.panel_end - panel >= Tile::kPanels;
        for (int b = 0; b < blocks; ++b) {
          const StoreRows<D, T> store{t_.epilogue, t_.out, t_.out_channels, first + begin(b),
                                      panel * kPanelColumns};
          const float* a = packed_ + b * block_stride_;
          const int rows = begin(b + 1) - begin(b);
          const std::ptrdiff_t stride = depth_ * kPanelColumns;
          if (whole) {
            gemm_rows<D, Tile::kPanels>(rows, a, weight, stride, depth_, store);
          } else {
            gemm_rows<D, 1>(rows, a, weight, stride, depth_, store);
          }
        }
      }
    }
  }

 private:
  void pack_block(std::ptrdiff_t first, int rows, int block) {
    for (int tap = 0; tap < 9; ++tap) {
      const T* pixels[kRows];
      for (int i = 0; i < rows; ++i) pixels[i] = input(first + i, tap);
      pack_rows<D>([&](int i) { return pixels[i]; }, rows, t_.in_channels,
                   packed_ + block * block_stride_ + tap * t_.in_channels * kRows);
    }
  }

  const T* input(std::ptrdiff_t output, int tap) const {
    const std::ptrdiff_t row = output / t_.out_width;
    const std::ptrdiff_t y = row % t_.out_height * t_.stride + tap / 3 - 1;
    const std::ptrdiff_t x = output % t_.out_width * t_.stride + tap % 3 - 1;
    if (y < 0 || y >= t_.height || x < 0 || x >= t_.width) return zeros_;
    return t_.x + ((row / t_.out_height * t_.height + y) * t_.width + x) * t_.in_channels;
  }

  const Conv2dTask<T, W>& t_;
  const LanePart& p_;
  const std::ptrdiff_t depth_, block_stride_;
  T* const zeros_;
  float* const packed_;
};

template <typename D, typename T, typename W>
void direct_conv(const Conv2dTask<T, W>& task, const LanePart& part) {
  DirectConv<D, T, W>(task, part).run();
}

}  // namespace
}  // namespace mobilevd::kernels
