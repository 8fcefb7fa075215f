#pragma once

#include <cstdint>
#include <istream>
#include <sstream>
#include <string>
#include <vector>

#include "mobilevd/kernels/conv2d.h"
#include "testing/bench_main.h"

// What the benchmarks on kernels/shapes/conv2d.txt share.
namespace mobilevd::kernels {

inline std::int64_t out_pixels(const Conv2dShape& s) {
  return s.batch * ((s.height + s.stride - 1) / s.stride) * ((s.width + s.stride - 1) / s.stride);
}

/// The counter GFLOP/s: the multiplications of the definition.
inline benchmark::Counter conv2d_rate(const benchmark::State& state, const Conv2dShape& s) {
  return rate(state, 18e-9 * out_pixels(s) * s.in_channels * s.out_channels);
}

/// Reads a line of shapes into a case of `kernel` that calls `run(state, shape)`.
template <typename Run>
ReadCases conv2d_cases(const std::string& kernel, Run run) {
  return [=](std::istream& fields, std::vector<BenchCase>* cases) {
    Conv2dShape s;
    if (!(fields >> s.batch >> s.height >> s.width >> s.in_channels >> s.out_channels >>
          s.stride)) {
      return false;
    }
    std::ostringstream name;
    name << kernel << "/" << s.batch << "x" << s.height << "x" << s.width << "x" << s.in_channels
         << "->" << s.out_channels << "/stride:" << s.stride;
    cases->push_back({name.str(), [s, run](benchmark::State& state) { run(state, s); }});
    return true;
  };
}

}  // namespace mobilevd::kernels
