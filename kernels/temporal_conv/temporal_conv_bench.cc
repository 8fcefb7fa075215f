// google-benchmark of temporal_conv on the model's shapes (kernels/shapes), one thread. GFLOP/s
// counts the two thirds of the filter that the first and last frame use as a whole.
#include <benchmark/benchmark.h>

#include <fstream>
#include <sstream>
#include <string>

#include "mobilevd/kernels/dispatch.h"
#include "mobilevd/kernels/temporal_conv.h"
#include "testing/bench_buffer.h"

namespace mobilevd::kernels {
namespace {

void run(benchmark::State& state, const TemporalConvShape& s, Isa isa) {
  if (const Status status = set_isa(isa_name(isa)); !status.ok()) {
    state.SkipWithError(status.message);
    return;
  }
  const std::int64_t rows = s.batch * s.frames * s.positions;
  BenchBuffer x(rows * s.in_channels), out(rows * s.out_channels);
  BenchBuffer packed(conv_packed_size(s.in_channels, s.out_channels, 3));
  BenchBuffer scratch(temporal_conv_scratch_bytes(s, 1) / sizeof(float));
  x.fill();
  packed.fill();
  for (auto _ : state) {
    const Status status =
        temporal_conv(x.data(), packed.data(), out.data(), s, {}, scratch.data(), 1);
    if (!status.ok()) {
      state.SkipWithError(status.message);
      return;
    }
    benchmark::ClobberMemory();
  }
  state.counters["GFLOP/s"] =
      benchmark::Counter(6e-9 * rows * s.in_channels * s.out_channels * state.iterations(),
                         benchmark::Counter::kIsRate);
}

void register_all() {
  std::size_t count = 0;
  const Isa* isas = available_isas(&count);
  std::ifstream file(MOBILEVD_SHAPES_DIR "/temporal_conv.txt");
  for (std::string line; std::getline(file, line);) {
    TemporalConvShape s;
    std::istringstream fields(line);
    if (line.empty() || line[0] == '#' ||
        !(fields >> s.batch >> s.frames >> s.positions >> s.in_channels >> s.out_channels)) {
      continue;
    }
    for (std::size_t i = 1; i < count; ++i) {  // the scalar reference would take minutes
      std::ostringstream name;
      name << "temporal_conv/" << s.batch << "x" << s.frames << "x" << s.positions << "x"
           << s.in_channels << "->" << s.out_channels << "/" << isa_name(isas[i]);
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
