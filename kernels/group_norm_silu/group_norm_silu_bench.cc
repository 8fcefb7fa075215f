// google-benchmark of group_norm_silu on the model's shapes (kernels/shapes), one thread. GB/s
// counts x and out once each: what a copy would move.
#include <sstream>

#include "mobilevd/kernels/group_norm_silu.h"
#include "testing/bench_main.h"

namespace mobilevd::kernels {
namespace {

void run(benchmark::State& state, const GroupNormSiluShape& shape) {
  const std::size_t size = shape.batch * shape.channels * shape.positions;
  BenchBuffer x(size), weight(shape.channels), bias(shape.channels), out(size);
  for (auto* array : {&x, &weight, &bias}) array->fill();
  const bool ok = measure(state, [&] {
    return group_norm_silu(x.data(), weight.data(), bias.data(), out.data(), shape, 1e-5f);
  });
  if (!ok) return;
  state.counters["GB/s"] = rate(state, 1e-9 * size * 2 * sizeof(float));
}

bool read_cases(std::istream& fields, std::vector<BenchCase>* cases) {
  std::int64_t batch, channels, positions, last;
  if (!(fields >> batch >> channels >> positions >> last)) return false;
  const GroupNormSiluShape shape{batch, channels, positions, 32, last != 0};
  std::ostringstream name;
  name << "group_norm_silu/" << batch << "x" << channels << "x" << positions << "/channels_"
       << (last ? "last" : "first");
  cases->push_back({name.str(), [shape](benchmark::State& state) { run(state, shape); }});
  return true;
}

}  // namespace
}  // namespace mobilevd::kernels

int main(int argc, char** argv) {
  using namespace mobilevd::kernels;
  return bench_main(argc, argv, "group_norm_silu", ScalarReference::kMeasured, read_cases);
}
