#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace mobilevd {

/// The command line of mobilevd_runner. --help says what each flag means.
struct Flags {
  std::string bundle, image, output;
  std::string stage, json, etdump, float_frames, packed_weights;
  std::vector<std::string> backend_libs;
  uint64_t seed = 0;
  int threads = 0;  ///< 0: the flag was not given
  int warmup = 0, repeat = 1;
  uint64_t max_memory_mb = 0;
  std::optional<int> steps;
  std::optional<double> fps, motion_bucket, noise_aug;
  bool list_ops = false, version = false, verbose = false;
};

/// Parses and checks the command line. Empty after --help, which it prints. Throws Error of kind
/// kUsage with one line.
std::optional<Flags> parse_flags(int argc, char** argv);

}  // namespace mobilevd
