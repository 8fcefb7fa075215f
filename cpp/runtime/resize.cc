#include "runtime/resize.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace mobilevd {
namespace {

/// The inputs that make one output value: in[first + i] * weights[i].
struct Taps {
  std::size_t first = 0;
  std::vector<double> weights;
};

double cubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
  if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
  return 0.0;
}

std::vector<Taps> make_taps(std::size_t in_size, std::size_t out_size) {
  const double scale = static_cast<double>(in_size) / static_cast<double>(out_size);
  const double stretch = std::max(scale, 1.0);
  const double support = 2.0 * stretch;
  std::vector<Taps> all(out_size);
  for (std::size_t o = 0; o < out_size; ++o) {
    const double centre = (static_cast<double>(o) + 0.5) * scale;
    const auto first = static_cast<std::size_t>(std::max(0.0, centre - support + 0.5));
    const auto last =
        static_cast<std::size_t>(std::min(static_cast<double>(in_size), centre + support + 0.5));
    Taps& taps = all[o];
    taps.first = first;
    double sum = 0.0;
    for (std::size_t i = first; i < last; ++i) {
      const double weight = cubic((static_cast<double>(i) - centre + 0.5) / stretch);
      taps.weights.push_back(weight);
      sum += weight;
    }
    for (double& weight : taps.weights) weight /= sum;
  }
  return all;
}

}  // namespace

void resize_plane(const float* in, std::size_t in_height, std::size_t in_width, float* out,
                  std::size_t out_height, std::size_t out_width) {
  const std::vector<Taps> across = make_taps(in_width, out_width);
  const std::vector<Taps> down = make_taps(in_height, out_height);
  std::vector<float> narrow(in_height * out_width);
  for (std::size_t y = 0; y < in_height; ++y) {
    for (std::size_t x = 0; x < out_width; ++x) {
      const Taps& taps = across[x];
      double sum = 0.0;
      for (std::size_t i = 0; i < taps.weights.size(); ++i) {
        sum += taps.weights[i] * in[y * in_width + taps.first + i];
      }
      narrow[y * out_width + x] = static_cast<float>(sum);
    }
  }
  for (std::size_t y = 0; y < out_height; ++y) {
    const Taps& taps = down[y];
    for (std::size_t x = 0; x < out_width; ++x) {
      double sum = 0.0;
      for (std::size_t i = 0; i < taps.weights.size(); ++i) {
        sum += taps.weights[i] * narrow[(taps.first + i) * out_width + x];
      }
      out[y * out_width + x] = static_cast<float>(sum);
    }
  }
}

}  // namespace mobilevd
