#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "conv/epilogue_inl.h"
#include "conv_int8/conv_int8_internal.h"
#include "gemm_int8/gemm_int8_inl.h"

// An implicit matrix product: the pixels under the taps of some outputs are packed as rows, groups
// of 8 channels as they are, then multiplied with the panels as they lie in memory. Zero points are
// taken off the sums: sum (q - z) w = sum q w - z sum w, padding being zero points, too.
namespace mobilevd::kernels {
namespace {

/// Finishes a block of sums whose channels begin at `channel`, their rows at `row` of out.
template <typename D>
struct StoreWithoutZeroPoints {
  const ConvInt8Task& t;
  const float* offsets;  ///< of the block's columns
  std::ptrdiff_t row, channel;

  template <int kRows, int kVecs>
  void operator()(typename D::Vec (&sums)[kRows][kVecs]) const {
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) {
      const std::ptrdiff_t c = channel + v * D::kLanes, n = t.out_channels - c;
      if (n <= 0) break;
      const typename D::Vec offset = D::load(offsets + v * D::kLanes);
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) {
        finish<D>(t.epilogue, D::sub(sums[i][v], offset), c, (row + i) * t.out_channels + c,
                  static_cast<int>(smaller<std::ptrdiff_t>(n, D::kLanes)), t.out);
      }
    }
  }
};

template <typename D, typename I>
class DirectInt8 {
 public:
  DirectInt8(const ConvInt8Task& task, const LanePart& part)
      : t_(task),
        p_(part),
        depth_(static_cast<int>(task.taps() * task.groups() * kInt8Group)),
        most_(static_cast<int>(int8_rows(depth_))),
        offsets_(part.scratch),
        row_scales_(offsets_ + (task.out_channels + 15) / 16 * 16),
        packed_(
            reinterpret_cast<std::int8_t*>(row_scales_ + kInt8MostRows + kInt8PaddingRows + 3)) {}

  void run() {
    for (int i = 0; i < most_ + kInt8PaddingRows; ++i) row_scales_[i] = t_.range.scale;
    find_offsets();
    const int panels = static_cast<int>(p_.panel_end - p_.panel_begin);
    int rows;
    for (std::ptrdiff_t first = p_.unit_begin; first < p_.unit_end; first += rows) {
      rows = static_cast<int>(smaller<std::ptrdiff_t>(most_, p_.unit_end - first));
      if (t_.out_line != t_.out_width) {  // rows of a block lie one behind the other
        const std::ptrdiff_t left = t_.out_width - first % t_.out_width;
        rows = static_cast<int>(smaller<std::ptrdiff_t>(rows, left));
      }
      const std::ptrdiff_t pixel = t_.out_pixel(first);
      for (int r = 0; r < rows; ++r) pack(first + r, r);
      gemm_int8_panels<D, I>(
          rows, packed_, row_scales_, t_.weight + p_.panel_begin * t_.panel_bytes(),
          t_.scales + p_.panel_begin * kPanelColumns, panels, depth_, [&](int r, int column) {
            return StoreWithoutZeroPoints<D>{t_, offsets_ + column, pixel + r,
                                             p_.panel_begin * kPanelColumns + column};
          });
    }
  }

 private:
  /// Of this part's columns: what a row of zero points would sum up to, scaled.
  void find_offsets() {
    for (int g = 0; g < depth_; g += kInt8Group) {
      std::uint64_t ones = 0x0101010101010101u ^ I::kFlip;
      std::memcpy(packed_ + g * I::kRows, &ones, sizeof(ones));
    }
    const float scale = t_.range.scale * static_cast<float>(t_.range.zero_point);
    for (std::ptrdiff_t p = p_.panel_begin; p < p_.panel_end; ++p) {
      const std::int8_t* weight = t_.weight + p * t_.panel_bytes();
      constexpr int kVecs = kPanelColumns / D::kLanes;
      typename D::Vec sums[1][kVecs];
      const std::ptrdiff_t groups = depth_ / kInt8Group;
      I::template multiply<1>(packed_, weight, groups, I::panel_offsets(weight, groups), sums);
      for (int v = 0; v < kVecs; ++v) {
        const auto scales = D::load(t_.scales + p * kPanelColumns + v * D::kLanes);
        D::store(offsets_ + (p - p_.panel_begin) * kPanelColumns + v * D::kLanes,
                 D::mul(sums[0][v], D::mul(D::set(scale), scales)));
      }
    }
  }

  void pack(std::ptrdiff_t output, int row) {
    const std::ptrdiff_t line = output / t_.out_width, column = output % t_.out_width;
    const std::ptrdiff_t picture = line / t_.out_height;
    const std::ptrdiff_t top = line % t_.out_height * t_.stride - 1;
    const std::ptrdiff_t left = column * t_.stride - t_.filter_width / 2;
    std::int8_t* to =
        packed_ + row / I::kRows * int8_block_stride<I>(depth_) + row % I::kRows * kInt8Group;
    for (std::ptrdiff_t y = top; y < top + 3; ++y) {
      for (std::ptrdiff_t x = left; x < left + t_.filter_width; ++x) {
        const bool inside = y >= 0 && y < t_.height && x >= 0 && x < t_.width;
        const std::int8_t* from =
            inside ? t_.q + ((picture * t_.height + y) * t_.width + x) * t_.pixel_bytes
                   : t_.padding;
        for (std::ptrdiff_t g = 0; g < t_.groups(); ++g, to += I::kRows * kInt8Group) {
          std::uint64_t group;
          std::memcpy(&group, from + g * kInt8Group, sizeof(group));
          group ^= I::kFlip;
          std::memcpy(to, &group, sizeof(group));
        }
      }
    }
  }

  const ConvInt8Task& t_;
  const LanePart& p_;
  const int depth_, most_;
  float *const offsets_, *const row_scales_;
  std::int8_t* const packed_;
};

template <typename D, typename I>
void direct_int8(const ConvInt8Task& task, const LanePart& part) {
  DirectInt8<D, I>(task, part).run();
}

}  // namespace
}  // namespace mobilevd::kernels
