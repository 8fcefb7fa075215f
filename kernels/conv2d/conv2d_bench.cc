// google-benchmark of conv2d_3x3 on the model's shapes (kernels/shapes), one thread. GFLOP/s counts
// the multiplications of the definition, so that Winograd may pass the FMA peak.
#include <benchmark/benchmark.h>

#include <fstream>
#include <sstream>
#include <string>

#include "mobilevd/kernels/conv2d.h"
#include "mobilevd/kernels/dispatch.h"
#include "testing/bench_buffer.h"

namespace mobilevd::kernels {
namespace {

void run(benchmark::State& state, const Conv2dShape& s, Isa isa) {
  if (const Status status = set_isa(isa_name(isa)); !status.ok()) {
    state.SkipWithError(status.message);
    return;
  }
  const std::int64_t out_pixels =
      s.batch * ((s.height + s.stride - 1) / s.stride) * ((s.width + s.stride - 1) / s.stride);
  BenchBuffer x(s.batch * s.height * s.width * s.in_channels), out(out_pixels * s.out_channels);
  BenchBuffer packed(conv_packed_size(s.in_channels, s.out_channels, 9));
  BenchBuffer scratch(conv2d_3x3_scratch_bytes(s, 1) / sizeof(float));
  x.fill();
  packed.fill();
  for (auto _ : state) {
    const Status status = conv2d_3x3(x.data(), packed.data(), out.data(), s, {}, scratch.data(), 1);
    if (!status.ok()) {
      state.SkipWithError(status.message);
      return;
    }
    benchmark::ClobberMemory();
  }
  state.counters["GFLOP/s"] =
      benchmark::Counter(18e-9 * out_pixels * s.in_channels * s.out_channels * state.iterations(),
                         benchmark::Counter::kIsRate);
}

void register_all() {
  std::size_t count = 0;
  const Isa* isas = available_isas(&count);
  std::ifstream file(MOBILEVD_SHAPES_DIR "/conv2d.txt");
  for (std::string line; std::getline(file, line);) {
    Conv2dShape s;
    std::istringstream fields(line);
    if (line.empty() || line[0] == '#' ||
        !(fields >> s.batch >> s.height >> s.width >> s.in_channels >> s.out_channels >>
          s.stride)) {
      continue;
    }
    for (std::size_t i = 1; i < count; ++i) {  // the scalar reference would take minutes
      std::ostringstream name;
      name << "conv2d_3x3/" << s.batch << "x" << s.height << "x" << s.width << "x" << s.in_channels
           << "->" << s.out_channels << "/stride:" << s.stride << "/" << isa_name(isas[i]);
      benchmark::RegisterBenchmark(name.str().c_str(), run, s, isas[i])
          ->Unit(benchmark::kMillisecond)
          ->UseRealTime();
    }
  }
}

}  // namespace
}  // namespace mobilevd::kernels

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  mobilevd::kernels::register_all();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
