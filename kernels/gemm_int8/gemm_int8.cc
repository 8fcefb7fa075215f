#include "mobilevd/kernels/gemm_int8.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "dispatch/arguments.h"
#include "dispatch/shares.h"
#include "dispatch/variants.h"
#include "gemm_int8/gemm_int8_internal.h"
#include "gemm_int8/panels_int8.h"

namespace mobilevd::kernels {
namespace {

/// Units of work that a call is cut into where it has few tiles of rows, and the fewest panels of a
/// unit: each takes its rows to 8 bits anew.
constexpr std::int64_t kUnits = 16, kUnitPanels = 16;

constexpr Variants<GemmInt8Variant> kVariants = {
    &kGemmInt8Scalar,
    MOBILEVD_IF_AVX2(&kGemmInt8Avx2),
    nullptr,
    MOBILEVD_IF_AVX512_VNNI(&kGemmInt8Avx512Vnni),
    MOBILEVD_IF_NEON(&kGemmInt8Neon),
    MOBILEVD_IF_NEON_DOTPROD(&kGemmInt8NeonDotprod),
    MOBILEVD_IF_NEON_I8MM(&kGemmInt8NeonI8mm),
};

bool valid_sizes(std::int64_t inputs, std::int64_t outputs) {
  return inputs >= 1 && inputs <= 65536 && outputs >= 1 && outputs <= kInt8MostOutputs;
}

const char* wrong(const GemmInt8Shape& s) {
  if (s.rows < 0) return "gemm_int8: rows must be >= 0";
  if (s.inputs < 1 || s.inputs > 65536) return "gemm_int8: inputs must be 1..65536";
  if (!valid_sizes(s.inputs, s.outputs)) return "gemm_int8: outputs must be 1..2^31-16";
  std::int64_t bytes;
  if (!multiply(s.rows, std::max(s.inputs, s.outputs) * 4, &bytes)) {
    return "gemm_int8: sizes overflow 64 bits";
  }
  return nullptr;
}

struct Plan {
  std::int64_t tile_rows, tiles, panels, panel_groups;
  std::size_t packed_at, share_bytes;

  std::int64_t units() const { return tiles * panel_groups; }
};

Plan make_plan(const GemmInt8Shape& s) {
  const std::int64_t row_bytes =
      (s.inputs + kInt8Group - 1) / kInt8Group * kInt8Group + std::int64_t{sizeof(float)};
  Plan plan;
  plan.tile_rows = int8_rows(row_bytes);
  plan.tiles = (s.rows + plan.tile_rows - 1) / plan.tile_rows;
  plan.panels = (s.outputs + kPanelColumns - 1) / kPanelColumns;
  plan.panel_groups = std::clamp<std::int64_t>(plan.panels / kUnitPanels, 1,
                                               std::max<std::int64_t>(1, kUnits / plan.tiles));
  const auto rows = static_cast<std::size_t>(plan.tile_rows + kInt8PaddingRows);
  plan.packed_at = (rows * sizeof(float) + 63) / 64 * 64;
  plan.share_bytes =
      (plan.packed_at + rows * (static_cast<std::size_t>(row_bytes) - sizeof(float)) + 63) / 64 *
      64;
  return plan;
}

}  // namespace

GemmInt8Sizes gemm_int8_sizes(std::int64_t inputs, std::int64_t outputs) {
  if (!valid_sizes(inputs, outputs)) return {};
  const std::size_t columns = panel_count(static_cast<std::size_t>(outputs)) * kPanelColumns;
  const auto groups = static_cast<std::size_t>((inputs + kInt8Group - 1) / kInt8Group);
  return {columns * groups * kInt8Group, columns};
}

std::size_t gemm_int8_scratch_bytes(const GemmInt8Shape& shape, std::size_t threads) {
  if (wrong(shape) != nullptr || shape.rows == 0) return 0;
  const Plan plan = make_plan(shape);
  return std::clamp<std::size_t>(threads, 1, static_cast<std::size_t>(plan.units())) *
             plan.share_bytes +
         63;
}

Status gemm_int8(const float* x, const std::int8_t* packed, const float* scales, const float* bias,
                 float* out, const GemmInt8Shape& s, void* scratch, std::size_t scratch_bytes,
                 ParallelFor parallel_for) {
  const Status startup = startup_status();
  if (!startup.ok()) return startup;
  if (const char* message = wrong(s)) return invalid_argument(message);
  if (s.rows == 0) return ok_status();
  if (x == nullptr || packed == nullptr || scales == nullptr || out == nullptr) {
    return invalid_argument("gemm_int8: x, packed, scales and out must not be null");
  }
  const GemmInt8Sizes sizes = gemm_int8_sizes(s.inputs, s.outputs);
  const std::int64_t out_bytes = s.rows * s.outputs * 4;
  if (overlap(out, out_bytes, x, s.rows * s.inputs * 4) ||
      overlap(out, out_bytes, packed, static_cast<std::int64_t>(sizes.packed)) ||
      overlap(out, out_bytes, scales, static_cast<std::int64_t>(sizes.scales) * 4) ||
      (bias != nullptr && overlap(out, out_bytes, bias, s.outputs * 4))) {
    return invalid_argument("gemm_int8: out must not overlap the inputs");
  }
  const Plan plan = make_plan(s);
  const Shares shares(scratch, scratch_bytes, plan.share_bytes,
                      static_cast<std::size_t>(plan.units()));
  if (shares.count() == 0) {
    return invalid_argument("gemm_int8: scratch is smaller than gemm_int8_scratch_bytes(shape, 1)");
  }
  const GemmInt8Task task = {
      x, packed, scales, bias, out, static_cast<int>(s.inputs), static_cast<int>(s.outputs)};
  const GemmInt8Fn fn = kVariants.chosen().rows;
  shares.run(parallel_for, plan.units(), [&](std::int64_t unit, char* own) {
    const std::int64_t first = unit / plan.panel_groups * plan.tile_rows;
    const std::int64_t group = unit % plan.panel_groups;
    const auto panel = [&](std::int64_t g) {
      return static_cast<int>(plan.panels * g / plan.panel_groups);
    };
    fn(task,
       {static_cast<std::size_t>(first), static_cast<int>(std::min(plan.tile_rows, s.rows - first)),
        panel(group), panel(group + 1)},
       reinterpret_cast<float*>(own), reinterpret_cast<std::int8_t*>(own + plan.packed_at));
  });
  return ok_status();
}

}  // namespace mobilevd::kernels
