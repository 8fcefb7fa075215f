#include "mobilevd/kernels/roofline.h"

#include <algorithm>
#include <chrono>

#include "dispatch/variants.h"
#include "roofline/roofline_internal.h"

namespace mobilevd::kernels {
namespace {

constexpr Variants<RooflineVariant> kVariants = {
    &kRooflineScalar, MOBILEVD_IF_AVX2(&kRooflineAvx2), MOBILEVD_IF_AVX512(&kRooflineAvx512),
    nullptr,          MOBILEVD_IF_NEON(&kRooflineNeon),
};

/// Best rate of calls of `once` (which returns its work) within `seconds`: a bound is what the
/// machine can do, not what it does while something else runs.
template <typename Once>
double best_rate(double seconds, Once&& once) {
  using Clock = std::chrono::steady_clock;
  const auto elapsed = [](Clock::time_point since) {
    return std::chrono::duration<double>(Clock::now() - since).count();
  };
  double best = 0;
  const auto start = Clock::now();
  do {
    const auto begin = Clock::now();
    const double work = once();
    best = std::max(best, work / elapsed(begin));
  } while (elapsed(start) < seconds);
  return best * 1e-9;
}

}  // namespace

double measure_fma_gflops(double seconds, ParallelFor parallel_for) {
  constexpr std::size_t kItems = 64, kRounds = 20000;
  const RooflineVariant& chosen = kVariants.chosen();
  float sinks[kItems][16] = {};  // a cache line each
  return best_rate(seconds, [&] {
    double work[kItems] = {};
    parallel_for(kItems, 1, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) work[i] = chosen.fma(kRounds, sinks[i]);
    });
    double total = 0;
    for (const double x : work) total += x;
    return total;
  });
}

double measure_stream_gbps(const float* a, const float* b, const float* c, float* out,
                           long long bytes, double seconds, ParallelFor parallel_for) {
  const RooflineVariant& chosen = kVariants.chosen();
  return best_rate(seconds, [&] {
    parallel_for(static_cast<std::size_t>(bytes / 64), 1024,
                 [&](std::size_t begin, std::size_t end) {
                   chosen.sum(a, b, c, out, begin * 16, end * 16);
                 });
    return 4.0 * static_cast<double>(bytes);
  });
}

}  // namespace mobilevd::kernels
