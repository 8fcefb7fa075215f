#pragma once

#include <benchmark/benchmark.h>

#include <cstdio>
#include <fstream>
#include <functional>
#include <istream>
#include <sstream>
#include <string>
#include <vector>

#include "mobilevd/kernels/dispatch.h"
#include "testing/bench_buffer.h"

// The main program of a kernel's google-benchmark: every shape of kernels/shapes, every ISA.
namespace mobilevd::kernels {

/// One kernel call at one shape. `run` finds its ISA in use; `name` gets the ISA's name appended.
struct BenchCase {
  std::string name;
  std::function<void(benchmark::State&)> run;
};

/// Reads a line of the shapes file into the cases it stands for; false when it is not one.
using ReadCases = std::function<bool(std::istream& fields, std::vector<BenchCase>* cases)>;

enum class ScalarReference { kMeasured, kLeftOut };  ///< left out where it would take minutes

/// Times `call`, which returns a Status; false, with the message reported, when it failed.
template <typename Call>
bool measure(benchmark::State& state, Call&& call) {
  for (auto _ : state) {
    const Status status = call();
    if (!status.ok()) {
      state.SkipWithError(status.message);
      return false;
    }
    benchmark::ClobberMemory();
  }
  return true;
}

/// A counter of `per_call`, counted a second.
inline benchmark::Counter rate(const benchmark::State& state, double per_call) {
  return {per_call * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate};
}

inline bool register_cases(const std::string& path, ScalarReference scalar, const ReadCases& read) {
  std::ifstream file(path);
  if (!file) return false;
  std::size_t count = 0;
  const Isa* isas = available_isas(&count);
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream fields(line);
    std::vector<BenchCase> cases;
    if (!read(fields, &cases)) return false;
    for (std::size_t i = scalar == ScalarReference::kLeftOut ? 1 : 0; i < count; ++i) {
      for (const BenchCase& one : cases) {
        const char* const isa = isa_name(isas[i]);
        benchmark::RegisterBenchmark((one.name + "/" + isa).c_str(),
                                     [isa, run = one.run](benchmark::State& state) {
                                       const Status status = set_isa(isa);
                                       if (status.ok()) return run(state);
                                       state.SkipWithError(status.message);
                                     })
            ->Unit(benchmark::kMillisecond)
            ->UseRealTime();
      }
    }
  }
  return true;
}

/// 0, 1 when the shapes of `kernel` cannot be read, 2 for bad usage.
inline int bench_main(int argc, char** argv, const char* kernel, ScalarReference scalar,
                      const ReadCases& read) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  const std::string path = std::string(MOBILEVD_SHAPES_DIR "/") + kernel + ".txt";
  if (!register_cases(path, scalar, read)) {
    std::fprintf(stderr, "%s_bench: cannot read the shapes in %s\n", kernel, path.c_str());
    return 1;
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}

}  // namespace mobilevd::kernels
