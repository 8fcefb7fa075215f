#include "mobilevd/kernels/temporal_attention_block.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <initializer_list>

#include "dispatch/arguments.h"
#include "dispatch/shares.h"
#include "dispatch/variants.h"
#include "gemm/panels.h"
#include "mobilevd/kernels/gemm_int8.h"
#include "temporal_attention_block/plan.h"

namespace mobilevd::kernels {
namespace {

constexpr std::int64_t kFloat = sizeof(float);

/// Outputs from this size on go past the caches, as in temporal_attention.
constexpr std::int64_t kStreamBytes = std::int64_t{8} << 20;

constexpr Variants<TemporalAttentionBlockVariant> kFloat32Variants = {
    &kTemporalAttentionBlockScalar,
    MOBILEVD_IF_AVX2(&kTemporalAttentionBlockAvx2),
    MOBILEVD_IF_AVX512(&kTemporalAttentionBlockAvx512),
    nullptr,
    MOBILEVD_IF_NEON(&kTemporalAttentionBlockNeon),
};
constexpr Variants<TemporalAttentionBlockInt8Variant> kInt8Variants = {
    &kTemporalAttentionBlockInt8Scalar,
    MOBILEVD_IF_AVX2(&kTemporalAttentionBlockInt8Avx2),
    nullptr,
    MOBILEVD_IF_AVX512_VNNI(&kTemporalAttentionBlockInt8Avx512Vnni),
    MOBILEVD_IF_NEON(&kTemporalAttentionBlockInt8Neon),
    MOBILEVD_IF_NEON_DOTPROD(&kTemporalAttentionBlockInt8NeonDotprod),
    MOBILEVD_IF_NEON_I8MM(&kTemporalAttentionBlockInt8NeonI8mm),
};
TemporalAttentionBlockFn<Float32Weights> chosen_tile(const Float32Weights&) {
  return kFloat32Variants.chosen().tile;
}
TemporalAttentionBlockFn<Int8Weights> chosen_tile(const Int8Weights&) {
  return kInt8Variants.chosen().tile;
}

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

template <typename Weights>
std::size_t scratch_bytes_of(const TemporalAttentionBlockShape& shape, std::size_t threads) {
  if (wrong(shape) != nullptr || shape.batch == 0 || shape.positions == 0) return 0;
  const Plan<Weights> plan = make_plan<Weights>(shape);
  const auto tiles = static_cast<std::size_t>(plan.tiles);
  return std::clamp<std::size_t>(threads, 1, tiles) * plan.share_bytes + 63;
}

struct Input {
  const void* data;
  std::int64_t bytes;
};

template <typename Weights>
Status run(const float* x, const Weights& weights, float* out, const TemporalAttentionBlockShape& s,
           float scale, float eps, void* scratch, std::size_t scratch_bytes,
           ParallelFor parallel_for, std::initializer_list<Input> projections) {
  const Status startup = startup_status();
  if (!startup.ok()) return startup;
  if (const char* message = wrong(s)) return invalid_argument(message);
  if (!(eps > 0) || !std::isfinite(eps)) {
    return invalid_argument("temporal_attention_block: eps must be positive and finite");
  }
  if (s.batch == 0 || s.positions == 0) return ok_status();
  if (x == nullptr || out == nullptr) {
    return invalid_argument("temporal_attention_block: x and out must not be null");
  }
  const std::int64_t bytes = s.batch * s.frames * s.positions * s.channels * kFloat;
  const auto unusable = [&](const Input& input) {
    return input.data == nullptr || overlap(out, bytes, input.data, input.bytes);
  };
  const std::int64_t vector_bytes = s.channels * kFloat;
  if (std::any_of(projections.begin(), projections.end(), unusable) ||
      unusable({weights.norm_weight, vector_bytes}) ||
      unusable({weights.norm_bias, vector_bytes}) || unusable({weights.out_bias, vector_bytes})) {
    return invalid_argument("temporal_attention_block: weights must not be null nor overlap out");
  }
  if (x != out && overlap(out, bytes, x, bytes)) {
    return invalid_argument("temporal_attention_block: out must be x or not overlap it");
  }

  Plan<Weights> plan = make_plan<Weights>(s);
  const Shares shares(scratch, scratch_bytes, plan.share_bytes,
                      static_cast<std::size_t>(plan.tiles));
  if (shares.count() == 0) {
    return invalid_argument(
        "temporal_attention_block: scratch is smaller than its scratch_bytes(shape, 1)");
  }
  plan.task.weights = weights;
  plan.task.scale = scale;
  plan.task.eps = eps;
  plan.task.stream = bytes >= kStreamBytes && x != out &&
                     reinterpret_cast<std::uintptr_t>(out) % 64 == 0 && s.channels % 16 == 0;
  const TemporalAttentionBlockFn<Weights> tile = chosen_tile(weights);
  shares.run(parallel_for, plan.tiles, [&](std::int64_t i, char* own) {
    const std::int64_t entry = i / plan.tiles_per_entry;
    const std::int64_t first = plan.tile_begin(i % plan.tiles_per_entry);
    const std::int64_t last = plan.tile_begin(i % plan.tiles_per_entry + 1);
    TemporalAttentionBlockTask<Weights> task = plan.task;
    task.x = x + entry * s.frames * s.positions * s.channels;
    task.out = out + entry * s.frames * s.positions * s.channels;
    tile(task, static_cast<std::size_t>(first), static_cast<int>(last - first),
         reinterpret_cast<float*>(own));
  });
  return ok_status();
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

TemporalAttentionBlockInt8Sizes temporal_attention_block_int8_sizes(
    const TemporalAttentionBlockShape& shape) {
  if (wrong_weights(shape) != nullptr) return {};
  const std::int64_t attended = shape.num_heads * shape.head_dim_v;
  const GemmInt8Sizes qkv =
      gemm_int8_sizes(shape.channels, shape.num_heads * 2 * shape.head_dim_qk + attended);
  const GemmInt8Sizes out = gemm_int8_sizes(attended, shape.channels);
  if (qkv.packed == 0 || out.packed == 0) return {};
  return {qkv.packed, qkv.scales, out.packed, out.scales};
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
  return scratch_bytes_of<Float32Weights>(shape, threads);
}

std::size_t temporal_attention_block_int8_scratch_bytes(const TemporalAttentionBlockShape& shape,
                                                        std::size_t threads) {
  return scratch_bytes_of<Int8Weights>(shape, threads);
}

Status temporal_attention_block(const float* x, const TemporalAttentionBlockWeights& weights,
                                float* out, const TemporalAttentionBlockShape& shape, float scale,
                                float eps, void* scratch, std::size_t scratch_bytes,
                                ParallelFor parallel_for) {
  const TemporalAttentionBlockSizes sizes = temporal_attention_block_sizes(shape);
  return run(x, weights, out, shape, scale, eps, scratch, scratch_bytes, parallel_for,
             {{weights.to_qkv, static_cast<std::int64_t>(sizes.to_qkv) * kFloat},
              {weights.to_out, static_cast<std::int64_t>(sizes.to_out) * kFloat}});
}

Status temporal_attention_block(const float* x, const TemporalAttentionBlockInt8Weights& weights,
                                float* out, const TemporalAttentionBlockShape& shape, float scale,
                                float eps, void* scratch, std::size_t scratch_bytes,
                                ParallelFor parallel_for) {
  const TemporalAttentionBlockInt8Sizes sizes = temporal_attention_block_int8_sizes(shape);
  if (shape.num_heads > 0 && shape.head_dim_v > 65536 / shape.num_heads) {
    return invalid_argument("temporal_attention_block: int8 takes num_heads * head_dim_v <= 65536");
  }
  return run(x, weights, out, shape, scale, eps, scratch, scratch_bytes, parallel_for,
             {{weights.to_qkv, static_cast<std::int64_t>(sizes.to_qkv)},
              {weights.to_qkv_scale, static_cast<std::int64_t>(sizes.to_qkv_scale) * kFloat},
              {weights.to_out, static_cast<std::int64_t>(sizes.to_out)},
              {weights.to_out_scale, static_cast<std::int64_t>(sizes.to_out_scale) * kFloat}});
}

}  // namespace mobilevd::kernels
