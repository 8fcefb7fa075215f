#include "flags.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <filesystem>
#include <iostream>
#include <system_error>

#include "runtime/error.h"
#include "runtime/frames.h"
#include "runtime/output_file.h"

namespace mobilevd {

namespace fs = std::filesystem;

namespace {

constexpr char kDescription[] =
    "Turns a picture into a clip with an exported MobileVD bundle.\n"
    "Example: mobilevd_runner --bundle bundles/mini --image photo.jpg --output clip.y4m --seed 7";

constexpr uint64_t kMostRuns = 1'000'000;  // warm-ups and repeats are added as int

[[noreturn]] void usage_error(const std::string& what) {
  throw Error(what + " (see --help)", Error::Kind::kUsage);
}

void check_file(const char* flag, const std::string& path) {
  if (!path.empty()) check_output_file(path, std::string(flag) + ": " + path);
}

void check(const Flags& flags) {
  if (flags.list_ops || flags.version) return;
  if (flags.bundle.empty()) usage_error("--bundle is required");
  std::error_code unseen;  // a folder that may not be searched
  if (!fs::is_directory(flags.bundle, unseen)) usage_error("--bundle: no folder " + flags.bundle);
  if (flags.stage.empty()) {
    if (flags.image.empty()) usage_error("--image is required");
    if (flags.output.empty()) usage_error("--output is required");
    if (!fs::exists(flags.image, unseen)) usage_error("--image: no file " + flags.image);
    check_output(flags.output);
  } else if (!flags.output.empty() || !flags.image.empty() || !flags.float_frames.empty()) {
    usage_error(
        "--stage runs on random inputs and takes neither --image nor --output nor --float-frames");
  }
  if (!flags.float_frames.empty() && fs::path(flags.float_frames).extension() != ".npy") {
    usage_error("--float-frames: " + flags.float_frames + " must end in .npy");
  }
  check_file("--float-frames", flags.float_frames);
  check_file("--json", flags.json);
  if (!flags.stage.empty()) {
    check_file("--etdump", flags.etdump);
  } else if (!flags.etdump.empty()) {  // one file a stage, beside it
    check_folder_of(flags.etdump, "--etdump: " + flags.etdump);
  }
}

/// A flag whose value is a whole number from `min` to `max`, in decimal: CLI11 itself would take a
/// leading 0 for octal, and Python does not.
template <typename T>
CLI::Option* add_whole(CLI::App& app, const std::string& name, T& value, uint64_t min, uint64_t max,
                       const std::string& help) {
  const auto store = [&value, name, min, max](const std::string& text) {
    uint64_t number = 0;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, number);
    if (error != std::errc() || stop != end || number < min || number > max) {
      throw CLI::ValidationError(name, "must be a whole number from " + std::to_string(min) +
                                           " to " + std::to_string(max) + ", not " + text);
    }
    value = static_cast<T>(number);
  };
  return app.add_option_function<std::string>(name, store, help)->type_name("N");
}

}  // namespace

std::optional<Flags> parse_flags(int argc, char** argv) {
  Flags flags;
  int steps = 0;
  double fps = 0.0;
  double motion_bucket = 0.0;
  double noise_aug = 0.0;
  CLI::App app(kDescription, "mobilevd_runner");
  app.add_option("--bundle", flags.bundle, "Folder that `mobilevd export` wrote");
  app.add_option("--image", flags.image, "JPEG or PNG the clip starts from");
  app.add_option("--output", flags.output, "CLIP.y4m, or a folder for frame_0000.png ...");
  app.add_option("--float-frames", flags.float_frames,
                 "FILE.npy: also the frames in [0, 1] before rounding, float32 [F, H, W, 3]");
  add_whole(app, "--seed", flags.seed, 0, UINT64_MAX, "Seed of the noise (default 0)");
  add_whole(app, "--threads", flags.threads, 1, 1024, "Threads (default: the performance cores)");
  add_whole(app, "--warmup", flags.warmup, 0, kMostRuns,
            "Runs before the measured ones (default 0)");
  add_whole(app, "--repeat", flags.repeat, 1, kMostRuns,
            "Measured runs (default 1); more keep the stages loaded if memory allows");
  app.add_option("--stage", flags.stage,
                 "Run only this stage, on random inputs of --seed, for timing; no other is checked "
                 "or counted");
  app.add_option("--json", flags.json, "Write times, memory and settings to this file");
  app.add_option("--etdump", flags.etdump,
                 "Write ExecuTorch's profile: with --stage to this file, else to "
                 "<stem>.<stage>.etdp beside it, one per stage");
  add_whole(app, "--max-memory-mb", flags.max_memory_mb, 1, 1u << 30,
            "Refuse before loading when the estimate is above this");
  app.add_option(
      "--packed-weights", flags.packed_weights,
      "Folder that keeps XNNPACK's packed weights between runs, or \"none\" (default: the "
      "user's cache folder, for stages of 64 MB and more)");
  auto* fps_flag = app.add_option("--fps", fps, "Frames a second, told to the model and the file");
  auto* motion_flag = app.add_option("--motion-bucket", motion_bucket, "Amount of motion, 0..1023");
  auto* noise_flag = app.add_option("--noise-aug", noise_aug, "Noise added to the picture, 0.02");
  auto* steps_flag = add_whole(app, "--steps", steps, 1, 1000, "Sampling steps");
  app.add_option("--backend-lib", flags.backend_libs,
                 "Shared library that registers a further ExecuTorch backend; repeatable, "
                 "loaded in this order before the programs")
      ->allow_extra_args(false);
  app.add_flag("--list-ops", flags.list_ops, "Print the registered ops and backends");
  app.add_flag("--version", flags.version, "Print versions");
  app.add_flag("--verbose", flags.verbose,
               "Progress also when not on a terminal; ExecuTorch's log");

  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    std::cout << app.help();
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    std::string line = error.what();
    std::replace(line.begin(), line.end(), '\n', ' ');
    usage_error(line);
  }
  if (steps_flag->count() > 0) flags.steps = steps;
  if (fps_flag->count() > 0) flags.fps = fps;
  if (motion_flag->count() > 0) flags.motion_bucket = motion_bucket;
  if (noise_flag->count() > 0) flags.noise_aug = noise_aug;
  check(flags);
  return flags;
}

}  // namespace mobilevd
