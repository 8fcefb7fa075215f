#include "runtime/stats.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "mobilevd/kernels/dispatch.h"
#include "runtime/host.h"
#include "runtime/version.h"

namespace mobilevd {

double Timings::total() const { return std::accumulate(values_.begin(), values_.end(), 0.0); }

double Timings::percentile(double share) const {
  if (values_.empty()) return 0.0;
  std::vector<double> sorted = values_;
  std::sort(sorted.begin(), sorted.end());
  const double rank = std::ceil(share * static_cast<double>(sorted.size()));
  return sorted[static_cast<std::size_t>(std::max(rank, 1.0)) - 1];
}

double Timings::median() const {
  if (values_.empty()) return 0.0;
  std::vector<double> sorted = values_;
  std::sort(sorted.begin(), sorted.end());
  const std::size_t n = sorted.size();
  return n % 2 == 1 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0;
}

namespace {

using Json = nlohmann::ordered_json;

// Microseconds are as fine as these clocks are worth.
double rounded(double value) { return std::round(value * 1000.0) / 1000.0; }

Json text_or_null(const std::string& text) { return text.empty() ? Json() : Json(text); }
Json number_or_null(const std::optional<double>& number) { return number ? Json(*number) : Json(); }

Json samples(const Timings& timings) {
  Json list = Json::array();
  for (const double ms : timings.values()) list.push_back(rounded(ms));
  return list;
}

Json ops_json(const std::map<std::string, OpStats>& ops) {
  Json list = Json::array();
  for (const auto& [name, op] : ops) {
    list.push_back(
        {{"name", name}, {"isa", op.isa}, {"calls", op.calls}, {"total_ms", rounded(op.total_ms)}});
  }
  return list;
}

const char* state_name(PackedWeights::State state) {
  switch (state) {
    case PackedWeights::State::kWritten:
      return "written";
    case PackedWeights::State::kRead:
      return "read";
    case PackedWeights::State::kOff:
      break;
  }
  return "off";
}

Json stage_json(const StageSpec& spec, const StageStats& stats) {
  return {{"load_ms", rounded(stats.loads.median())},
          {"packed_weights", state_name(stats.packed_weights)},
          {"peak_rss_mb", rounded(stats.peak_rss_mb)},
          {"calls", stats.runs.count()},
          {"min_ms", rounded(stats.runs.min())},
          {"median_ms", rounded(stats.runs.median())},
          {"p90_ms", rounded(stats.runs.p90())},
          {"total_ms", rounded(stats.runs.total())},
          {"runs_ms", samples(stats.runs)},
          {"delegated_share_ops", number_or_null(spec.delegated_share_ops)},
          {"ops", ops_json(stats.ops)}};
}

}  // namespace

std::string result_json(const Bundle& bundle, const RunStats& stats, const RunInfo& info) {
  const HostInfo host = host_info();
  double load_ms = 0.0;
  Json stages = Json::object();
  for (const char* name : {"image_encoder", "vae_encoder", "unet", "vae_decoder"}) {
    const auto found = stats.stages.find(name);
    if (found == stats.stages.end()) continue;
    load_ms += found->second.loads.median();
    stages[name] = stage_json(bundle.stage(name), found->second);
  }
  const auto setting = [&info](double SamplingSpec::* member) {
    return info.sampling ? Json(*info.sampling.*member) : Json();
  };
  const Json json = {
      {"schema_version", 1},
      {"tool", info.tool},
      {"mobilevd_version", kVersion},
      {"executorch_version", kExecutorchVersion},
      {"host", {{"arch", host.arch}, {"cpu", host.cpu}, {"cores", host.cores}}},
      {"bundle",
       {{"path", bundle.folder},
        {"preset", bundle.preset},
        {"backend", bundle.backend},
        {"precision", bundle.precision}}},
      {"stage", text_or_null(info.stage)},
      {"seed", info.seed},
      {"steps", info.sampling ? info.sampling->steps : 0},
      {"fps", setting(&SamplingSpec::fps)},
      {"motion_bucket", setting(&SamplingSpec::motion_bucket)},
      {"noise_aug", setting(&SamplingSpec::noise_aug)},
      {"nfe", stats.evaluations},
      {"threads", stats.threads},
      {"isa", kernels::isa_name(kernels::isa())},
      {"warmup", info.warmup},
      {"repeat", info.repeat},
      {"verify_ms", rounded(info.verify_ms)},
      {"load_ms", rounded(load_ms)},
      {"stages", stages},
      {"total_ms", rounded(stats.totals.median())},
      {"peak_rss_mb", rounded(peak_rss_mb())},
      {"estimated_rss_mb", rounded(static_cast<double>(info.estimated_bytes) / (1 << 20))},
      {"temperature_c", number_or_null(cpu_temperature_c())},
      {"output", text_or_null(info.output)},
      {"float_frames", text_or_null(info.float_frames)},
  };
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace mobilevd
