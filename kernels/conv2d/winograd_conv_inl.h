#pragma once

#include <cstddef>

#include "conv/epilogue_inl.h"
#include "conv2d/add_products_inl.h"
#include "conv2d/conv2d_internal.h"
#include "conv2d/tiles_inl.h"
#include "conv2d/transform_2d_inl.h"
#include "conv2d/winograd_inl.h"

// A chunk of tiles at a time:
//   1. the chunk's inputs are transformed and packed, [frequency][block of tiles][C_in][tile];
//   2. for a group of panels and a piece of C_in: the weights are transformed to
//      [frequency][panel][C_in][16], then 36 matrix products add to [frequency][block][tile][16 n];
//   3. the group's sums are transformed back and stored.
// Weights are so transformed anew for each chunk, 4 % of the work of its 56 tiles; kept whole they
// would be four times the packed ones, and be read from memory instead of the second-level cache.
namespace mobilevd::kernels {
namespace {

template <typename D, typename T, typename W>
class WinogradConv {
  using Vec = typename D::Vec;
  using Tile = GemmTile<D>;
  static constexpr int kLanes = D::kLanes, kRows = Tile::kRows, kPanelVecs = Tile::kPanelVecs;

 public:
  WinogradConv(const Conv2dTask<T, W>& task, const LanePart& part)
      : t_(task),
        p_(part),
        tiles_(task.out_height, task.out_width),
        block_stride_(kRows * task.in_channels + 16),
        input_stride_(kConvChunkRows / kRows * block_stride_),
        weights_(part.scratch),
        sums_(weights_ + kFrequencies * kWeightStride),
        inputs_(sums_ + kFrequencies * kSumStride) {}

  void run() {
    for (first_ = p_.unit_begin; first_ < p_.unit_end; first_ += kConvChunk) {
      count_ = static_cast<int>(smaller<std::ptrdiff_t>(kConvChunk, p_.unit_end - first_));
      blocks_ = part_count(count_, kRows);
      for (int b = 0; b < blocks_; ++b) transform_inputs(b);
      for (std::ptrdiff_t panel = p_.panel_begin; panel < p_.panel_end; panel += kGroupPanels) {
        const int panels =
            static_cast<int>(smaller<std::ptrdiff_t>(kGroupPanels, p_.panel_end - panel));
        for (std::ptrdiff_t c = 0; c < t_.in_channels; c += kPieceChannels) {
          const int channels =
              static_cast<int>(smaller<std::ptrdiff_t>(kPieceChannels, t_.in_channels - c));
          transform_weights(panel, panels, c, channels);
          multiply(panels, c, channels);
        }
        for (int b = 0; b < blocks_; ++b) {
          for (int i = block_begin(b); i < block_begin(b + 1); ++i) store_tile(panel, panels, b, i);
        }
      }
    }
  }

 private:
  int block_begin(int block) const { return part_begin(count_, blocks_, block); }

  float* sums_of(int frequency, int panel_index, int block) {
    // [panel or pair of panels][block][row][its columns]
    return sums_ + frequency * kSumStride +
           (panel_index / Tile::kPanels * blocks_ + block) * kRows * Tile::kPanels * kPanelColumns;
  }

  void transform_inputs(int block) {
    const int begin = block_begin(block), rows = block_begin(block + 1) - begin;
    alignas(64) float transformed[kFrequencies][kRows][kLanes];
    for (std::ptrdiff_t c = 0; c < t_.in_channels; c += kLanes) {
      const int n = static_cast<int>(smaller<std::ptrdiff_t>(kLanes, t_.in_channels - c));
      for (int i = 0; i < rows; ++i) {
        transform_tile(tiles_.place(first_ + begin + i), c, n, &transformed[0][i][0]);
      }
      float* to = inputs_ + block * block_stride_ + c * kRows;
      for (int f = 0; f < kFrequencies; ++f, to += input_stride_) {
        pack_rows<D>([&](int i) -> const float* { return transformed[f][i]; }, rows, n, to);
      }
    }
  }

  [[gnu::noinline]] void transform_tile(const TilePlace& tile, std::ptrdiff_t channel, int n,
                                        float* to) const {
    const std::ptrdiff_t top = tile.y - 1, left = tile.x - 1;
    const auto load = [&](int row, int column) {
      return load_pixel<D>(t_, tile.picture, top + row, left + column, channel, n);
    };
    transform_2d<D, kTileIn, kTileIn>(
        input_transform<D>, load, [&](int row, int column, Vec value) {
          D::store(to + (row * kTileIn + column) * kRows * kLanes, value);
        });
  }

  [[gnu::noinline]] void transform_weights(std::ptrdiff_t panel, int panels, std::ptrdiff_t channel,
                                           int channels) {
    const std::ptrdiff_t tap = t_.in_channels * kPanelColumns;
    for (int p = 0; p < panels; ++p) {
      const W* g = t_.weight + (panel + p) * 9 * tap + channel * kPanelColumns;
      float* to = weights_ + p * kPieceChannels * kPanelColumns;
      for (int c = 0; c < channels * kPanelVecs; ++c, g += kLanes, to += kLanes) {
        Vec half[kTileIn][3];
#pragma GCC unroll 3
        for (int x = 0; x < 3; ++x) {
          Vec result[kTileIn];
          weight_transform<D>(
              {D::load(g + x * tap), D::load(g + (3 + x) * tap), D::load(g + (6 + x) * tap)},
              result);
#pragma GCC unroll 6
          for (int y = 0; y < kTileIn; ++y) half[y][x] = result[y];
        }
#pragma GCC unroll 6
        for (int y = 0; y < kTileIn; ++y) {
          Vec result[kTileIn];
          weight_transform<D>(half[y], result);
#pragma GCC unroll 6
          for (int x = 0; x < kTileIn; ++x) {
            D::store(to + (y * kTileIn + x) * kWeightStride, result[x]);
          }
        }
      }
    }
  }

  void multiply(int panels, std::ptrdiff_t channel, int channels) {
    constexpr std::ptrdiff_t kPanelStride = kPieceChannels * kPanelColumns;
    for (int f = 0; f < kFrequencies; ++f) {
      const float* a = inputs_ + f * input_stride_ + channel * kRows;
      const float* b = weights_ + f * kWeightStride;
      for (int p = 0; p < panels; p += Tile::kPanels, b += Tile::kPanels * kPanelStride) {
        for (int block = 0; block < blocks_; ++block) {
          const int rows = block_begin(block + 1) - block_begin(block);
          const AddProducts<D> add{sums_of(f, p, block), channel == 0};
          const float* rows_a = a + block * block_stride_;
          if (panels - p >= Tile::kPanels) {
            gemm_rows<D, Tile::kPanels>(rows, rows_a, b, kPanelStride, channels, add);
          } else {
            gemm_rows<D, 1>(rows, rows_a, b, kPanelStride, channels, add);
          }
        }
      }
    }
  }

  [[gnu::noinline]] void store_tile(std::ptrdiff_t panel, int panels, int block, int index) {
    const TilePlace tile = tiles_.place(first_ + index);
    for (int p = 0; p < panels; ++p) {
      for (int v = 0; v < kPanelVecs; ++v) {
        const std::ptrdiff_t channel = (panel + p) * kPanelColumns + v * kLanes;
        const std::ptrdiff_t n = t_.out_channels - channel;
        if (n <= 0) break;
        const float* from = sums_of(0, p, block) +
                            (index - block_begin(block)) * Tile::kPanels * kPanelColumns +
                            p % Tile::kPanels * kPanelColumns + v * kLanes;
        transform_2d<D, kTileIn, kTileOut>(
            output_transform<D>,
            [&](int row, int column) {
              return D::load(from + (row * kTileIn + column) * kSumStride);
            },
            [&](int row, int column, Vec value) {
              const std::ptrdiff_t y = tile.y + row, x = tile.x + column;
              if (y >= t_.height || x >= t_.width) return;
              const std::ptrdiff_t pixel = (tile.picture * t_.height + y) * t_.width + x;
              finish<D>(t_.epilogue, value, channel, pixel * t_.out_channels + channel,
                        static_cast<int>(smaller<std::ptrdiff_t>(n, kLanes)), t_.out);
            });
      }
    }
  }

  const Conv2dTask<T, W>& t_;
  const LanePart& p_;
  const Tiles<kTileOut> tiles_;
  const std::ptrdiff_t block_stride_, input_stride_;
  float *const weights_, *const sums_, *const inputs_;
  std::ptrdiff_t first_ = 0;  ///< first tile of the chunk
  int count_ = 0, blocks_ = 0;
};

template <typename D, typename T, typename W>
void winograd_conv(const Conv2dTask<T, W>& task, const LanePart& part) {
  WinogradConv<D, T, W>(task, part).run();
}

}  // namespace
}  // namespace mobilevd::kernels
