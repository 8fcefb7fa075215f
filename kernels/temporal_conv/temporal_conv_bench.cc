// google-benchmark of temporal_conv on the model's shapes (kernels/shapes), one thread. GFLOP/s
// counts the two thirds of the filter that the first and last frame use as a whole.
#include <sstream>

#include "mobilevd/kernels/temporal_conv.h"
#include "testing/bench_main.h"

namespace mobilevd::kernels {
namespace {

void run(benchmark::State& state, const TemporalConvShape& s) {
  const std::int64_t rows = s.batch * s.frames * s.positions;
  BenchBuffer x(rows * s.in_channels), out(rows * s.out_channels);
  BenchBuffer packed(conv_packed_size(s.in_channels, s.out_channels, 3));
  BenchBuffer scratch(temporal_conv_scratch_bytes(s, 1) / sizeof(float));
  x.fill();
  packed.fill();
  const bool ok = measure(state, [&] {
    return temporal_conv(x.data(), packed.data(), out.data(), s, {}, scratch.data(), 1);
  });
  if (!ok) return;
  state.counters["GFLOP/s"] = rate(state, 6e-9 * rows * s.in_channels * s.out_channels);
}

bool read_cases(std::istream& fields, std::vector<BenchCase>* cases) {
  TemporalConvShape s;
  if (!(fields >> s.batch >> s.frames >> s.positions >> s.in_channels >> s.out_channels)) {
    return false;
  }
  std::ostringstream name;
  name << "temporal_conv/" << s.batch << "x" << s.frames << "x" << s.positions << "x"
       << s.in_channels << "->" << s.out_channels;
  cases->push_back({name.str(), [s](benchmark::State& state) { run(state, s); }});
  return true;
}

}  // namespace
}  // namespace mobilevd::kernels

int main(int argc, char** argv) {
  using namespace mobilevd::kernels;
  return bench_main(argc, argv, "temporal_conv", ScalarReference::kLeftOut, read_cases);
}
