// google-benchmark of temporal_attention_block on the model's shapes (kernels/shapes), one thread.
// GFLOP/s counts the four products and the attention; LayerNorm and softmax count nothing.
#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <new>
#include <random>
#include <sstream>
#include <string>

#include "mobilevd/kernels/dispatch.h"
#include "mobilevd/kernels/roofline.h"
#include "mobilevd/kernels/temporal_attention_block.h"

namespace mobilevd::kernels {
namespace {

/// Page-aligned and written to once, so that no page fault is measured.
class Buffer {
 public:
  explicit Buffer(std::size_t size)
      : data_(new (std::align_val_t{4096}) float[size]()), size_(size) {}
  ~Buffer() { ::operator delete[](data_, std::align_val_t{4096}); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  float* data() { return data_; }
  void fill(std::mt19937& generator, float magnitude) {
    std::uniform_real_distribution<float> uniform(-magnitude, magnitude);
    for (std::size_t i = 0; i < size_; ++i) data_[i] = uniform(generator);
  }

 private:
  float* data_;
  std::size_t size_;
};

void run(benchmark::State& state, const TemporalAttentionBlockShape& s, Isa isa, bool int8) {
  if (const Status status = set_isa(isa_name(isa)); !status.ok()) {
    state.SkipWithError(status.message);
    return;
  }
  const std::size_t size = s.frames * s.positions * s.channels;
  const std::size_t qk = s.num_heads * s.head_dim_qk, v = s.num_heads * s.head_dim_v;
  const TemporalAttentionBlockSizes sizes = temporal_attention_block_sizes(s);
  const TemporalAttentionBlockInt8Sizes int8_sizes = temporal_attention_block_int8_sizes(s);
  const std::size_t scratch_bytes = int8 ? temporal_attention_block_int8_scratch_bytes(s, 1)
                                         : temporal_attention_block_scratch_bytes(s, 1);
  Buffer x(size), out(size), vectors(3 * s.channels), to_q(qk * s.channels), to_k(qk * s.channels),
      to_v(v * s.channels), to_out(v * s.channels), packed_qkv(sizes.to_qkv),
      packed_out(sizes.to_out), qkv_scale(int8_sizes.to_qkv_scale),
      out_scale(int8_sizes.to_out_scale), scratch(scratch_bytes / sizeof(float) + 1);
  std::mt19937 generator(1);
  x.fill(generator, 1);
  vectors.fill(generator, 1);
  const float magnitude = 1 / std::sqrt(static_cast<float>(s.channels));
  for (Buffer* weights : {&to_q, &to_k, &to_v, &to_out}) weights->fill(generator, magnitude);
  // Int8 takes less room than float32.
  auto* const int8_qkv = reinterpret_cast<std::int8_t*>(packed_qkv.data());
  auto* const int8_out = reinterpret_cast<std::int8_t*>(packed_out.data());
  Status status =
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
  for (auto _ : state) {
    if (!status.ok()) break;
    status = int8 ? call(int8_weights) : call(weights);
    benchmark::ClobberMemory();
  }
  if (!status.ok()) {
    state.SkipWithError(status.message);
    return;
  }
  const double products = 2.0 * size * (2 * qk + 2 * v);
  const double attention = 2.0 * s.frames * s.frames * s.positions * (qk + v);
  const double gflop = 1e-9 * (products + attention) * static_cast<double>(state.iterations());
  state.counters["GFLOP/s"] = benchmark::Counter(gflop, benchmark::Counter::kIsRate);
  state.counters["peak_f32"] = measure_fma_gflops(0.05);
  state.counters["scratch_KiB"] = static_cast<double>(scratch_bytes >> 10);
}

bool register_shapes(const std::string& path) {
  std::ifstream file(path);
  if (!file) return false;
  std::size_t count = 0;
  const Isa* isas = available_isas(&count);
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    TemporalAttentionBlockShape shape;
    if (!(std::istringstream(line) >> shape.frames >> shape.positions >> shape.channels >>
          shape.num_heads >> shape.head_dim_qk >> shape.head_dim_v)) {
      return false;
    }
    for (std::size_t i = 0; i < 2 * count; ++i) {
      const Isa isa = isas[i / 2];
      const bool int8 = i % 2 == 1;
      const std::string name = "temporal_attention_block/" + std::to_string(shape.frames) + "x" +
                               std::to_string(shape.positions) + "x" +
                               std::to_string(shape.channels) +
                               "/head_dim:" + std::to_string(shape.head_dim_qk) +
                               (int8 ? "/int8/" : "/float32/") + isa_name(isa);
      benchmark::RegisterBenchmark(
          name.c_str(),
          [shape, isa, int8](benchmark::State& state) { run(state, shape, isa, int8); })
          ->Unit(benchmark::kMillisecond)
          ->UseRealTime();
    }
  }
  return true;
}

}  // namespace
}  // namespace mobilevd::kernels

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  const std::string path = std::string(MOBILEVD_SHAPES_DIR) + "/temporal_attention_block.txt";
  if (!mobilevd::kernels::register_shapes(path)) {
    std::fprintf(stderr, "temporal_attention_block_bench: cannot read the shapes in %s\n",
                 path.c_str());
    return 1;
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
