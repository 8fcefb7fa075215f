#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "mobilevd/kernels/group_norm_silu.h"

namespace mobilevd::kernels {

/// They bound the scratch on the stack.
constexpr std::int64_t kMaxBlockGroups = 32;
constexpr std::size_t kMaxParts = 32;

/// How a call is cut; from the shape alone, so that the sums' order does not depend on threads.
///
/// Channels first, a block is a group of a sample: contiguous. Channels last, it is all groups of a
/// sample. Columns of a few groups alone would fit smaller caches, but short runs out of every row
/// are read slower than whole rows twice (1x640x3584: 12.5 ns a line with runs of 320 bytes, 7.8
/// with whole rows).
struct GroupNormSiluPlan {
  std::int64_t block_groups;
  std::int64_t blocks;  ///< of a sample
  std::int64_t block_bytes;
  std::size_t grain;  ///< blocks worth a thread's while
  bool split;         ///< too few blocks for many threads: cut their positions, too, into parts
  std::size_t parts;
  std::int64_t part;       ///< positions
  std::int64_t positions;  ///< in all

  std::int64_t part_begin(std::size_t i) const {
    return std::min(static_cast<std::int64_t>(i) * part, positions);
  }
};

inline GroupNormSiluPlan make_plan(const GroupNormSiluShape& s, std::int64_t element) {
  constexpr std::int64_t kFewBlocks = 16;        // channels first
  constexpr std::int64_t kFewSamples = 4;        // channels last
  constexpr std::int64_t kSplitBytes = 1 << 18;  // smaller blocks are not worth a second barrier
  constexpr std::int64_t kGrainBytes = 1 << 18;  // about 20 microseconds
  constexpr std::int64_t kPartBytes = 1 << 16;
  constexpr std::int64_t kPartMultiple = 64;  // positions: whole lines, whole vectors in the sums

  GroupNormSiluPlan plan;
  plan.positions = s.positions;
  plan.block_groups = s.channels_last ? std::min(s.num_groups, kMaxBlockGroups) : 1;
  plan.blocks = (s.num_groups + plan.block_groups - 1) / plan.block_groups;
  plan.block_bytes = plan.block_groups * (s.channels / s.num_groups) * s.positions * element;
  plan.grain = static_cast<std::size_t>(1 + kGrainBytes / plan.block_bytes);
  plan.split = plan.block_bytes > kSplitBytes &&
               s.batch * plan.blocks < (s.channels_last ? kFewSamples : kFewBlocks);
  const auto most = static_cast<std::int64_t>(kMaxParts);
  const std::int64_t wanted = std::clamp<std::int64_t>(plan.block_bytes / kPartBytes, 1, most);
  plan.part = (s.positions + wanted - 1) / wanted;
  plan.part = (plan.part + kPartMultiple - 1) / kPartMultiple * kPartMultiple;
  plan.parts = static_cast<std::size_t>((s.positions + plan.part - 1) / plan.part);
  return plan;
}

}  // namespace mobilevd::kernels
