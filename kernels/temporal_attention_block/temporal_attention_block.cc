#include "mobilevd/kernels/temporal_attention_block.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "dispatch/arguments.h"
#include "dispatch/shares.h"
#include "dispatch/variants.h"
#include "gemm/panels.h"
#include "temporal_attention_block/temporal_attention_block_internal.h"

namespace mobilevd::kernels {
namespace {

/// Scratch of a tile. It should stay in the second-level cache beside a panel of weights: 2 MB on
/// the servers this was tuned on, 256 KB to 1 MB on phones.
#if defined(__aarch64__)
constexpr std::int64_t kTileBytes = 384 << 10;
#else
constexpr std::int64_t kTileBytes = 1 << 20;
#endif
/// Every weight fetched from memory serves the rows of a tile: fewer would be bound by memory.
constexpr std::int64_t kLeastTileRows = 28;

/// Outputs from this size on go past the caches, as in temporal_attention.
constexpr std::int64_t kStreamBytes = std::int64_t{8} << 20;

constexpr Variants<TemporalAttentionBlockVariant> kVariants = {
    &kTemporalAttentionBlockScalar,
    MOBILEVD_IF_AVX2(&kTemporalAttentionBlockAvx2),
    MOBILEVD_IF_AVX512(&kTemporalAttentionBlockAvx512),
    nullptr,
    MOBILEVD_IF_NEON(&kTemporalAttentionBlockNeon),
};

const char* wrong_weights(const TemporalAttentionBlockShape& s) {
  if (s.channels < 1 || s.channels > 65536) {
    return "temporal_attention_block: channels must be 1..65536";
  }
  if (s.num_heads < 1 || s.num_heads > 4096) {
    return "temporal_attention_block: num_heads must be 1..4096";
  }
  if (!valid_head_dim(s.head_dim_qk)) {
    return "temporal_attention_block: head_dim_qk must be 8..128 in steps of 8";
  }
  if (!valid_head_dim(s.head_dim_v)) {
    return "temporal_attention_block: head_dim_v must be 8..128 in steps of 8";
  }
  return nullptr;
}

const char* wrong(const TemporalAttentionBlockShape& s) {
  if (s.batch < 0) return "temporal_attention_block: batch must be >= 0";
  if (s.frames < 1 || s.frames > 32) return "temporal_attention_block: frames must be 1..32";
  if (s.positions < 0) return "temporal_attention_block: positions must be >= 0";
  if (const char* message = wrong_weights(s)) return message;
  std::int64_t elements, bytes;
  if (!multiply(s.positions, s.frames * s.channels, &elements) ||
      !multiply(elements, s.batch, &elements) || !multiply(elements, sizeof(float), &bytes)) {
    return "temporal_attention_block: sizes overflow 64 bits";
  }
  return nullptr;
}

/// Heads of a group: a whole number of panels, and of pairs of panels as AVX-512 likes them. Head
/// widths being multiples of 8, four heads always are.
int group_heads(int head_columns, int num_heads) {
  int heads = 1;
  while (heads * head_columns % (2 * kPanelColumns) != 0) heads *= 2;
  return std::min(heads, num_heads);
}

/// How the work is cut; the same for every ISA and any number of threads.
struct Plan {
  TemporalAttentionBlockTask task = {};  ///< without pointers
  std::int64_t tile_positions = 1;
  std::int64_t tiles_per_entry = 0;
  std::int64_t tiles = 0;
  std::size_t share_bytes = 0;  ///< scratch of a tile, a multiple of 64
};

/// Most positions whose scratch fits, but for a few, so that blocks of rows (14 of them with
/// AVX-512, 6 with AVX2 and NEON) are not left half empty.
std::int64_t tile_positions(std::int64_t frames, std::int64_t row_floats) {
  const std::int64_t fitting = kTileBytes / static_cast<std::int64_t>(sizeof(float)) / row_floats;
  const std::int64_t rows = std::clamp<std::int64_t>(fitting, kLeastTileRows, kMaxTileRows);
  const std::int64_t most = std::max<std::int64_t>(1, rows / frames);
  const auto padded = [&](std::int64_t positions, std::int64_t block) {
    const std::int64_t n = positions * frames;
    return static_cast<double>((n + block - 1) / block * block) / static_cast<double>(n);
  };
  std::int64_t best = most;
  for (std::int64_t p = most; p > most * 2 / 3; --p) {
    if (padded(p, 14) + padded(p, 6) < padded(best, 14) + padded(best, 6)) best = p;
  }
  return best;
}

/// Floats of `rows` rows packed by any ISA: blocks of up to 14 rows, each with a gap behind it.
std::size_t packed_floats(std::size_t rows, std::size_t columns) {
  return ((rows + 13) * columns + (rows / 4 + 1) * 16 + 15) / 16 * 16;
}

Plan make_plan(const TemporalAttentionBlockShape& s) {
  Plan plan;
  TemporalAttentionBlockTask& t = plan.task;
  t.frames = static_cast<int>(s.frames);
  t.channels = static_cast<int>(s.channels);
  t.num_heads = static_cast<int>(s.num_heads);
  t.head_dim_qk = static_cast<int>(s.head_dim_qk);
  t.head_dim_v = static_cast<int>(s.head_dim_v);
  t.frame_stride = static_cast<std::ptrdiff_t>(s.positions * s.channels);
  t.head_columns = 2 * t.head_dim_qk + t.head_dim_v;
  t.attended_columns = t.num_heads * t.head_dim_v;
  t.group_heads = group_heads(t.head_columns, t.num_heads);
  t.group_columns =
      static_cast<int>(panel_count(static_cast<std::size_t>(t.group_heads * t.head_columns))) *
      kPanelColumns;
  plan.tile_positions =
      tile_positions(s.frames, std::int64_t{t.channels} + t.attended_columns + t.group_columns);
  plan.tile_positions = std::min(plan.tile_positions, std::max<std::int64_t>(1, s.positions));
  plan.tiles_per_entry = (s.positions + plan.tile_positions - 1) / plan.tile_positions;
  plan.tiles = s.batch * plan.tiles_per_entry;

  const auto rows = static_cast<std::size_t>(plan.tile_positions * s.frames);
  t.attended_at = packed_floats(rows, static_cast<std::size_t>(t.channels));
  t.qkv_at = t.attended_at + packed_floats(rows, static_cast<std::size_t>(t.attended_columns));
  const std::size_t floats = t.qkv_at + rows * static_cast<std::size_t>(t.group_columns);
  plan.share_bytes = floats * sizeof(float) / 64 * 64 + 64;
  return plan;
}

}  // namespace

TemporalAttentionBlockSizes temporal_attention_block_sizes(
    const TemporalAttentionBlockShape& shape) {
  if (wrong_weights(shape) != nullptr) return {};
  const auto channels = static_cast<std::size_t>(shape.channels);
  const auto heads = static_cast<std::size_t>(shape.num_heads);
  const auto qk = static_cast<std::size_t>(shape.head_dim_qk);
  const auto v = static_cast<std::size_t>(shape.head_dim_v);
  return {panel_count(heads * (2 * qk + v)) * kPanelColumns * channels,
          panel_count(channels) * kPanelColumns * heads * v};
}

bool temporal_attention_block_head_dims(std::int64_t qkv_panels, std::int64_t attended,
                                        TemporalAttentionBlockShape* shape) {
  shape->head_dim_qk = shape->head_dim_v = 0;
  const std::int64_t heads = shape->num_heads;
  if (heads < 1 || heads > 4096 || attended < 1 || attended % heads != 0) return false;
  if (qkv_panels < 1 || qkv_panels > (std::int64_t{1} << 32)) return false;
  // Columns of q and k are a multiple of 16 heads, the last panel's padding is less than 16.
  const std::int64_t columns = qkv_panels * kPanelColumns - attended;
  const std::int64_t v = attended / heads, qk = columns / (16 * heads) * 8;
  if (!valid_head_dim(v) || !valid_head_dim(qk)) return false;
  if (columns - 2 * qk * heads >= kPanelColumns) return false;
  shape->head_dim_qk = qk;
  shape->head_dim_v = v;
  return true;
}

std::size_t temporal_attention_block_scratch_bytes(const TemporalAttentionBlockShape& shape,
                                                   std::size_t threads) {
  if (wrong(shape) != nullptr || shape.batch == 0 || shape.positions == 0) return 0;
  const Plan plan = make_plan(shape);
  const auto tiles = static_cast<std::size_t>(plan.tiles);
  return std::clamp<std::size_t>(threads, 1, tiles) * plan.share_bytes + 63;
}

Status temporal_attention_block(const float* x, const TemporalAttentionBlockWeights& weights,
                                float* out, const TemporalAttentionBlockShape& s, float scale,
                                float eps, void* scratch, std::size_t scratch_bytes,
                                ParallelFor parallel_for) {
  const Status startup = startup_status();
  if (!startup.ok()) return startup;
  if (const char* message = wrong(s)) return invalid_argument(message);
  if (s.batch == 0 || s.positions == 0) return ok_status();
  if (x == nullptr || out == nullptr || weights.norm_weight == nullptr ||
      weights.norm_bias == nullptr || weights.to_qkv == nullptr || weights.to_out == nullptr ||
      weights.out_bias == nullptr) {
    return invalid_argument("temporal_attention_block: x, out and weights must not be null");
  }
  constexpr std::int64_t kFloat = sizeof(float);
  const std::int64_t bytes = s.batch * s.frames * s.positions * s.channels * kFloat;
  const TemporalAttentionBlockSizes sizes = temporal_attention_block_sizes(s);
  const struct {
    const void* data;
    std::int64_t bytes;
  } inputs[] = {{weights.norm_weight, s.channels * kFloat},
                {weights.norm_bias, s.channels * kFloat},
                {weights.out_bias, s.channels * kFloat},
                {weights.to_qkv, static_cast<std::int64_t>(sizes.to_qkv) * kFloat},
                {weights.to_out, static_cast<std::int64_t>(sizes.to_out) * kFloat}};
  for (const auto& input : inputs) {
    if (overlap(out, bytes, input.data, input.bytes)) {
      return invalid_argument("temporal_attention_block: out must not overlap the weights");
    }
  }
  if (x != out && overlap(out, bytes, x, bytes)) {
    return invalid_argument("temporal_attention_block: out must be x or not overlap it");
  }

  Plan plan = make_plan(s);
  const Shares shares(scratch, scratch_bytes, plan.share_bytes,
                      static_cast<std::size_t>(plan.tiles));
  if (shares.count() == 0) {
    return invalid_argument(
        "temporal_attention_block: scratch is smaller than "
        "temporal_attention_block_scratch_bytes(shape, 1)");
  }

  plan.task.weights = weights;
  plan.task.scale = scale;
  plan.task.eps = eps;
  plan.task.stream = bytes >= kStreamBytes && x != out &&
                     reinterpret_cast<std::uintptr_t>(out) % 64 == 0 && s.channels % 16 == 0;
  const TemporalAttentionBlockFn tile = kVariants.chosen().f32;
  shares.run(parallel_for, plan.tiles, [&](std::int64_t i, char* own) {
    const std::int64_t entry = i / plan.tiles_per_entry;
    const std::int64_t first = i % plan.tiles_per_entry * plan.tile_positions;
    TemporalAttentionBlockTask task = plan.task;
    task.x = x + entry * s.frames * s.positions * s.channels;
    task.out = out + entry * s.frames * s.positions * s.channels;
    tile(task, static_cast<std::size_t>(first),
         static_cast<int>(std::min(plan.tile_positions, s.positions - first)),
         reinterpret_cast<float*>(own));
  });
  return ok_status();
}

}  // namespace mobilevd::kernels
