#include "runtime/pipeline.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <utility>
#include <vector>

#include "mobilevd/kernels/dispatch.h"
#include "runtime/error.h"
#include "runtime/host.h"
#include "runtime/image.h"
#include "runtime/noise.h"
#include "runtime/threads.h"
#include "runtime/unrounded_frames.h"

namespace mobilevd {
namespace {

using Clock = std::chrono::steady_clock;

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

double checked(double value, double min, double max, const char* name) {
  if (value >= min && value <= max) return value;
  throw Error(std::string(name) + " must be between " + std::to_string(static_cast<int>(min)) +
                  " and " + std::to_string(static_cast<int>(max)),
              Error::Kind::kUsage);
}

/// Counts program runs and asks the caller after each whether to go on.
class ProgressMeter {
 public:
  ProgressMeter(const ProgressCallback& callback, int total) : callback_(callback), total_(total) {}

  void report(const char* stage) {
    if (callback_ && !callback_({stage, done_, total_})) {
      throw Error("cancelled", Error::Kind::kCancelled);
    }
  }
  void advance(const char* stage) {
    ++done_;
    report(stage);
  }

 private:
  const ProgressCallback& callback_;
  int done_ = 0;
  int total_;
};

/// The picture as a stage takes it: pixels (x01 - mean) / std, [3, height, width].
std::vector<float> image_input(const RgbImage& image, const Crop& crop, const TensorSpec& spec,
                               const std::vector<double>& mean, const std::vector<double>& std) {
  std::vector<float> planes = crop_and_resize(image, crop, spec.shape[2], spec.shape[3]);
  const std::size_t area = planes.size() / 3;
  for (std::size_t i = 0; i < planes.size(); ++i) {
    planes[i] = static_cast<float>((planes[i] - mean[i / area]) / std[i / area]);
  }
  return planes;
}

/// The UNet's inputs that do not change between evaluations, and its call.
struct UnetInputs {
  UnetInputs(const Bundle& bundle, const SamplingSpec& spec,
             const std::vector<float>& image_latents, const std::vector<float>& token)
      : frames(static_cast<std::size_t>(bundle.shapes.frames)),
        plane(image_latents.size()),
        condition(image_latents),
        embedding(token),
        zeros(std::max(condition.size(), embedding.size()), 0.0f),
        sample(frames * 2 * plane) {
    for (const double value : {spec.fps - 1.0, spec.motion_bucket, spec.noise_aug}) {
      const auto part = sinusoid(value, spec.added_time_channels);
      added.insert(added.end(), part.begin(), part.end());
    }
  }

  /// sample = concat(scaled noisy latents, image latents) on the channels of each frame; without
  /// the condition the image latents and the token are zeros.
  NamedInputs at(const float* scaled, double sigma, bool conditional, int time_channels) {
    for (std::size_t f = 0; f < frames; ++f) {
      float* frame = sample.data() + f * 2 * plane;
      std::copy_n(scaled + f * plane, plane, frame);
      std::copy_n(conditional ? condition.data() : zeros.data(), plane, frame + plane);
    }
    timestep = sinusoid(c_noise(sigma), time_channels);
    return {{"sample", sample.data()},
            {"timestep_sinusoid", timestep.data()},
            {"encoder_hidden_states", conditional ? embedding.data() : zeros.data()},
            {"added_time_sinusoids", added.data()}};
  }

  std::size_t frames, plane;  ///< plane: latent values of one frame
  const std::vector<float>&condition, &embedding;
  std::vector<float> zeros, sample, timestep, added;
};

}  // namespace

Pipeline::Pipeline(const std::string& folder, const PipelineOptions& options)
    : bundle_(read_bundle(folder)), options_(options) {
  if (!options_.only_stage.empty()) bundle_ = bundle_.only(options_.only_stage);
  const kernels::Status isa = kernels::startup_status();
  if (!isa.ok()) throw Error(isa.message, Error::Kind::kUsage);
  const auto start = Clock::now();
  const PackedFolder packed_in = PackedFolder::from_flag(options_.packed_folder, folder);
  for (const auto& [name, stage] : bundle_.stages) {
    packed_[name] = std::make_unique<PackedWeights>(bundle_, stage, packed_in, options_.verify);
  }
  const uint64_t limit = options_.max_memory_bytes;
  if (limit > 0) {
    // Keeping everything loaded is only a convenience: give it up before refusing.
    if (estimate() > limit) options_.keep_loaded = false;
    if (estimate() > limit) {
      const std::string& only = options_.only_stage;
      throw Error((only.empty() ? "this bundle" : "stage '" + only + "'") + " needs about " +
                  std::to_string((estimate() >> 20) + 1) + " MB, more than the allowed " +
                  std::to_string(limit >> 20) +
                  " MB; use a smaller preset or precision, or raise --max-memory-mb");
    }
  }
  estimated_bytes_ = estimate();
  check_files(bundle_, options_.verify);
  verify_ms_ = milliseconds_since(start);
  for (const auto& [name, stage] : bundle_.stages) check_required_ops(stage);
  set_threads(options_.threads);
}

uint64_t Pipeline::estimate() const {
  return estimate_memory(bundle_, options_.keep_loaded, [this](const std::string& stage) {
    return packed_.at(stage)->state() == PackedWeights::State::kRead;
  });
}

SamplingSpec Pipeline::sampling(const ClipRequest& request) const {
  SamplingSpec spec = bundle_.sampling;
  spec.steps = request.steps.value_or(spec.steps);
  spec.fps = checked(request.fps.value_or(spec.fps), 1, 1000, "fps");
  spec.motion_bucket =
      checked(request.motion_bucket.value_or(spec.motion_bucket), 0, 1023, "motion-bucket");
  spec.noise_aug = checked(request.noise_aug.value_or(spec.noise_aug), 0, 10, "noise-aug");
  sampling_sigmas(spec);  // checks the steps
  return spec;
}

Stage& Pipeline::acquire(const std::string& name, RunStats& stats) {
  std::unique_ptr<Stage>& stage = loaded_[name];
  const bool fresh = !stage;
  PackedWeights& packed = *packed_.at(name);
  new_peak_rss();
  if (fresh) stage = std::make_unique<Stage>(bundle_, name, options_.record, &packed);
  // A stage kept from a warm-up run tells once more what its load took.
  StageStats& of_stage = stats.stages[name];
  of_stage.peak_rss_mb = std::max(of_stage.peak_rss_mb, stage->load_peak_rss_mb());
  if (fresh || of_stage.loads.count() == 0) of_stage.loads.add(stage->load_ms());
  of_stage.packed_weights = stage->packed_weights();
  of_stage.why_not_packed = packed.why_off();
  return *stage;
}

void Pipeline::release(const std::string& name) {
  if (options_.keep_loaded) return;
  if (options_.record) etdumps_[name] = loaded_[name]->take_etdump();
  loaded_.erase(name);
}

NamedOutputs Pipeline::run(Stage& stage, const std::string& name, const NamedInputs& inputs,
                           RunStats& stats) {
  NamedOutputs outputs = stage.run(inputs);
  StageStats& of_stage = stats.stages[name];
  of_stage.runs.add(stage.last_run_ms());
  of_stage.peak_rss_mb = std::max(of_stage.peak_rss_mb, recent_peak_rss_mb());
  stats.threads = thread_count();
  for (const ops::OpCount& op : stage.last_run_ops()) {
    OpStats& total = of_stage.ops[op.name];
    total.isa = op.isa;
    total.calls += op.calls;
    total.total_ms += static_cast<double>(op.nanoseconds) / 1e6;
  }
  return outputs;
}

Frames Pipeline::generate(ClipRequest request, RunStats& stats, const ProgressCallback& progress) {
  const SamplingSpec spec = sampling(request);
  const ClipShapes& shapes = bundle_.shapes;
  const StageSpec& encoder_spec = bundle_.stage("image_encoder");
  const StageSpec& decoder_spec = bundle_.stage("vae_decoder");
  const int64_t chunk = decoder_spec.input("latents").shape[0];
  const int evaluations = evaluation_count(spec);
  ProgressMeter meter(progress, 2 + evaluations + static_cast<int>(shapes.frames / chunk));

  RgbImage picture =
      request.picture
          ? std::move(*request.picture)
          : decode_image(reinterpret_cast<const uint8_t*>(request.image.data()),
                         request.image.size(), request.image_name, options_.max_memory_bytes);
  request.image = std::string();
  if (!programs_checked_) {  // not after minutes in the first stages
    for (const auto& [name, unused] : bundle_.stages) check_program(bundle_, name);
    programs_checked_ = true;
  }
  const auto start = Clock::now();
  // A cancelled or failed clip must not leave its stages behind.
  struct ReleaseAll {
    Pipeline* pipeline;
    ~ReleaseAll() {
      if (!pipeline->options_.keep_loaded) pipeline->loaded_.clear();
    }
  } const release_all{this};

  meter.report("image_encoder");
  // Both stages' inputs now, so that a large picture is gone before anything is loaded.
  const Crop crop = centre_crop(picture.width, picture.height, shapes.width, shapes.height);
  const std::vector<float> encoder_image = image_input(
      picture, crop, encoder_spec.input("image"), encoder_spec.image_mean, encoder_spec.image_std);
  std::vector<float> image = image_input(picture, crop, bundle_.stage("vae_encoder").input("image"),
                                         {0.5, 0.5, 0.5}, {0.5, 0.5, 0.5});
  picture = RgbImage();
  const std::vector<float> token = run(acquire("image_encoder", stats), "image_encoder",
                                       {{"image", encoder_image.data()}}, stats)["image_embeds"];
  release("image_encoder");
  meter.advance("vae_encoder");

  // SVD conditions on a slightly noisy picture: image + noise_aug * n.
  std::vector<float> noise(image.size());
  normal(request.seed, kImageAugmentation, noise.size(), noise.data());
  for (std::size_t i = 0; i < image.size(); ++i) {
    image[i] = static_cast<float>(image[i] + spec.noise_aug * noise[i]);
  }
  const std::vector<float> image_latents = run(acquire("vae_encoder", stats), "vae_encoder",
                                               {{"image", image.data()}}, stats)["latents"];
  release("vae_encoder");
  meter.advance("unet");

  UnetInputs inputs(bundle_, spec, image_latents, token);
  const std::size_t plane = image_latents.size();
  std::vector<float> latents(static_cast<std::size_t>(shapes.frames) * plane);
  normal(request.seed, kLatents, latents.size(), latents.data());
  Stage& unet = acquire("unet", stats);
  const auto velocity = [&](const float* scaled, double sigma, bool conditional, float* v) {
    const auto outputs =
        run(unet, "unet", inputs.at(scaled, sigma, conditional, spec.time_channels), stats);
    const std::vector<float>& predicted = outputs.at("v_prediction");
    std::copy(predicted.begin(), predicted.end(), v);
  };
  const auto renoise = [&](int step, float* out) {
    normal(request.seed, kRenoise + static_cast<uint32_t>(step), latents.size(), out);
  };
  sample(spec, static_cast<int>(shapes.frames), plane, latents, velocity, renoise,
         [&](int done, int total) {
           meter.advance(done < total ? "unet" : "vae_decoder");
           return true;
         });
  stats.evaluations = evaluations;
  release("unet");

  for (float& value : latents) value = static_cast<float>(value / spec.latent_scale);
  Frames frames;
  frames.count = shapes.frames;
  frames.height = shapes.height;
  frames.width = shapes.width;
  frames.rgb.resize(static_cast<std::size_t>(3 * shapes.frames * shapes.height * shapes.width));
  Stage& decoder = acquire("vae_decoder", stats);
  for (int64_t first = 0; first < shapes.frames; first += chunk) {
    const float* part = latents.data() + static_cast<std::size_t>(first) * plane;
    const auto outputs = run(decoder, "vae_decoder", {{"latents", part}}, stats);
    const float* planes = outputs.at("frames").data();
    quantize_frames(planes, chunk, first, frames);
    if (request.unrounded) unrounded_frames(planes, chunk, first, frames);
    meter.advance("vae_decoder");
  }
  release("vae_decoder");
  stats.totals.add(milliseconds_since(start));
  return frames;
}

void Pipeline::run_stage(const std::string& name, uint64_t seed, RunStats& stats) {
  const StageSpec& spec = bundle_.stage(name);
  Stage& stage = acquire(name, stats);
  std::vector<std::vector<float>> values;
  NamedInputs inputs;
  for (std::size_t i = 0; i < spec.inputs.size(); ++i) {
    values.emplace_back(spec.inputs[i].size());
    normal(seed, static_cast<uint32_t>(i), values.back().size(), values.back().data());
    inputs[spec.inputs[i].name] = values.back().data();
  }
  const auto start = Clock::now();
  run(stage, name, inputs, stats);
  stats.totals.add(milliseconds_since(start));
  release(name);
}

std::map<std::string, std::string> Pipeline::etdumps() {
  for (const auto& [name, stage] : loaded_) {
    if (options_.record) etdumps_[name] = stage->take_etdump();
  }
  return etdumps_;
}

}  // namespace mobilevd
