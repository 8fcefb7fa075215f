#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace mobilevd {

/// The sampling part of bundle.json: how latents are made from noise.
struct SamplingSpec {
  std::string sampler = "euler";  ///< "euler" or "consistency"
  int steps = 25;                 ///< 1..1000
  double sigma_min = 0.002;
  double sigma_max = 700.0;
  double rho = 7.0;
  int levels = 40;  ///< consistency: number of levels of the Karras grid that steps pick from
  double guidance_min = 1.0;
  double guidance_max = 1.0;  ///< no guidance (one evaluation a step) when <= 1
  double fps = 7;
  double motion_bucket = 127;
  double noise_aug = 0.02;
  double latent_scale = 0.18215;
  int time_channels = 32;
  int added_time_channels = 32;
};

/// `count` sigmas from sigma_max down to sigma_min (Karras et al., arXiv 2206.00364, eq. 5);
/// count = 1 gives sigma_max alone.
std::vector<double> karras_sigmas(int count, double sigma_min, double sigma_max, double rho);

/// The sigmas a clip goes through: spec.steps of them and a last 0. "euler" re-makes the grid with
/// that many; "consistency" takes every (levels / steps)-th of a grid of `levels`.
/// Throws Error (usage) for steps outside 1..1000, or above `levels` for "consistency".
std::vector<double> sampling_sigmas(const SamplingSpec& spec);

/// Sinusoidal embedding [cos(t f_0).. cos(t f_{h-1}), sin(t f_0)..], h = channels / 2,
/// f_i = 10000^(-i/h): diffusers' Timesteps(channels, flip_sin_to_cos=True,
/// downscale_freq_shift=0). `channels` must be even.
std::vector<float> sinusoid(double t, int channels);

/// c_noise of EDM with SVD's scaling: 0.25 ln(sigma).
double c_noise(double sigma);

/// Guidance scale of each frame: `frames` values evenly from min to max.
std::vector<double> guidance_scales(int frames, double min, double max);

/// The network as the sampler sees it: fills `v` (v-prediction) for `scaled` = c_in * x, both
/// [frames, values_per_frame]. Called first without, then with the image's condition when there is
/// guidance, else only with it.
using Velocity = std::function<void(const float* scaled, double sigma, bool conditional, float* v)>;

/// Fills `out` with the N(0, 1) noise that consistency step `step` adds.
using Renoise = std::function<void(int step, float* out)>;

/// Called after each evaluation; false stops the sampling.
using EvaluationDone = std::function<bool(int done, int total)>;

/// Number of evaluations that sample() will make.
int evaluation_count(const SamplingSpec& spec);

/// Samples a clip's latents (EDM, v-prediction, sigma_data = 1). `x` holds N(0, 1) noise on entry,
/// [frames, values_per_frame], and the clean latents on return.
///   D = x / (s^2 + 1) - s / sqrt(s^2 + 1) * v;   guided: D = D_u + g_frame (D_c - D_u)
///   euler:        x <- x + (x - D) / s * (s_next - s)
///   consistency:  x <- D + s_next * noise
/// Returns false when `done` stopped it (x is then unfinished).
bool sample(const SamplingSpec& spec, int frames, std::size_t values_per_frame,
            std::vector<float>& x, const Velocity& velocity, const Renoise& renoise,
            const EvaluationDone& done = {});

}  // namespace mobilevd
