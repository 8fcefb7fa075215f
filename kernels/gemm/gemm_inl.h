#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "gemm/panels.h"
#include "simd/unroll.h"

// The inner loops of every matrix product here, written once for every ISA D (simd/):
//   C[m][n] = sum_k A[m][k] B[k][n]
// B lies in panels of 16 columns (gemm/panels.h), the same for every ISA. A is packed by
// pack_rows() into blocks of kRows rows, [k][row]: the loop then reads two sequential streams, both
// from the second-level cache at worst, so it needs no blocking over k. What becomes of the sums is
// up to the epilogue, a type with
//   template <int kRows, int kVecs> void operator()(Vec (&sums)[kRows][kVecs]) const
// called with the sums of a block still in registers.
namespace mobilevd::kernels {
namespace {

/// How far ahead of the multiplications A and B are fetched, in columns of A.
constexpr int kPrefetchColumns = 16;

/// Rows and panels of a block: as many sums as the registers hold.
template <typename D>
struct GemmTile {
  static constexpr int kPanelVecs = kPanelColumns / D::kLanes;
  static constexpr int kPanels = D::kLanes == 16 ? 2 : 1;
  static constexpr int kRows = D::kAccumulators / (kPanels * kPanelVecs);
};

/// Floats that pack_rows() writes for `rows` rows of k columns.
template <typename D>
constexpr std::size_t packed_rows_size(std::size_t rows, std::size_t k) {
  constexpr int kRows = GemmTile<D>::kRows;
  return (rows + kRows - 1) / kRows * kRows * k + 16;  // stores run over by less than a vector
}

/// Packs one block of k columns into [k][kRows]. `load(i, c, left)` gives row i's vector at column
/// c, of which `left` elements exist; called for rows past kRows too, up to whole vectors. Writes
/// up to a vector past the block's end.
template <typename D, typename Load>
void pack_block(Load&& load, std::ptrdiff_t k, float* packed) {
  constexpr int kRows = GemmTile<D>::kRows, kLanes = D::kLanes;
  constexpr int kGroups = (kRows + kLanes - 1) / kLanes;
  for (std::ptrdiff_t c = 0; c < k; c += kLanes) {
    typename D::Vec block[kGroups][kLanes];
    const int columns = static_cast<int>(smaller<std::ptrdiff_t>(k - c, kLanes));
    for (int g = 0; g < kGroups; ++g) {
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) block[g][i] = load(g * kLanes + i, c, columns);
      D::transpose(block[g]);
    }
    float* to = packed + c * kRows;
    // In this order each store mends what the one before wrote past its column.
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) {
      if (i >= columns) break;
      for (int g = 0; g < kGroups; ++g) D::store(to + i * kRows + g * kLanes, block[g][i]);
    }
  }
}

/// pack_block() of `rows` <= kRows rows in memory, `row(i)` giving the address of row i. Missing
/// rows repeat the last one.
template <typename D, typename Row>
void pack_rows(Row&& row, int rows, std::ptrdiff_t k, float* packed) {
  constexpr int kRows = GemmTile<D>::kRows, kLanes = D::kLanes;
  constexpr int kGroups = (kRows + kLanes - 1) / kLanes;
  using T = std::decay_t<decltype(*row(0))>;
  const T* from[kGroups * kLanes];
  for (int i = 0; i < kGroups * kLanes; ++i) from[i] = row(smaller(i, rows - 1));
  const auto load = [&](int i, std::ptrdiff_t c, int left) {
    return left == kLanes ? D::load(from[i] + c) : D::load_partial(from[i] + c, left);
  };
  pack_block<D>(load, k, packed);
}

/// sums[i][v] += a[i] * b[v] for the rows of one column of a packed block.
template <typename D, int kVecs, int... kRow>
[[gnu::always_inline]] inline void multiply_column(const float* a,
                                                   const typename D::Vec (&b)[kVecs],
                                                   typename D::Vec (&sums)[sizeof...(kRow)][kVecs],
                                                   std::integer_sequence<int, kRow...>) {
  const auto one_row = [&](auto index) {
    constexpr int i = decltype(index)::value;
    if constexpr (D::kHasLaneFma) {
      const typename D::Vec group = D::load(a + i / D::kLanes * D::kLanes);
#pragma GCC unroll 16
      for (int v = 0; v < kVecs; ++v) {
        sums[i][v] = D::template fma_lane<i % D::kLanes>(b[v], group, sums[i][v]);
      }
    } else {
      const typename D::Vec element = D::broadcast(a + i);
#pragma GCC unroll 16
      for (int v = 0; v < kVecs; ++v) sums[i][v] = D::fma(element, b[v], sums[i][v]);
    }
  };
  (one_row(std::integral_constant<int, kRow>()), ...);
}

/// What a block does beside its multiplications, every kColumns columns: nothing.
struct NoSideWork {
  static constexpr std::ptrdiff_t kColumns = PTRDIFF_MAX;
  template <typename D>
  void step() {}
};

/// One block: kRows rows of packed A times kPanels panels of B, `panel_stride` elements apart.
/// `side.step<D>()` is called every Side::kColumns columns: memory traffic belongs there, a few
/// lines at a time.
template <typename D, int kRows, int kPanels, typename W, typename Epilogue, typename Side>
[[gnu::noinline]] void gemm_block(const float* a, const W* b, std::ptrdiff_t panel_stride,
                                  std::ptrdiff_t k, const Epilogue& epilogue, Side& side) {
  constexpr int kPanelVecs = GemmTile<D>::kPanelVecs, kVecs = kPanels * kPanelVecs;
  typename D::Vec sums[kRows][kVecs];
#pragma GCC unroll 32
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 16
    for (int v = 0; v < kVecs; ++v) sums[i][v] = D::zero();
  }
  while (k > 0) {
    side.template step<D>();
    const std::ptrdiff_t columns = k < Side::kColumns ? k : Side::kColumns;
    k -= columns;
    for (std::ptrdiff_t c = 0; c < columns; ++c) {
      typename D::Vec column[kVecs];
#pragma GCC unroll 16
      for (int v = 0; v < kVecs; ++v) {
        column[v] = D::load(b + v / kPanelVecs * panel_stride + v % kPanelVecs * D::kLanes);
      }
      // The hardware's prefetcher falls behind where panels come from the second-level cache:
      // without this the loop runs at 82 % of the FMA peak instead of 90 %.
#pragma GCC unroll 2
      for (int p = 0; p < kPanels; ++p) {
        D::prefetch_near(
            reinterpret_cast<const char*>(b + p * panel_stride + kPrefetchColumns * 16));
      }
      D::prefetch_near(reinterpret_cast<const char*>(a + kPrefetchColumns * GemmTile<D>::kRows));
      multiply_column<D>(a, column, sums, std::make_integer_sequence<int, kRows>());
      a += GemmTile<D>::kRows;
      b += kPanelColumns;
    }
  }
  epilogue(sums);
}

template <typename D, int kRows, int kPanels, typename W, typename Epilogue>
void gemm_block(const float* a, const W* b, std::ptrdiff_t panel_stride, std::ptrdiff_t k,
                const Epilogue& epilogue) {
  NoSideWork none;
  gemm_block<D, kRows, kPanels>(a, b, panel_stride, k, epilogue, none);
}

/// gemm_block() for a number of rows known at run time, 1 <= rows <= kRows.
template <typename D, int kPanels, typename W, typename Epilogue, typename Side>
void gemm_rows(int rows, const float* a, const W* b, std::ptrdiff_t panel_stride, std::ptrdiff_t k,
               const Epilogue& epilogue, Side& side) {
  with_count<GemmTile<D>::kRows>(rows, [&](auto n) {
    gemm_block<D, decltype(n)::value, kPanels>(a, b, panel_stride, k, epilogue, side);
  });
}

template <typename D, int kPanels, typename W, typename Epilogue>
void gemm_rows(int rows, const float* a, const W* b, std::ptrdiff_t panel_stride, std::ptrdiff_t k,
               const Epilogue& epilogue) {
  NoSideWork none;
  gemm_rows<D, kPanels>(rows, a, b, panel_stride, k, epilogue, none);
}

/// A whole product: `rows` rows of A, packed in blocks `block_stride` floats apart, times `panels`
/// panels of B. `epilogue(row, column)` makes the epilogue of the block that begins there. A pair
/// of panels stays in the caches while the rows pass by; a pair even where a block is one panel
/// wide, for A is then read half as often and two lines of each output row are written together.
template <typename D, typename W, typename MakeEpilogue>
void gemm_panels(int rows, const float* a, std::ptrdiff_t block_stride, const W* b, int panels,
                 std::ptrdiff_t k, MakeEpilogue&& epilogue) {
  constexpr int kRows = GemmTile<D>::kRows, kPanels = GemmTile<D>::kPanels, kPair = 2;
  const std::ptrdiff_t panel_stride = k * kPanelColumns;
  for (int p = 0; p < panels; p += kPair) {
    for (int r = 0; r < rows; r += kRows) {
      for (int n = p; n < smaller(p + kPair, panels); n += kPanels) {
        with_count<kPanels>(smaller(panels - n, kPanels), [&](auto count) {
          gemm_rows<D, decltype(count)::value>(smaller(rows - r, kRows),
                                               a + r / kRows * block_stride, b + n * panel_stride,
                                               panel_stride, k, epilogue(r, n * kPanelColumns));
        });
      }
    }
  }
}

}  // namespace
}  // namespace mobilevd::kernels
