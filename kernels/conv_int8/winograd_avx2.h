#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "conv/epilogue_inl.h"
#include "conv2d/tiles_inl.h"
#include "conv_int8/conv_int8_internal.h"
#include "conv_int8/gemm_int16_avx2.h"

// Winograd's F(2x2, 3x3) (arXiv 1509.09308) in integers. Inputs d within +-255 transform to +-1020,
// weights times 4 (2 each way, for the halves in G) to +-1143: 16 bits hold both, and 32 bits the
// sums of as many channels as are summed up at once. The transform back may wrap, but it only adds,
// and its result, four times the convolution's sum, is below 2^31: so it is exact.
//
// A chunk of tiles at a time:
//   1. inputs [piece of channels][frequency][tile][channel], 16-bit;
//   2. for a group of panels and a piece: weights [frequency][panel][pair of channels][16][2], then
//      16 matrix products add to [frequency][panel][tile][16], 32-bit;
//   3. sums are transformed back, scaled and stored.
// Include only from translation units compiled with AVX2's flags.
namespace mobilevd::kernels {
namespace {

/// t = B^T d, and in place of the weights' u = 2 G g and the outputs' y = A^T m.
[[gnu::always_inline]] inline void int8_input_transform(const __m256i (&d)[4], __m256i (&t)[4]) {
  t[0] = _mm256_sub_epi16(d[0], d[2]);
  t[1] = _mm256_add_epi16(d[1], d[2]);
  t[2] = _mm256_sub_epi16(d[2], d[1]);
  t[3] = _mm256_sub_epi16(d[1], d[3]);
}
[[gnu::always_inline]] inline void int8_weight_transform(const __m256i (&g)[3], __m256i (&u)[4]) {
  const __m256i outer = _mm256_add_epi16(g[0], g[2]);
  u[0] = _mm256_add_epi16(g[0], g[0]);
  u[1] = _mm256_add_epi16(outer, g[1]);
  u[2] = _mm256_sub_epi16(outer, g[1]);
  u[3] = _mm256_add_epi16(g[2], g[2]);
}
[[gnu::always_inline]] inline void int8_output_transform(const __m256i (&m)[4], __m256i (&y)[2]) {
  y[0] = _mm256_add_epi32(_mm256_add_epi32(m[0], m[1]), m[2]);
  y[1] = _mm256_sub_epi32(_mm256_sub_epi32(m[1], m[2]), m[3]);
}

class WinogradInt16 {
  static constexpr int kRows = kInt16Rows, kPiece = kInt8PieceChannels;
  /// Most channels summed up at once: 4 * 9 * 1792 * 255 * 127 < 2^31.
  static constexpr std::ptrdiff_t kExactChannels = 28 * kPiece;
  static constexpr std::ptrdiff_t kPieceStride = kInt8Frequencies * kInt8InputStride;

 public:
  WinogradInt16(const ConvInt8Task& task, const LanePart& part)
      : t_(task),
        p_(part),
        tiles_(task.out_height, task.out_width),
        sums_(reinterpret_cast<std::int32_t*>(part.scratch)),
        weights_(reinterpret_cast<std::int16_t*>(sums_ + kInt8Frequencies * kInt8SumStride)),
        inputs_(weights_ + kInt8Frequencies * kInt8WeightStride) {}

  void run() {
    for (first_ = p_.unit_begin; first_ < p_.unit_end; first_ += kInt8Tiles) {
      count_ = static_cast<int>(smaller<std::ptrdiff_t>(kInt8Tiles, p_.unit_end - first_));
      for (int i = 0; i < count_; ++i) transform_inputs(i);
      for (std::ptrdiff_t panel = p_.panel_begin; panel < p_.panel_end; panel += kInt8GroupPanels) {
        const int panels =
            static_cast<int>(smaller<std::ptrdiff_t>(kInt8GroupPanels, p_.panel_end - panel));
        for (std::ptrdiff_t c = 0; c < t_.in_channels; c += kExactChannels) {
          add_channels(panel, panels, c,
                       smaller<std::ptrdiff_t>(kExactChannels, t_.in_channels - c));
        }
      }
    }
  }

 private:
  /// The sums over some input channels, as far as they are exact, to what out already holds.
  void add_channels(std::ptrdiff_t panel, int panels, std::ptrdiff_t first, std::ptrdiff_t count) {
    for (std::ptrdiff_t c = first; c < first + count; c += kPiece) {
      const int groups = static_cast<int>(
          (smaller<std::ptrdiff_t>(kPiece, first + count - c) + kInt8Group - 1) / kInt8Group);
      for (int p = 0; p < panels; ++p) {
        for (int g = 0; g < groups; ++g) transform_weights(panel + p, p, c / kInt8Group + g, g);
      }
      multiply(panels, c / kPiece, groups * kInt8Group / 2, c == first);
    }
    ConvEpilogue<float> epilogue = t_.epilogue;
    if (first > 0) epilogue.bias = nullptr, epilogue.residual = t_.out;
    if (first + count < t_.in_channels) epilogue.activation = ConvActivation::kNone;
    for (int i = 0; i < count_; ++i) store_tile(epilogue, panel, panels, i);
  }

  [[gnu::noinline]] void transform_inputs(int index) {
    const TilePlace tile = tiles_.place(first_ + index);
    const std::int8_t* pixels[kInt8TileIn][kInt8TileIn];
    for (int i = 0; i < kInt8TileIn; ++i) {
      for (int j = 0; j < kInt8TileIn; ++j) {
        const std::ptrdiff_t y = tile.y - 1 + i, x = tile.x - 1 + j;
        const bool inside = y >= 0 && y < t_.height && x >= 0 && x < t_.width;
        pixels[i][j] = inside
                           ? t_.q + ((tile.picture * t_.height + y) * t_.width + x) * t_.pixel_bytes
                           : t_.padding;
      }
    }
    // Zero points, all alike, are left by the transform in one frequency alone.
    const __m256i zero_points =
        _mm256_set1_epi16(static_cast<std::int16_t>(4 * t_.range.zero_point));
    for (std::ptrdiff_t c = 0; c < t_.in_channels; c += 16) {
      __m256i half[kInt8TileIn][kInt8TileIn];
      for_each_index<kInt8TileIn>([&](auto x) {
        __m256i column[kInt8TileIn], result[kInt8TileIn];
        for_each_index<kInt8TileIn>([&](auto y) {
          column[y] = _mm256_cvtepi8_epi16(
              _mm_loadu_si128(reinterpret_cast<const __m128i*>(pixels[y][x] + c)));
        });
        int8_input_transform(column, result);
        for_each_index<kInt8TileIn>([&](auto y) { half[y][x] = result[y]; });
      });
      std::int16_t* to = inputs_ + c / kPiece * kPieceStride + index * kPiece + c % kPiece;
      for_each_index<kInt8TileIn>([&](auto y) {
        __m256i result[kInt8TileIn];
        int8_input_transform(half[y], result);
        if (y == 1) result[1] = _mm256_sub_epi16(result[1], zero_points);
        for_each_index<kInt8TileIn>(
            [&](auto x) { store(to + (y * kInt8TileIn + x) * kInt8InputStride, result[x]); });
      });
    }
  }

  /// Eight input channels of a panel.
  [[gnu::noinline]] void transform_weights(std::ptrdiff_t panel, int index, std::ptrdiff_t group,
                                           int at) {
    const std::ptrdiff_t tap = t_.groups() * kInt8Group * kPanelColumns;
    const std::int8_t* from =
        t_.weight + panel * t_.panel_bytes() + group * kInt8Group * kPanelColumns;
    std::int16_t* const to = weights_ + index * kPiece * kPanelColumns + at * 8 * kPanelColumns;
    for (int columns = 0; columns < kPanelColumns; columns += 8) {
      // [frequency][j]: columns j and j + 4, in the halves of a register, 8 channels each.
      alignas(32) std::int16_t made[kInt8Frequencies][4][16];
      for (int j = 0; j < 4; ++j) {
        const std::int8_t* g = from + (columns + j) * kInt8Group;
        const auto load = [&](int index) {
          std::uint64_t low, high;
          std::memcpy(&low, g + index * tap, 8);
          std::memcpy(&high, g + index * tap + 4 * kInt8Group, 8);
          return _mm256_cvtepi8_epi16(
              _mm_set_epi64x(static_cast<long long>(high), static_cast<long long>(low)));
        };
        __m256i half[kInt8TileIn][3];
        for_each_index<3>([&](auto x) {
          __m256i result[kInt8TileIn];
          int8_weight_transform({load(x), load(3 + x), load(6 + x)}, result);
          for_each_index<kInt8TileIn>([&](auto y) { half[y][x] = result[y]; });
        });
        for_each_index<kInt8TileIn>([&](auto y) {
          __m256i result[kInt8TileIn];
          int8_weight_transform(half[y], result);
          for_each_index<kInt8TileIn>(
              [&](auto x) { store(made[y * kInt8TileIn + x][j], result[x]); });
        });
      }
      for (int f = 0; f < kInt8Frequencies; ++f) {
        // 4 x 4 pairs of channels, transposed in each half.
        const __m256i a = load(made[f][0]), b = load(made[f][1]), c = load(made[f][2]),
                      d = load(made[f][3]);
        const __m256i ab0 = _mm256_unpacklo_epi32(a, b), ab1 = _mm256_unpackhi_epi32(a, b);
        const __m256i cd0 = _mm256_unpacklo_epi32(c, d), cd1 = _mm256_unpackhi_epi32(c, d);
        std::int16_t* pair = to + f * kInt8WeightStride + columns * 2;
        store(pair, _mm256_unpacklo_epi64(ab0, cd0));
        store(pair + 2 * kPanelColumns, _mm256_unpackhi_epi64(ab0, cd0));
        store(pair + 4 * kPanelColumns, _mm256_unpacklo_epi64(ab1, cd1));
        store(pair + 6 * kPanelColumns, _mm256_unpackhi_epi64(ab1, cd1));
      }
    }
  }

  void multiply(int panels, std::ptrdiff_t piece, int pairs, bool first) {
    const int blocks = part_count(count_, kRows);
    for (int f = 0; f < kInt8Frequencies; ++f) {
      const std::int16_t* a = inputs_ + piece * kPieceStride + f * kInt8InputStride;
      for (int p = 0; p < panels; ++p) {
        const std::int16_t* b = weights_ + f * kInt8WeightStride + p * kPiece * kPanelColumns;
        std::int32_t* sums = sums_of(f, p);
        for (int block = 0; block < blocks; ++block) {
          const int begin = part_begin(count_, blocks, block);
          with_count<kRows>(part_begin(count_, blocks, block + 1) - begin, [&](auto rows) {
            gemm_int16_block<decltype(rows)::value, kPiece>(a + begin * kPiece, b, pairs,
                                                            sums + begin * kPanelColumns, first);
          });
        }
      }
    }
  }

  [[gnu::noinline]] void store_tile(const ConvEpilogue<float>& epilogue, std::ptrdiff_t panel,
                                    int panels, int index) {
    const TilePlace tile = tiles_.place(first_ + index);
    const __m256 quarter = _mm256_set1_ps(0.25f * t_.range.scale);
    for (int v = 0; v < 2 * panels; ++v) {
      const std::ptrdiff_t channel = panel * kPanelColumns + v * 8;
      const std::ptrdiff_t n = t_.out_channels - channel;
      if (n <= 0) break;
      const std::int32_t* from = sums_of(0, v / 2) + index * kPanelColumns + v % 2 * 8;
      __m256i half[kInt8TileOut][kInt8TileIn];
      for_each_index<kInt8TileIn>([&](auto x) {
        __m256i column[kInt8TileIn], result[kInt8TileOut];
        for_each_index<kInt8TileIn>(
            [&](auto y) { column[y] = load(from + (y * kInt8TileIn + x) * kInt8SumStride); });
        int8_output_transform(column, result);
        for_each_index<kInt8TileOut>([&](auto y) { half[y][x] = result[y]; });
      });
      const __m256 scale = _mm256_mul_ps(quarter, _mm256_loadu_ps(t_.scales + channel));
      for_each_index<kInt8TileOut>([&](auto row) {
        __m256i result[kInt8TileOut];
        int8_output_transform(half[row], result);
        for_each_index<kInt8TileOut>([&](auto column) {
          const std::ptrdiff_t y = tile.y + row, x = tile.x + column;
          if (y >= t_.height || x >= t_.width) return;
          const std::ptrdiff_t pixel = (tile.picture * t_.height + y) * t_.width + x;
          finish<Avx2>(epilogue, _mm256_mul_ps(_mm256_cvtepi32_ps(result[column]), scale), channel,
                       pixel * t_.out_channels + channel,
                       static_cast<int>(smaller<std::ptrdiff_t>(n, 8)), t_.out);
        });
      });
    }
  }

  std::int32_t* sums_of(int frequency, int panel) {
    return sums_ + frequency * kInt8SumStride + panel * kInt8Tiles * kPanelColumns;
  }
  template <typename T>
  static __m256i load(const T* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static void store(std::int16_t* p, __m256i x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), x);
  }

  const ConvInt8Task& t_;
  const LanePart& p_;
  const Tiles<kInt8TileOut> tiles_;
  std::int32_t* const sums_;
  std::int16_t *const weights_, *const inputs_;
  std::ptrdiff_t first_ = 0;  ///< first tile of the chunk
  int count_ = 0;
};

void winograd_int16(const ConvInt8Task& task, const LanePart& part) {
  WinogradInt16(task, part).run();
}

}  // namespace
}  // namespace mobilevd::kernels
