// Weights as torch.nn.Linear has them -> the panels the kernel reads.
#include <cstddef>
#include <cstdint>

#include "gemm/pack_panels.h"
#include "gemm_int8/pack_panels_int8.h"
#include "mobilevd/kernels/temporal_attention_block.h"

namespace mobilevd::kernels {
namespace {

/// Calls fn(weights of an output, its column of to_qkv): q, k and v of head 0, then of head 1, ...
template <typename Fn>
void for_each_qkv_output(const float* to_q, const float* to_k, const float* to_v,
                         const TemporalAttentionBlockShape& s, Fn&& fn) {
  const auto channels = static_cast<std::size_t>(s.channels);
  const auto qk = static_cast<std::size_t>(s.head_dim_qk),
             v = static_cast<std::size_t>(s.head_dim_v);
  std::size_t column = 0;
  for (std::size_t h = 0; h < static_cast<std::size_t>(s.num_heads); ++h) {
    for (std::size_t i = 0; i < qk; ++i) fn(to_q + (h * qk + i) * channels, column++);
    for (std::size_t i = 0; i < qk; ++i) fn(to_k + (h * qk + i) * channels, column++);
    for (std::size_t i = 0; i < v; ++i) fn(to_v + (h * v + i) * channels, column++);
  }
}

}  // namespace

Status pack_temporal_attention_block(const float* to_q, const float* to_k, const float* to_v,
                                     const float* to_out, const TemporalAttentionBlockShape& s,
                                     float* packed_qkv, float* packed_out) {
  if (temporal_attention_block_sizes(s).to_qkv == 0) {
    return invalid_argument("pack_temporal_attention_block: sizes out of range");
  }
  if (to_q == nullptr || to_k == nullptr || to_v == nullptr || to_out == nullptr ||
      packed_qkv == nullptr || packed_out == nullptr) {
    return invalid_argument("pack_temporal_attention_block: arrays must not be null");
  }
  const auto channels = static_cast<std::size_t>(s.channels);
  const auto heads = static_cast<std::size_t>(s.num_heads);
  for_each_qkv_output(to_q, to_k, to_v, s, [&](const float* row, std::size_t column) {
    pack_column(row, channels, column, packed_qkv);
  });
  const std::size_t columns = heads * static_cast<std::size_t>(2 * s.head_dim_qk + s.head_dim_v);
  pad_last_panel(columns, channels, packed_qkv);

  const std::size_t attended = heads * static_cast<std::size_t>(s.head_dim_v);
  for (std::size_t c = 0; c < channels; ++c) {
    pack_column(to_out + c * attended, attended, c, packed_out);
  }
  pad_last_panel(channels, attended, packed_out);
  return ok_status();
}

Status pack_temporal_attention_block_int8(const float* to_q, const float* to_k, const float* to_v,
                                          const float* to_out, const TemporalAttentionBlockShape& s,
                                          std::int8_t* packed_qkv, float* qkv_scale,
                                          std::int8_t* packed_out, float* out_scale) {
  if (temporal_attention_block_int8_sizes(s).to_qkv == 0) {
    return invalid_argument("pack_temporal_attention_block_int8: sizes out of range");
  }
  if (to_q == nullptr || to_k == nullptr || to_v == nullptr || to_out == nullptr ||
      packed_qkv == nullptr || qkv_scale == nullptr || packed_out == nullptr ||
      out_scale == nullptr) {
    return invalid_argument("pack_temporal_attention_block_int8: arrays must not be null");
  }
  const auto channels = static_cast<std::size_t>(s.channels);
  const auto heads = static_cast<std::size_t>(s.num_heads);
  bool finite = true;
  for_each_qkv_output(to_q, to_k, to_v, s, [&](const float* row, std::size_t column) {
    finite = finite && pack_int8_column(row, channels, column, packed_qkv, qkv_scale);
  });
  const std::size_t columns = heads * static_cast<std::size_t>(2 * s.head_dim_qk + s.head_dim_v);
  pad_last_int8_panel(columns, channels, packed_qkv, qkv_scale);

  const std::size_t attended = heads * static_cast<std::size_t>(s.head_dim_v);
  for (std::size_t c = 0; c < channels; ++c) {
    finite = finite && pack_int8_column(to_out + c * attended, attended, c, packed_out, out_scale);
  }
  pad_last_int8_panel(channels, attended, packed_out, out_scale);
  if (!finite) {
    return invalid_argument("pack_temporal_attention_block_int8: a weight is NaN or Inf");
  }
  return ok_status();
}

}  // namespace mobilevd::kernels
