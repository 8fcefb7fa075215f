#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "gemm/lane_part.h"
#include "gemm/panels.h"
#include "mobilevd/kernels/parallel.h"

namespace mobilevd::kernels {

/// Most lanes a caller may ask for: more cores than any device has.
constexpr int kMaxLanes = 1024;

inline std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// How a number of lanes share units (of rows) times panels (of 16 output channels): by units,
/// `least_units` each at least, and where that leaves lanes idle or unevenly loaded also by panels
/// (each lane then repeats the cheap packing of its units' inputs). Panels go in pairs: what
/// AVX-512 multiplies at once.
class LaneCut {
 public:
  LaneCut(std::int64_t units, std::int64_t panels, std::int64_t least_units, int lanes)
      : units_(units), panels_(panels) {
    std::int64_t least = -1;  // panels times units of the busiest lane
    for (std::int64_t u = std::min<std::int64_t>(lanes, ceil_div(units, least_units)); u > 0; --u) {
      const std::int64_t p = std::clamp<std::int64_t>(panels / 4, 1, lanes / u);
      const std::int64_t busiest = ceil_div(units, u) * 2 * ceil_div(ceil_div(panels, 2), p);
      if (least >= 0 && busiest * 20 >= least * 19) continue;  // not worth packing again
      least = busiest;
      by_units_ = u;
      by_panels_ = p;
    }
  }

  /// Calls work(part) for every lane; `scratch` holds `floats` for each.
  template <typename Work>
  void run(ParallelFor parallel_for, void* scratch, std::size_t floats, Work&& work) const {
    const auto lanes = static_cast<std::size_t>(by_units_ * by_panels_);
    parallel_for(lanes, 1, [&](std::size_t begin, std::size_t end) {
      for (std::size_t lane = begin; lane < end; ++lane) {
        const std::int64_t u = static_cast<std::int64_t>(lane) / by_panels_;
        const std::int64_t p = static_cast<std::int64_t>(lane) % by_panels_;
        work(LanePart{unit(u), unit(u + 1), panel(p), panel(p + 1),
                      static_cast<float*>(scratch) + lane * floats});
      }
    });
  }

 private:
  std::ptrdiff_t unit(std::int64_t part) const {
    return static_cast<std::ptrdiff_t>(units_ * part / by_units_);
  }
  std::ptrdiff_t panel(std::int64_t part) const {
    return static_cast<std::ptrdiff_t>(
        std::min(2 * (ceil_div(panels_, 2) * part / by_panels_), panels_));
  }

  std::int64_t units_, panels_, by_units_ = 1, by_panels_ = 1;
};

}  // namespace mobilevd::kernels
