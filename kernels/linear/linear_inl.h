#pragma once

#include <cstddef>
#include <type_traits>

#include "gemm/gemm_inl.h"
#include "linear/linear_internal.h"
#include "linear/side_work.h"
#include "simd/gelu.h"
#include "simd/silu.h"
#include "simd/unroll.h"

// One tile of a linear layer, written once for every ISA D (simd/). For each pass over the inputs:
// pack the tile's rows; then, for each pair of panels, multiply every block of rows with it, so
// that the pair stays in the first-level cache and the rows in the second. A block's sums go
// through memory (the first-level cache): to be added to where there are more passes, or into what
// follows them, which is then one small loop and not a copy of itself in every block's function.
namespace mobilevd::kernels {
namespace {

/// Columns of a block's sums in memory: two panels.
constexpr int kSumColumns = static_cast<int>(kGroupColumns);

/// GEMM epilogue: the sums as rows of kSumColumns, added to what is there where `add`.
template <typename D>
struct StoreSums {
  float* to;
  bool add;

  template <int kRows, int kVecs>
  [[gnu::always_inline]] void operator()(typename D::Vec (&sums)[kRows][kVecs]) const {
#pragma GCC unroll 32
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 16
      for (int v = 0; v < kVecs; ++v) {
        float* p = to + i * kSumColumns + v * D::kLanes;
        D::store(p, add ? D::add(D::load(p), sums[i][v]) : sums[i][v]);
      }
    }
  }
};

template <typename D, typename T, typename W>
class LinearKernel {
  using Vec = typename D::Vec;
  static constexpr int kLanes = D::kLanes;
  static constexpr int kRows = GemmTile<D>::kRows;
  static constexpr int kPanels = GemmTile<D>::kPanels;
  static constexpr int kPanelVecs = GemmTile<D>::kPanelVecs;

 public:
  LinearKernel(const LinearTask<T, W>& task, const LinearTile& tile, float* scratch)
      : t_(task),
        tile_(tile),
        gated_(task.activation == Activation::kGeglu),
        blocks_((tile.rows + kRows - 1) / kRows),
        widened_(scratch),
        packed_(widened_ + linear_depth(task.k) * kGroupColumns),
        partial_(packed_ + linear_packed_floats(kRows, tile.rows, task.k)) {}

  void run(bool packed) {
    const std::ptrdiff_t depth = linear_depth(t_.k), passes = linear_passes(t_.k);
    for (std::ptrdiff_t pass = 0; pass < passes; ++pass) {
      const std::ptrdiff_t first = pass * depth, count = smaller(depth, t_.k - first);
      const bool last = pass + 1 == passes;
      if (!packed) pack(first, count);
      if (last) {
        fetch_rows(tile_.row + tile_.rows, 0, depth);
      } else {
        fetch_rows(tile_.row, first + depth, depth);
      }
      for (std::ptrdiff_t g = 0; g < tile_.groups; ++g) one_group(g, first, count, last);
    }
    if (t_.stream) D::stream_fence();
  }

 private:
  int block_rows(std::ptrdiff_t block) const {
    return static_cast<int>(smaller<std::ptrdiff_t>(tile_.rows - block * kRows, kRows));
  }

  void pack(std::ptrdiff_t first, std::ptrdiff_t count) const {
    for (std::ptrdiff_t b = 0; b < blocks_; ++b) {
      const T* x = t_.x + (tile_.row + b * kRows) * t_.k + first;
      pack_rows<D>([&](int i) { return x + i * t_.k; }, block_rows(b), count,
                   packed_ + b * kRows * count);
    }
  }

  /// Fetches what the next pack() will read: of this tile, or of the one below.
  void fetch_rows(std::ptrdiff_t row, std::ptrdiff_t first, std::ptrdiff_t depth) {
    if (row >= t_.rows) return side_.rows.stop();
    // A block of as many rows, by all groups: each group's share, in the steps of its panels.
    const std::ptrdiff_t steps = tile_.groups * (2 / kPanels);
    constexpr std::ptrdiff_t kBytes = kRows * SideWork::kColumns * sizeof(T);
    side_.rows.start(t_.x + row * t_.k + first, depth * sizeof(T), t_.k * sizeof(T),
                     (kBytes + steps - 1) / steps);
  }

  void one_group(std::ptrdiff_t g, std::ptrdiff_t first, std::ptrdiff_t count, bool last) {
    const std::ptrdiff_t panel = 2 * (tile_.group + g);
    const int panels = panel + 1 == t_.panels ? 1 : 2;
    // The group's first column in out.
    const std::ptrdiff_t column = (gated_ ? panel / 2 : panel) * kPanelColumns;
    const Weights weights = group_weights(panel, panels, first, count);
    const bool partial = linear_passes(t_.k) > 1;
    if (last) load_bias(column);
    for (std::ptrdiff_t b = 0; b < blocks_; ++b) {
      const int rows = block_rows(b);
      const std::ptrdiff_t row = tile_.row + b * kRows;
      float* sums = partial ? partial_ + (g * blocks_ + b) * kRows * kSumColumns : sums_;
      if (last && t_.residual != nullptr) fetch_residual(row, rows, column);
      multiply(rows, packed_ + b * kRows * count, weights, panels, count, {sums, first > 0});
      if (last) finish(row, rows, column, sums);
    }
  }

  struct Weights {
    const float* panels;
    std::ptrdiff_t stride;  // from panel to panel
  };

  /// The group's panels where they lie, or as float32 in scratch: conversions take the place of
  /// multiplications, so they are made once for all blocks (7 to 11 % of the whole).
  Weights group_weights(std::ptrdiff_t panel, int panels, std::ptrdiff_t first,
                        std::ptrdiff_t count) const {
    const W* from = t_.weight + (panel * t_.k + first) * kPanelColumns;
    if constexpr (std::is_same_v<W, float>) {
      return {from, t_.k * kPanelColumns};
    } else {
      float* to = widened_;
      for (int p = 0; p < panels; ++p, from += t_.k * kPanelColumns) {
        for (std::ptrdiff_t i = 0; i < count * kPanelColumns; i += kLanes, to += kLanes) {
          D::store(to, D::load(from + i));
        }
      }
      return {widened_, count * kPanelColumns};
    }
  }

  void multiply(int rows, const float* a, Weights weights, int panels, std::ptrdiff_t count,
                StoreSums<D> store) {
    const std::ptrdiff_t share = share_size(count, kSumInputs), stride = weights.stride;
    const float* b = weights.panels;
    std::ptrdiff_t first = 0;
    do {  // once even without inputs
      const std::ptrdiff_t inputs = smaller(share, count - first);
      if (kPanels == 2 && panels == 2) {
        gemm_rows<D, kPanels>(rows, a, b, stride, inputs, store, side_);
      } else {
        gemm_rows<D, 1>(rows, a, b, stride, inputs, store, side_);
        if (panels == 2) {
          const StoreSums<D> second{store.to + kPanelColumns, store.add};
          gemm_rows<D, 1>(rows, a, b + stride, stride, inputs, second, side_);
        }
      }
      store.add = true;
      a += inputs * kRows;
      b += inputs * kPanelColumns;
      first += inputs;
    } while (first < count);
  }

  void fetch_residual(std::ptrdiff_t row, int rows, std::ptrdiff_t column) {
    const std::ptrdiff_t columns = gated_ ? kPanelColumns : kSumColumns;
    side_.residual = reinterpret_cast<const char*>(t_.residual + row * t_.columns + column);
    side_.residual_bytes = smaller(columns, t_.columns - column) * sizeof(T);
    side_.residual_stride = t_.columns * sizeof(T);
    side_.residual_rows = rows;
  }

  /// The bias of a group in the order of its sums, zeros where there is none.
  void load_bias(std::ptrdiff_t column) {
    for (int c = 0; c < kSumColumns; ++c) {
      const bool gate = gated_ && c >= kPanelColumns;
      const std::ptrdiff_t at = column + (gate ? c - kPanelColumns : c);
      const bool there = t_.bias != nullptr && at < t_.columns;
      bias_[c] = there ? t_.bias[gate ? t_.columns + at : at] : 0;
    }
  }

  void finish(std::ptrdiff_t row, int rows, std::ptrdiff_t column, const float* sums) const {
    switch (t_.activation) {
      case Activation::kNone:
        return finish_as<Activation::kNone>(row, rows, column, sums);
      case Activation::kSilu:
        return finish_as<Activation::kSilu>(row, rows, column, sums);
      case Activation::kGeglu:
        return finish_as<Activation::kGeglu>(row, rows, column, sums);
    }
  }

  template <Activation kActivation>
  [[gnu::noinline]] void finish_as(std::ptrdiff_t row, int rows, std::ptrdiff_t column,
                                   const float* sums) const {
    constexpr bool kGated = kActivation == Activation::kGeglu;
    constexpr int kVecs = kGated ? kPanelVecs : 2 * kPanelVecs;
    const std::ptrdiff_t left = t_.columns - column;
    for (int i = 0; i < rows; ++i, sums += kSumColumns) {
      const std::ptrdiff_t at = (row + i) * t_.columns + column;
#pragma GCC unroll 8
      for (int v = 0; v < kVecs; ++v) {
        const int c = v * kLanes;
        if (c >= left) break;
        const int count = static_cast<int>(smaller<std::ptrdiff_t>(left - c, kLanes));
        Vec y = D::add(D::load(sums + c), D::load(bias_ + c));
        if constexpr (kActivation == Activation::kSilu) y = silu<D>(y);
        if constexpr (kGated) {
          const int gate = kPanelColumns + c;
          y = D::mul(y, gelu<D>(D::add(D::load(sums + gate), D::load(bias_ + gate))));
        }
        if (t_.residual != nullptr) {
          const T* r = t_.residual + at + c;
          y = D::add(count == kLanes ? D::load(r) : D::load_partial(r, count), y);
        }
        if (t_.stream) {
          D::stream(t_.out + at + c, y);
        } else if (count == kLanes) {
          D::store(t_.out + at + c, y);
        } else {
          D::store_partial(t_.out + at + c, y, count);
        }
      }
    }
  }

  const LinearTask<T, W> t_;
  const LinearTile tile_;
  const bool gated_;
  const std::ptrdiff_t blocks_;
  float* const widened_;  // [panel][input][16]
  float* const packed_;   // [block][input][row]
  float* const partial_;  // [group][block][row][kSumColumns]
  SideWork side_;
  alignas(64) float sums_[kRows * kSumColumns];
  alignas(64) float bias_[kSumColumns];
};

template <typename D, typename T, typename W>
void linear_tile(const LinearTask<T, W>& task, const LinearTile& tile, bool packed,
                 float* scratch) {
  LinearKernel<D, T, W>(task, tile, scratch).run(packed);
}

template <typename D>
constexpr LinearVariant linear_variant(std::ptrdiff_t tile_floats) {
  return {GemmTile<D>::kRows, tile_floats, linear_tile<D, float, float>,
          linear_tile<D, float, Half>, linear_tile<D, Half, Half>};
}

}  // namespace
}  // namespace mobilevd::kernels
