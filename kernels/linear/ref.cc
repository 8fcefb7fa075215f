// The scalar reference: portable C++, no intrinsics, the definition read aloud. It is also what
// runs on a CPU without a variant of its own, so its inner loop is such that a compiler can
// vectorise it without changing a sum's order.
#include <algorithm>
#include <cmath>

#include "linear/linear_internal.h"
#include "simd/scalar_storage.h"

namespace mobilevd::kernels {
namespace {

float gelu(float x) { return x * (0.5f * std::erfc(-0.70710678118654752f * x)); }
float silu(float x) {
  const float e = std::exp(-std::fabs(x));
  return x * ((std::signbit(x) ? e : 1.0f) / (1.0f + e));
}

/// sums[c] = <x, output c of the panel>, in the shares of linear_internal.h.
template <typename T, typename W>
void multiply(const T* x, const W* panel, std::ptrdiff_t k, float (&sums)[kPanelColumns]) {
  const std::ptrdiff_t depth = linear_depth(k);
  std::fill(sums, sums + kPanelColumns, 0.0f);
  for (std::ptrdiff_t pass = 0; pass < k; pass += depth) {
    const std::ptrdiff_t end = std::min(pass + depth, k);
    const std::ptrdiff_t share = share_size(end - pass, kSumInputs);
    for (std::ptrdiff_t first = pass; first < end; first += share) {
      float part[kPanelColumns] = {};
      for (std::ptrdiff_t i = first; i < std::min(first + share, end); ++i) {
        const float element = widen(x[i]);
        const W* weight = panel + i * kPanelColumns;
        for (int c = 0; c < kPanelColumns; ++c) part[c] += element * widen(weight[c]);
      }
      for (int c = 0; c < kPanelColumns; ++c) sums[c] += part[c];
    }
  }
}

template <typename T, typename W>
void tile(const LinearTask<T, W>& t, const LinearTile& tile, bool /*packed*/, float* /*scratch*/) {
  const bool gated = t.activation == Activation::kGeglu;
  const std::ptrdiff_t begin = 2 * tile.group;
  const std::ptrdiff_t end = std::min(2 * (tile.group + tile.groups), t.panels);
  const auto bias = [&](std::ptrdiff_t c) { return t.bias == nullptr ? 0.0f : t.bias[c]; };
  for (std::ptrdiff_t row = tile.row; row < tile.row + tile.rows; ++row) {
    const T* x = t.x + row * t.k;
    for (std::ptrdiff_t p = begin; p < end; p += gated ? 2 : 1) {
      float sums[kPanelColumns], gates[kPanelColumns];
      multiply(x, t.weight + p * t.k * kPanelColumns, t.k, sums);
      if (gated) multiply(x, t.weight + (p + 1) * t.k * kPanelColumns, t.k, gates);
      const std::ptrdiff_t first = (gated ? p / 2 : p) * kPanelColumns;
      for (std::ptrdiff_t c = first; c < std::min(first + kPanelColumns, t.columns); ++c) {
        float y = sums[c - first] + bias(c);
        if (t.activation == Activation::kSilu) y = silu(y);
        if (gated) y *= gelu(gates[c - first] + bias(t.columns + c));
        const std::ptrdiff_t at = row * t.columns + c;
        if (t.residual != nullptr) y = widen(t.residual[at]) + y;
        narrow(y, t.out + at);
      }
    }
  }
}

}  // namespace

const LinearVariant kLinearScalar = {8, 32 * 1024, tile<float, float>, tile<float, Half>,
                                     tile<Half, Half>};

}  // namespace mobilevd::kernels
