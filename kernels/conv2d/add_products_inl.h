#pragma once

#include "gemm/gemm_inl.h"

namespace mobilevd::kernels {
namespace {

/// Adds a block's products to what earlier ones left. (Not a member of the convolutions: its
/// products are then compiled once, not for every pair of storage types.)
template <typename D>
struct AddProducts {
  float* sums;
  bool first;
  template <int kCount, int kVecs>
  [[gnu::always_inline]] void operator()(typename D::Vec (&products)[kCount][kVecs]) const {
    constexpr int kRow = GemmTile<D>::kPanels * kPanelColumns;
#pragma GCC unroll 32
    for (int i = 0; i < kCount; ++i) {
#pragma GCC unroll 16
      for (int v = 0; v < kVecs; ++v) {
        float* at = sums + i * kRow + v * D::kLanes;
        D::store(at, first ? products[i][v] : D::add(D::load(at), products[i][v]));
      }
    }
  }
};

}  // namespace
}  // namespace mobilevd::kernels
