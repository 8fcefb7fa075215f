#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>

#include "flags.h"
#include "runtime/backend_library.h"
#include "runtime/error.h"
#include "runtime/executorch_log.h"
#include "runtime/image.h"
#include "runtime/output_file.h"
#include "runtime/pipeline.h"
#include "runtime/threads.h"
#include "runtime/unrounded_frames.h"
#include "runtime/version.h"

namespace mobilevd {
namespace {

volatile std::sig_atomic_t interrupted = 0;

void on_interrupt(int) { interrupted = 1; }

void install_signal_handlers() {
  struct sigaction action{};
  action.sa_handler = on_interrupt;
  // The first signal cancels between two program runs; a second one ends the process.
  action.sa_flags = SA_RESETHAND;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  // A file-size limit is then an error of write(), like a full disk.
  std::signal(SIGXFSZ, SIG_IGN);
}

bool line_open = false;  // the terminal's cursor stands behind an unfinished progress line

bool show_progress(const Progress& progress, const char* run, bool terminal) {
  std::fprintf(stderr, terminal ? "\r%s %3d/%d %-14s" : "%s %d/%d %s\n", run, progress.done,
               progress.total, progress.done == progress.total ? "done" : progress.stage);
  line_open = terminal && progress.done < progress.total;
  if (terminal && !line_open) std::fputc('\n', stderr);
  return interrupted == 0;
}

void write_etdumps(const Flags& flags, Pipeline& pipeline) {
  if (flags.etdump.empty()) return;
  const std::filesystem::path path(flags.etdump);
  for (const auto& [stage, bytes] : pipeline.etdumps()) {
    const auto name = path.stem().string() + "." + stage + ".etdp";
    write_file(flags.stage.empty() ? (path.parent_path() / name).string() : flags.etdump, bytes);
  }
}

void list_ops() {
  for (const std::string& op : registered_ops()) std::printf("%s\n", op.c_str());
  for (const std::string& name : registered_backends()) std::printf("backend:%s\n", name.c_str());
}

int run(const Flags& flags) {
  const bool terminal = ::isatty(STDERR_FILENO) != 0;
  const bool progress_on = terminal || flags.verbose;
  capture_executorch_log(flags.verbose);
  for (const std::string& path : flags.backend_libs) load_backend_library(path);
  if (flags.version) {
    std::printf("mobilevd_runner %s, ExecuTorch %s\n", kVersion, kExecutorchVersion);
    return 0;
  }
  if (flags.list_ops) {
    list_ops();
    return 0;
  }
  install_signal_handlers();

  PipelineOptions options;
  options.threads = flags.threads;
  options.keep_loaded = flags.warmup + flags.repeat > 1;
  options.record = !flags.etdump.empty();
  options.packed_folder = flags.packed_weights;
  options.max_memory_bytes = flags.max_memory_mb << 20;
  options.only_stage = flags.stage;
  Pipeline pipeline(flags.bundle, options);
  if (progress_on) std::fprintf(stderr, "%d threads\n", thread_count());

  ClipRequest request;
  request.seed = flags.seed;
  request.steps = flags.steps;
  request.fps = flags.fps;
  request.motion_bucket = flags.motion_bucket;
  request.noise_aug = flags.noise_aug;
  request.unrounded = !flags.float_frames.empty();
  const SamplingSpec sampling = pipeline.sampling(request);
  if (flags.stage.empty()) {
    request.image = read_bytes(flags.image);
    request.image_name = flags.image;
  }

  RunStats warmup_stats;
  RunStats stats;
  Frames frames;
  for (int i = 0; i < flags.warmup + flags.repeat; ++i) {
    const bool warming = i < flags.warmup;
    RunStats& into = warming ? warmup_stats : stats;
    if (!flags.stage.empty()) {
      pipeline.run_stage(flags.stage, flags.seed, into);
      if (interrupted != 0) throw Error("cancelled", Error::Kind::kCancelled);
      continue;
    }
    frames = pipeline.generate(request, into, [&](const Progress& progress) {
      if (!progress_on) return interrupted == 0;
      return show_progress(progress, warming ? "warm-up" : "clip", terminal);
    });
  }

  for (const auto& [name, stage] : stats.stages) {
    if (stage.why_not_packed.empty()) continue;
    std::fprintf(stderr, "mobilevd_runner: stage '%s' packed its weights in memory: %s\n",
                 name.c_str(), stage.why_not_packed.c_str());
  }
  if (!flags.float_frames.empty()) write_unrounded(frames, flags.float_frames);
  if (!flags.output.empty()) write_frames(frames, sampling.fps, flags.output);
  write_etdumps(flags, pipeline);
  if (!flags.json.empty()) {
    RunInfo info;
    info.stage = flags.stage;
    info.seed = flags.seed;
    if (flags.stage.empty()) info.sampling = sampling;
    info.warmup = flags.warmup;
    info.repeat = flags.repeat;
    info.verify_ms = pipeline.verify_ms();
    info.estimated_bytes = pipeline.estimated_bytes();
    info.output = flags.output;
    info.float_frames = flags.float_frames;
    write_file(flags.json, result_json(pipeline.bundle(), stats, info));
  }
  return 0;
}

void print_error(const char* what) {
  std::fprintf(stderr, "%smobilevd_runner: %s\n", line_open ? "\n" : "", what);
}

int exit_code(Error::Kind kind) {
  if (kind == Error::Kind::kUsage) return 2;
  return kind == Error::Kind::kCancelled ? 130 : 1;
}

}  // namespace
}  // namespace mobilevd

int main(int argc, char** argv) {
  try {
    const auto flags = mobilevd::parse_flags(argc, argv);
    return flags ? mobilevd::run(*flags) : 0;
  } catch (const mobilevd::Error& error) {
    mobilevd::print_error(error.what());
    return mobilevd::exit_code(error.kind());
  } catch (const std::exception& error) {  // out of memory, a bug
    mobilevd::print_error(error.what());
    return 1;
  }
}
