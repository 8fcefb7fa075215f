#pragma once

#include <cstddef>

#include "simd/unroll.h"
#include "spatial_attention/spatial_attention_internal.h"

// The two matrix products of spatial attention, as blocks of sums that stay in registers. Include
// only after an ISA's header, in that ISA's translation unit. Blocks are functions of their own
// (noinline): merged into one body, GCC spills their loops.
namespace mobilevd::kernels {
namespace {

template <typename D>
struct SpatialAttentionBlocks {
  using Vec = typename D::Vec;
  static constexpr int kLanes = D::kLanes;

  /// A block of sums: up to kMaxRows (in steps of kRowStep) by one or two vectors.
  static constexpr int kVecs = 2;
  static constexpr int kMaxRows = D::kAccumulators / kVecs;
  static constexpr int kRowStep = D::kHasLaneFma ? kLanes : 2;
  static constexpr int kMaxSteps = kMaxRows / kRowStep;

  /// Keys lie in panels of as many as a block has rows.
  static constexpr int kKeyPanel = kMaxRows;
  static constexpr int kBlockPanels = (96 + kKeyPanel / 2) / kKeyPanel;
  static constexpr int kKeyBlock = kBlockPanels * kKeyPanel;
  static_assert(kKeyPanel <= kMaxKeyPanel && kKeyBlock <= kMaxKeyBlock, "scratch is too small");

  /// scores[key][query] = <k[key], q[query]> for a panel's keys and kCols vectors of queries, and
  /// largest[query] raised to the largest of them. k is [width][kKeyPanel], q
  /// [width][kTileQueries].
  template <int kSteps, int kCols>
  [[gnu::noinline]] static void scores(const float* k, const float* q, int width, float* scores,
                                       float* largest) {
    constexpr int kKeys = kSteps * kRowStep;
    Vec acc[kKeys][kCols];
    multiply<kSteps, kKeyPanel, kTileQueries>(k, q, width, acc);
#pragma GCC unroll 16
    for (int v = 0; v < kCols; ++v) {
      // A NaN score leaves the maximum as it is, and makes the sum of its query NaN later.
      Vec most = D::load(largest + v * kLanes);
#pragma GCC unroll 16
      for (int j = 0; j < kKeys; ++j) {
        D::store(scores + j * kTileQueries + v * kLanes, acc[j][v]);
        most = D::max(acc[j][v], most);
      }
      D::store(largest + v * kLanes, most);
    }
  }

  /// sums[i] = (first ? 0 : factor[i] * sums[i]) + sum_j weights[j][i] v[j] for kCols vectors of
  /// columns. weights is [keys][kTileQueries], v [keys][kCols vectors], sums' rows `row` apart.
  template <int kSteps, int kCols>
  [[gnu::noinline]] static void values(const float* weights, const float* v, int keys, bool first,
                                       const float* factor, float* sums, std::ptrdiff_t row) {
    constexpr int kRows = kSteps * kRowStep;
    Vec acc[kRows][kCols];
    multiply<kSteps, kTileQueries, kCols * kLanes>(weights, v, keys, acc);
    if (!first) {
      const float* old = sums;
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i, old += row) {
        const Vec scale = D::broadcast(factor + i);
#pragma GCC unroll 16
        for (int c = 0; c < kCols; ++c) {
          acc[i][c] = D::fma(scale, D::load(old + c * kLanes), acc[i][c]);
        }
      }
    }
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i, sums += row) {
#pragma GCC unroll 16
      for (int c = 0; c < kCols; ++c) D::store(sums + c * kLanes, acc[i][c]);
    }
  }

 private:
  /// acc[i][c] = sum over `depth` steps of a[step][i] * b[step][c].
  template <int kSteps, int kRowA, int kRowB, int kRows, int kCols>
  [[gnu::always_inline]] static void multiply(const float* a, const float* b, int depth,
                                              Vec (&acc)[kRows][kCols]) {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 16
      for (int c = 0; c < kCols; ++c) acc[i][c] = D::zero();
    }
#pragma GCC unroll 4
    for (int step = 0; step < depth; ++step, a += kRowA, b += kRowB) add<kSteps>(a, b, acc);
  }

  /// acc[i][c] += a[i] * b[c].
  template <int kSteps, int kRows, int kCols>
  [[gnu::always_inline]] static void add(const float* a, const float* b, Vec (&acc)[kRows][kCols]) {
    Vec column[kCols];
#pragma GCC unroll 16
    for (int c = 0; c < kCols; ++c) column[c] = D::load(b + c * kLanes);
    if constexpr (D::kHasLaneFma) {
#pragma GCC unroll 16
      for (int s = 0; s < kSteps; ++s) add_lanes(D::load(a + s * kLanes), column, acc + s * kLanes);
    } else {
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) {
        const Vec factor = D::broadcast(a + i);
#pragma GCC unroll 16
        for (int c = 0; c < kCols; ++c) acc[i][c] = D::fma(factor, column[c], acc[i][c]);
      }
    }
  }

  template <int kCols>
  [[gnu::always_inline]] static void add_lanes(Vec factors, const Vec (&column)[kCols],
                                               Vec (*acc)[kCols]) {
#pragma GCC unroll 16
    for (int c = 0; c < kCols; ++c) {
      acc[0][c] = D::template fma_lane<0>(column[c], factors, acc[0][c]);
      acc[1][c] = D::template fma_lane<1>(column[c], factors, acc[1][c]);
      acc[2][c] = D::template fma_lane<2>(column[c], factors, acc[2][c]);
      acc[3][c] = D::template fma_lane<3>(column[c], factors, acc[3][c]);
    }
  }
};

}  // namespace
}  // namespace mobilevd::kernels
