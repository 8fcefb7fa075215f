#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "gemm_int8/panels_int8.h"
#include "simd/unroll.h"

// The int8 product for every ISA, written over two types: D, its float operations (simd/), and I,
// its int8 ones (avx2_int8.h, ...):
//   kRows, kFlip                 rows of a block; what is XORed into packed activations
//   Offsets, panel_offsets(b, groups)  what a panel's sums start from
//   quantise16(v, to)            16 floats within -128..127 to int8, rounded to nearest even
//   multiply<kRows>(a, b, groups, offsets, sums)  int32 sums as float vectors, [kRows][16/kLanes]
// Activations are packed in blocks of kRows rows, [ceil(k/8)][kRows][8].
namespace mobilevd::kernels {
namespace {

/// One row to int8, as row `row` of a packed block; returns its scale. `k` floats of x are read,
/// the last group is filled with zeros.
template <typename D, typename I>
float quantise_row(const float* x, int k, int row, std::int8_t* packed) {
  using Vec = typename D::Vec;
  constexpr int kLanes = D::kLanes, kVecs = 16 / kLanes;
  const auto load = [&](int c) {
    return k - c >= kLanes ? D::load(x + c)
                           : D::load_partial(x + c, larger(0, smaller(k - c, kLanes)));
  };
  // x - x is 0, or NaN where x is NaN or Inf, which a maximum would not always show.
  Vec largest = D::zero(), probe = D::zero();
  for (int c = 0; c < k; c += kLanes) {
    const Vec v = load(c);
    largest = D::max(D::abs(v), largest);
    probe = D::add(probe, D::sub(v, v));
  }
  float maximum = D::reduce_max(largest);
  float inverse = 127.0f / maximum;
  if (maximum < kLeastRowMaximum) maximum = inverse = 0.0f;
  const Vec factor = D::set(inverse), high = D::set(127.0f), low = D::set(-127.0f);
  for (int c = 0; c < k; c += 16) {
    Vec v[kVecs];
#pragma GCC unroll 4
    for (int i = 0; i < kVecs; ++i) {
      v[i] = D::max(D::min(D::mul(load(c + i * kLanes), factor), high), low);
    }
    std::int8_t q[16];
    I::quantise16(v, q);
    std::uint64_t groups[2];
    std::memcpy(groups, q, sizeof(groups));
    std::int8_t* to = packed + (c / kInt8Group * I::kRows + row) * kInt8Group;
    groups[0] ^= I::kFlip;
    std::memcpy(to, &groups[0], kInt8Group);
    if (c + kInt8Group >= k) break;
    groups[1] ^= I::kFlip;
    std::memcpy(to + I::kRows * kInt8Group, &groups[1], kInt8Group);
  }
  return maximum / 127.0f + D::reduce_add(probe);
}

/// A block's product, scaled, to the epilogue (see gemm/gemm_inl.h).
template <typename D, typename I, int kRows, typename Epilogue>
[[gnu::noinline]] void gemm_int8_block(const std::int8_t* a, const float* row_scales,
                                       const std::int8_t* b, const float* column_scales,
                                       std::ptrdiff_t groups, const typename I::Offsets& offsets,
                                       const Epilogue& epilogue) {
  constexpr int kVecs = kPanelColumns / D::kLanes;
  typename D::Vec sums[kRows][kVecs];
  I::template multiply<kRows>(a, b, groups, offsets, sums);
  typename D::Vec scale[kVecs];
#pragma GCC unroll 4
  for (int v = 0; v < kVecs; ++v) scale[v] = D::load(column_scales + v * D::kLanes);
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
    const typename D::Vec row = D::set(row_scales[i]);
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) sums[i][v] = D::mul(sums[i][v], D::mul(row, scale[v]));
  }
  epilogue(sums);
}

/// Bytes from block to block of packed activations.
template <typename I>
std::ptrdiff_t int8_block_stride(int k) {
  return static_cast<std::ptrdiff_t>(part_count(k, kInt8Group)) * I::kRows * kInt8Group;
}

/// A whole product, as gemm_panels() in gemm/gemm_inl.h.
template <typename D, typename I, typename MakeEpilogue>
void gemm_int8_panels(int rows, const std::int8_t* a, const float* row_scales, const std::int8_t* b,
                      const float* column_scales, int panels, int k, MakeEpilogue&& epilogue) {
  constexpr int kPair = 2;
  const std::ptrdiff_t groups = part_count(k, kInt8Group);
  const std::ptrdiff_t panel_stride = groups * kPanelColumns * kInt8Group;
  const std::ptrdiff_t block_stride = int8_block_stride<I>(k);
  for (int p = 0; p < panels; p += kPair) {
    typename I::Offsets offsets[kPair];
    const int pair = smaller(kPair, panels - p);
    for (int n = 0; n < pair; ++n) {
      offsets[n] = I::panel_offsets(b + (p + n) * panel_stride, groups);
    }
    for (int r = 0; r < rows; r += I::kRows) {
      for (int n = 0; n < pair; ++n) {
        const int column = (p + n) * kPanelColumns;
        with_count<I::kRows>(smaller(rows - r, I::kRows), [&](auto count) {
          gemm_int8_block<D, I, decltype(count)::value>(
              a + r / I::kRows * block_stride, row_scales + r, b + (p + n) * panel_stride,
              column_scales + column, groups, offsets[n], epilogue(r, column));
        });
      }
    }
  }
}

}  // namespace
}  // namespace mobilevd::kernels
