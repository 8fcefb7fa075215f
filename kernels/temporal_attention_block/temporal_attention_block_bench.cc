// google-benchmark of temporal_attention_block on the model's shapes (kernels/shapes), one thread.
// GFLOP/s counts the four products and the attention; LayerNorm and softmax count nothing.
#include <cmath>
#include <cstdint>
#include <sstream>

#include "mobilevd/kernels/roofline.h"
#include "mobilevd/kernels/temporal_attention_block.h"
#include "testing/bench_main.h"

namespace mobilevd::kernels {
namespace {

void run(benchmark::State& state, const TemporalAttentionBlockShape& s, bool int8) {
  const std::size_t size = s.frames * s.positions * s.channels;
  const std::size_t qk = s.num_heads * s.head_dim_qk, v = s.num_heads * s.head_dim_v;
  const TemporalAttentionBlockSizes sizes = temporal_attention_block_sizes(s);
  const TemporalAttentionBlockInt8Sizes int8_sizes = temporal_attention_block_int8_sizes(s);
  const std::size_t scratch_bytes = int8 ? temporal_attention_block_int8_scratch_bytes(s, 1)
                                         : temporal_attention_block_scratch_bytes(s, 1);
  BenchBuffer x(size), out(size), vectors(3 * s.channels), to_q(qk * s.channels),
      to_k(qk * s.channels), to_v(v * s.channels), to_out(v * s.channels), packed_qkv(sizes.to_qkv),
      packed_out(sizes.to_out), qkv_scale(int8_sizes.to_qkv_scale),
      out_scale(int8_sizes.to_out_scale), scratch(scratch_bytes / sizeof(float) + 1);
  x.fill();
  vectors.fill();
  const float magnitude = 1 / std::sqrt(static_cast<float>(s.channels));
  for (BenchBuffer* weights : {&to_q, &to_k, &to_v, &to_out}) weights->fill(magnitude);
  // Int8 takes less room than float32.
  auto* const int8_qkv = reinterpret_cast<std::int8_t*>(packed_qkv.data());
  auto* const int8_out = reinterpret_cast<std::int8_t*>(packed_out.data());
  const Status status =
      int8 ? pack_temporal_attention_block_int8(to_q.data(), to_k.data(), to_v.data(),
                                                to_out.data(), s, int8_qkv, qkv_scale.data(),
                                                int8_out, out_scale.data())
           : pack_temporal_attention_block(to_q.data(), to_k.data(), to_v.data(), to_out.data(), s,
                                           packed_qkv.data(), packed_out.data());
  const float *norm_weight = vectors.data(), *norm_bias = norm_weight + s.channels;
  const float* out_bias = norm_bias + s.channels;
  const TemporalAttentionBlockWeights weights = {norm_weight, norm_bias, packed_qkv.data(),
                                                 packed_out.data(), out_bias};
  const TemporalAttentionBlockInt8Weights int8_weights = {
      norm_weight, norm_bias, int8_qkv, qkv_scale.data(), int8_out, out_scale.data(), out_bias};
  const float scale = 1 / std::sqrt(static_cast<float>(s.head_dim_qk));
  const auto call = [&](const auto& packed) {
    return temporal_attention_block(x.data(), packed, out.data(), s, scale, 1e-5f, scratch.data(),
                                    scratch_bytes);
  };
  const bool ok =
      status.ok() && measure(state, [&] { return int8 ? call(int8_weights) : call(weights); });
  if (!status.ok()) state.SkipWithError(status.message);
  if (!ok) return;
  const double products = 2.0 * size * (2 * qk + 2 * v);
  const double attention = 2.0 * s.frames * s.frames * s.positions * (qk + v);
  const double gflop = 1e-9 * (products + attention);
  state.counters["GFLOP/s"] = rate(state, gflop);
  state.counters["peak_f32"] = measure_fma_gflops(0.05);
  state.counters["scratch_KiB"] = static_cast<double>(scratch_bytes >> 10);
}

bool read_cases(std::istream& fields, std::vector<BenchCase>* cases) {
  TemporalAttentionBlockShape s;
  if (!(fields >> s.frames >> s.positions >> s.channels >> s.num_heads >> s.head_dim_qk >>
        s.head_dim_v)) {
    return false;
  }
  for (const bool int8 : {false, true}) {
    std::ostringstream name;
    name << "temporal_attention_block/" << s.frames << "x" << s.positions << "x" << s.channels
         << "/head_dim:" << s.head_dim_qk << (int8 ? "/int8" : "/float32");
    cases->push_back({name.str(), [s, int8](benchmark::State& state) { run(state, s, int8); }});
  }
  return true;
}

}  // namespace
}  // namespace mobilevd::kernels

int main(int argc, char** argv) {
  using namespace mobilevd::kernels;
  return bench_main(argc, argv, "temporal_attention_block", ScalarReference::kMeasured, read_cases);
}
