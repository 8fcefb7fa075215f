#pragma once

#include <cstdint>

#include "gemm/panels.h"

namespace mobilevd::kernels {

/// Inputs that lie together in packed int8 weights, [ceil(n/16)][ceil(k/8)][16][8]: what i8mm
/// multiplies at once; two groups of four for DotProd and VNNI; a vector of 16-bit products for
/// plain NEON.
constexpr int kInt8Group = 8;

/// Most outputs of a weight, so that their number in whole panels is an int.
constexpr std::int64_t kInt8MostOutputs = 2147483632;

/// Rows that are packed at once, `bytes` each: as many as lie beside a panel of weights in a
/// phone's second-level cache. Their last block is filled up by at most 13 rows, the blocks of any
/// ISA being of up to 14.
constexpr std::int64_t kInt8LeastRows = 14, kInt8MostRows = 112, kInt8PaddingRows = 13;
constexpr std::int64_t int8_rows(std::int64_t bytes) {
  const std::int64_t rows = (std::int64_t{240} << 10) / bytes - kInt8PaddingRows;
  return rows < kInt8LeastRows ? kInt8LeastRows : rows > kInt8MostRows ? kInt8MostRows : rows;
}

/// Rows whose largest value is below this are zero: 127 over it would leave float32.
constexpr float kLeastRowMaximum = 0x1p-100f;

}  // namespace mobilevd::kernels
