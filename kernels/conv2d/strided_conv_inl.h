#pragma once

#include <cstddef>

#include "conv/epilogue_inl.h"
#include "conv2d/add_products_inl.h"
#include "conv2d/conv2d_internal.h"
#include "conv2d/tiles_inl.h"
#include "conv2d/transform_2d_inl.h"

// Stride 2, two outputs at once: those of a row read the inputs d0 .. d4,
//   y0 = g0 d0 + g1 d1 + g2 d2 = [g0 g1] [d0 - d2, d1] + (g0 + g2) d2
//   y1 = g0 d2 + g1 d3 + g2 d4 = [g1 g2] [d3, d4 - d2] + (g0 + g2) d2
// (Winograd's F(2, 2), arXiv 1509.09308, for the odd inputs; the even ones have one tap). Both ways
// that makes 25 multiplications a channel for a 2x2 tile of outputs instead of 36: nine products,
// of which an output is the sum of four. Only the sums of taps are computed from the weights, seven
// beside the nine that are read as they lie.
namespace mobilevd::kernels {
namespace {

/// d -> [d0 - d2, d1 | d2 | d3, d4 - d2]; the bars part the three products.
template <typename D>
[[gnu::always_inline]] inline void strided_input_transform(const typename D::Vec (&d)[kStridedIn],
                                                           typename D::Vec (&t)[kStridedIn]) {
  t[0] = D::sub(d[0], d[2]);
  t[1] = d[1];
  t[2] = d[2];
  t[3] = d[3];
  t[4] = D::sub(d[4], d[2]);
}

template <typename D, typename T, typename W>
class StridedConv {
  using Vec = typename D::Vec;
  using Tile = GemmTile<D>;
  static constexpr int kLanes = D::kLanes, kRows = Tile::kRows, kPanelVecs = Tile::kPanelVecs;
  static constexpr int kPositions = kStridedIn * kStridedIn, kProducts = 9;
  static constexpr std::ptrdiff_t kSumStride = kRows * Tile::kPanels * kPanelColumns;
  // Of the transformed inputs of a direction, those of each product.
  static constexpr int kFirst[] = {0, 2, 3}, kCount[] = {2, 1, 2};

 public:
  StridedConv(const Conv2dTask<T, W>& task, const LanePart& part)
      : t_(task),
        p_(part),
        tiles_(task.out_height, task.out_width),
        tap_(task.in_channels * kPanelColumns),
        block_stride_(kRows * kPositions * task.in_channels + 16),
        tap_sums_(part.scratch),
        sums_(tap_sums_ + kStridedTapSums * Tile::kPanels * tap_),
        inputs_(sums_ + kProducts * kSumStride) {}

  void run() {
    for (first_ = p_.unit_begin; first_ < p_.unit_end; first_ += kConvChunk) {
      const int count = static_cast<int>(smaller<std::ptrdiff_t>(kConvChunk, p_.unit_end - first_));
      const int blocks = part_count(count, kRows);
      const auto begin = [&](int block) { return part_begin(count, blocks, block); };
      for (int b = 0; b < blocks; ++b) transform_inputs(begin(b), begin(b + 1), b);
      for (std::ptrdiff_t panel = p_.panel_begin; panel < p_.panel_end; panel += Tile::kPanels) {
        const int panels =
            static_cast<int>(smaller<std::ptrdiff_t>(Tile::kPanels, p_.panel_end - panel));
        for (int p = 0; p < panels; ++p) add_taps(panel + p, p);
        for (int b = 0; b < blocks; ++b) {
          with_count<Tile::kPanels>(panels, [&](auto n) {
            multiply<decltype(n)::value>(panel, b, begin(b + 1) - begin(b));
          });
          for (int i = begin(b); i < begin(b + 1); ++i) store_tile(panel, panels, i, i - begin(b));
        }
      }
    }
  }

 private:
  /// Where the inputs of product (y, x) begin among the 25, those of each product being together.
  static constexpr int first_input(int y, int x) {
    return kStridedIn * kFirst[y] + kCount[y] * kFirst[x];
  }

  void transform_inputs(int begin, int end, int block) {
    alignas(64) float transformed[kPositions][kRows][kLanes];
    alignas(64) float packed[kLanes * kRows + kLanes];
    for (std::ptrdiff_t c = 0; c < t_.in_channels; c += kLanes) {
      const int n = static_cast<int>(smaller<std::ptrdiff_t>(kLanes, t_.in_channels - c));
      for (int i = begin; i < end; ++i) {
        transform_tile(tiles_.place(first_ + i), c, n, &transformed[0][i - begin][0]);
      }
      // Packing writes past its end: where the next position begins, it must not.
      const bool last = c + kLanes >= t_.in_channels;
      float* to = inputs_ + block * block_stride_ + c * kRows;
      for (int f = 0; f < kPositions; ++f, to += t_.in_channels * kRows) {
        pack_rows<D>([&](int i) -> const float* { return transformed[f][i]; }, end - begin, n,
                     last ? packed : to);
        if (last) {
          for (int i = 0; i < n * kRows; ++i) to[i] = packed[i];
        }
      }
    }
  }

  [[gnu::noinline]] void transform_tile(const TilePlace& tile, std::ptrdiff_t channel, int n,
                                        float* to) const {
    const std::ptrdiff_t top = 2 * tile.y - 1, left = 2 * tile.x - 1;
    const auto load = [&](int row, int column) {
      return load_pixel<D>(t_, tile.picture, top + row, left + column, channel, n);
    };
    constexpr int kProductOf[] = {0, 0, 1, 2, 2};
    transform_2d<D, kStridedIn, kStridedIn>(
        strided_input_transform<D>, load, [&](int row, int column, Vec value) {
          const int y = kProductOf[row], x = kProductOf[column];
          const int at = first_input(y, x) + (row - kFirst[y]) * kCount[x] + column - kFirst[x];
          D::store(to + at * kRows * kLanes, value);
        });
  }

  /// [row 0: left + right tap, row 1, row 2, column 0: upper + lower tap, column 1, column 2, all
  /// four corners][C_in][16] of one panel.
  [[gnu::noinline]] void add_taps(std::ptrdiff_t panel, int index) {
    const W* g = t_.weight + panel * 9 * tap_;
    float* to = tap_sums_ + index * kStridedTapSums * tap_;
    for (std::ptrdiff_t c = 0; c < tap_; c += kLanes, g += kLanes, to += kLanes) {
      const auto sum = [&](int a, int b) {
        return D::add(D::load(g + a * tap_), D::load(g + b * tap_));
      };
      const Vec upper = sum(0, 2), lower = sum(6, 8);
      D::store(to, upper);
      D::store(to + tap_, sum(3, 5));
      D::store(to + 2 * tap_, lower);
      D::store(to + 3 * tap_, sum(0, 6));
      D::store(to + 4 * tap_, sum(1, 7));
      D::store(to + 5 * tap_, sum(2, 8));
      D::store(to + 6 * tap_, D::add(upper, lower));
    }
  }

  template <int kPanels>
  void multiply(std::ptrdiff_t panel, int block, int rows) {
    const float* a = inputs_ + block * block_stride_;
    const W* taps = t_.weight + panel * 9 * tap_;
    const auto add = [&](int y, int x, int run, const auto* b, std::ptrdiff_t panel_stride,
                         int length) {
      const float* from = a + (first_input(y, x) + run * kCount[x]) * t_.in_channels * kRows;
      gemm_rows<D, kPanels>(rows, from, b, panel_stride, length * t_.in_channels,
                            AddProducts<D>{sums_ + (3 * y + x) * kSumStride, run == 0});
    };
    const auto add_summed = [&](int y, int x, int tap_sum, int length) {
      add(y, x, 0, tap_sums_ + tap_sum * tap_, kStridedTapSums * tap_, length);
    };
    for (const int y : {0, 2}) {
      for (const int x : {0, 2}) {
        for (int run = 0; run < 2; ++run) {
          add(y, x, run, taps + (3 * (y / 2 + run) + x / 2) * tap_, 9 * tap_, 2);
        }
      }
      add_summed(y, 1, y / 2, 2);
      add_summed(1, y, 3 + y / 2, 2);
    }
    add_summed(1, 1, 6, 1);
  }

  [[gnu::noinline]] void store_tile(std::ptrdiff_t panel, int panels, int index, int row) {
    const TilePlace tile = tiles_.place(first_ + index);
    for (int v = 0; v < panels * kPanelVecs; ++v) {
      const std::ptrdiff_t channel = panel * kPanelColumns + v * kLanes;
      const std::ptrdiff_t n = t_.out_channels - channel;
      if (n <= 0) break;
      const float* from = sums_ + row * Tile::kPanels * kPanelColumns + v * kLanes;
      const auto product = [&](int y, int x) { return D::load(from + (3 * y + x) * kSumStride); };
      for (int i = 0; i < kStridedOut * kStridedOut; ++i) {
        const int dy = i / kStridedOut, dx = i % kStridedOut;
        const std::ptrdiff_t y = tile.y + dy, x = tile.x + dx;
        if (y >= t_.out_height || x >= t_.out_width) continue;
        const Vec sum = D::add(D::add(product(2 * dy, 2 * dx), product(2 * dy, 1)),
                               D::add(product(1, 2 * dx), product(1, 1)));
        const std::ptrdiff_t pixel = (tile.picture * t_.out_height + y) * t_.out_width + x;
        finish<D>(t_.epilogue, sum, channel, pixel * t_.out_channels + channel,
                  static_cast<int>(smaller<std::ptrdiff_t>(n, kLanes)), t_.out);
      }
    }
  }

  const Conv2dTask<T, W>& t_;
  const LanePart& p_;
  const Tiles<kStridedOut> tiles_;
  const std::ptrdiff_t tap_, block_stride_;
  float *const tap_sums_, *const sums_, *const inputs_;
  std::ptrdiff_t first_ = 0;  ///< first tile of the chunk
};

template <typename D, typename T, typename W>
void strided_conv(const Conv2dTask<T, W>& task, const LanePart& part) {
  StridedConv<D, T, W>(task, part).run();
}

}  // namespace
}  // namespace mobilevd::kernels
