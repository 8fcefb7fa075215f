#include "runtime/sampler.h"

#include <cmath>

#include "runtime/error.h"

namespace mobilevd {

std::vector<double> karras_sigmas(int count, double sigma_min, double sigma_max, double rho) {
  std::vector<double> sigmas(static_cast<std::size_t>(count));
  const double low = std::pow(sigma_min, 1.0 / rho);
  const double high = std::pow(sigma_max, 1.0 / rho);
  for (int i = 0; i < count; ++i) {
    const double ramp = count == 1 ? 0.0 : static_cast<double>(i) / (count - 1);
    sigmas[static_cast<std::size_t>(i)] = std::pow(high + ramp * (low - high), rho);
  }
  return sigmas;
}

std::vector<double> sampling_sigmas(const SamplingSpec& spec) {
  if (spec.steps < 1 || spec.steps > 1000) {
    throw Error("steps must be between 1 and 1000, not " + std::to_string(spec.steps),
                Error::Kind::kUsage);
  }
  std::vector<double> sigmas;
  if (spec.sampler == "consistency") {
    if (spec.steps > spec.levels) {
      throw Error("this bundle's consistency sampler has " + std::to_string(spec.levels) +
                      " noise levels, so steps can be at most that, not " +
                      std::to_string(spec.steps),
                  Error::Kind::kUsage);
    }
    const auto grid = karras_sigmas(spec.levels, spec.sigma_min, spec.sigma_max, spec.rho);
    for (int i = 0; i < spec.steps; ++i) {
      sigmas.push_back(grid[static_cast<std::size_t>(int64_t{i} * spec.levels / spec.steps)]);
    }
  } else {
    sigmas = karras_sigmas(spec.steps, spec.sigma_min, spec.sigma_max, spec.rho);
  }
  sigmas.push_back(0.0);
  return sigmas;
}

std::vector<float> sinusoid(double t, int channels) {
  const int half = channels / 2;
  std::vector<float> embedding(static_cast<std::size_t>(channels));
  for (int i = 0; i < half; ++i) {
    const double angle = t * std::exp(-std::log(10000.0) * i / half);
    embedding[static_cast<std::size_t>(i)] = static_cast<float>(std::cos(angle));
    embedding[static_cast<std::size_t>(half + i)] = static_cast<float>(std::sin(angle));
  }
  return embedding;
}

double c_noise(double sigma) { return 0.25 * std::log(sigma); }

std::vector<double> guidance_scales(int frames, double min, double max) {
  std::vector<double> scales(static_cast<std::size_t>(frames));
  for (int f = 0; f < frames; ++f) {
    scales[static_cast<std::size_t>(f)] = frames == 1 ? min : min + (max - min) * f / (frames - 1);
  }
  return scales;
}

int evaluation_count(const SamplingSpec& spec) {
  return spec.steps * (spec.guidance_max > 1.0 ? 2 : 1);
}

bool sample(const SamplingSpec& spec, int frames, std::size_t values_per_frame,
            std::vector<float>& x, const Velocity& velocity, const Renoise& renoise,
            const EvaluationDone& done) {
  const std::vector<double> sigmas = sampling_sigmas(spec);
  const bool guided = spec.guidance_max > 1.0;
  const bool consistency = spec.sampler == "consistency";
  const auto scales = guidance_scales(frames, spec.guidance_min, spec.guidance_max);
  const std::size_t size = static_cast<std::size_t>(frames) * values_per_frame;
  if (x.size() != size) throw Error("sample: x does not hold frames * values_per_frame values");

  std::vector<float> scaled(size), v_cond(size), v_uncond(guided ? size : 0);
  std::vector<float> noise(consistency ? size : 0);
  const int total = evaluation_count(spec);
  int evaluations = 0;
  const auto evaluate = [&](double sigma, bool conditional, std::vector<float>& v) {
    velocity(scaled.data(), sigma, conditional, v.data());
    ++evaluations;
    return !done || done(evaluations, total);
  };

  const double start = std::sqrt(sigmas[0] * sigmas[0] + 1.0);
  for (float& value : x) value = static_cast<float>(value * start);

  for (int step = 0; step < spec.steps; ++step) {
    const double sigma = sigmas[static_cast<std::size_t>(step)];
    const double next = sigmas[static_cast<std::size_t>(step) + 1];
    const double variance = sigma * sigma + 1.0;
    const double deviation = std::sqrt(variance);
    for (std::size_t i = 0; i < size; ++i) scaled[i] = static_cast<float>(x[i] / deviation);
    if (guided && !evaluate(sigma, false, v_uncond)) return false;
    if (!evaluate(sigma, true, v_cond)) return false;
    if (consistency && next > 0.0) renoise(step, noise.data());

    for (std::size_t i = 0; i < size; ++i) {
      // D is linear in v, so guiding v is guiding D.
      double v = v_cond[i];
      if (guided) v = v_uncond[i] + scales[i / values_per_frame] * (v - v_uncond[i]);
      const double denoised = x[i] / variance - sigma / deviation * v;
      double moved;
      if (consistency) {
        moved = next > 0.0 ? denoised + next * noise[i] : denoised;
      } else {
        moved = x[i] + (x[i] - denoised) / sigma * (next - sigma);
      }
      x[i] = static_cast<float>(moved);
    }
  }
  return true;
}

}  // namespace mobilevd
