#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>

#include "mobilevd/kernels/group_norm_silu.h"

namespace mobilevd::kernels {

constexpr std::int64_t kMaxBlockGroups = 32;
constexpr std::size_t kMaxParts = 64;

/// How a call is cut; from the shape alone, so that the sums' order does not depend on threads.
struct GroupNormSiluPlan {
  std::int64_t block_groups;  ///< neighbouring groups that are taken together, in one sample
  std::int64_t blocks;        ///< of a sample
  std::size_t grain;          ///< blocks worth a thread's while
  bool split;                 ///< blocks are too large or too few: cut their positions, too
  std::size_t parts;          ///< when split
  std::int64_t part, positions;

  std::int64_t part_begin(std::size_t i) const {
    return std::min(static_cast<std::int64_t>(i) * part, positions);
  }
};

inline GroupNormSiluPlan make_plan(const GroupNormSiluShape& s, std::int64_t element) {
  // A block this large is in a second-level cache (or the third's near part) for the second pass.
  constexpr std::int64_t kBlockBytes = std::int64_t{1} << 20;
  constexpr std::int64_t kSplitBytes = std::int64_t{3} << 19;
  // Channels last: runs of a row long enough for the hardware to read ahead in.
  constexpr std::int64_t kRunBytes = 640;
  constexpr std::int64_t kLine = 64;
  // About 20 microseconds: less is not worth waking a thread.
  constexpr std::int64_t kGrainBytes = std::int64_t{256} << 10;
  constexpr std::int64_t kPartBytes = std::int64_t{64} << 10;
  constexpr std::int64_t kFewBlocks = 16;

  const std::int64_t group_run = s.channels / s.num_groups * element;
  GroupNormSiluPlan plan;
  plan.block_groups = 1;
  if (s.channels_last) {
    // The fewest groups that fill whole lines; then as many of those as fit.
    const std::int64_t step = kLine / std::gcd(kLine, group_run);
    const std::int64_t step_run = step * group_run;
    const std::int64_t fit = std::max<std::int64_t>(1, kBlockBytes / (step_run * s.positions));
    const std::int64_t wanted = (kRunBytes + step_run - 1) / step_run;
    plan.block_groups = std::min({step * std::min(fit, wanted), s.num_groups, kMaxBlockGroups});
  }
  std::int64_t block_bytes = plan.block_groups * group_run * s.positions;
  plan.blocks = (s.num_groups + plan.block_groups - 1) / plan.block_groups;
  plan.split = block_bytes > kSplitBytes &&
               (s.channels_last || s.batch * plan.blocks < kFewBlocks);
  if (plan.split && s.channels_last) {  // no run of rows fits: read whole rows
    plan.block_groups = std::min(s.num_groups, kMaxBlockGroups);
    block_bytes = plan.block_groups * group_run * s.positions;
    plan.blocks = (s.num_groups + plan.block_groups - 1) / plan.block_groups;
  }
  plan.grain = static_cast<std::size_t>(1 + kGrainBytes / block_bytes);
  plan.positions = s.positions;
  // Parts of a multiple of 64 positions: whole lines, and whole vectors for the sums.
  const std::int64_t wanted =
      std::clamp<std::int64_t>(block_bytes / kPartBytes, 1, static_cast<std::int64_t>(kMaxParts));
  plan.part = ((s.positions + wanted - 1) / wanted + 63) / 64 * 64;
  plan.parts = static_cast<std::size_t>((s.positions + plan.part - 1) / plan.part);
  return plan;
}

}  // namespace mobilevd::kernels
