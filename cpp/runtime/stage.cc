#include "runtime/stage.h"

#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>
#include <executorch/runtime/backend/backend_options_map.h>
#include <executorch/runtime/backend/options.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <exception>

#include "runtime/backend_library.h"
#include "runtime/error.h"
#include "runtime/executorch_log.h"
#include "runtime/host.h"
#include "runtime/threads.h"
#if MOBILEVD_HAS_ETDUMP
#include <executorch/devtools/etdump/etdump_flatcc.h>
#endif

namespace mobilevd {

namespace et = executorch::runtime;
using executorch::aten::ScalarType;
using executorch::extension::Module;

namespace {

double milliseconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
      .count();
}

ScalarType scalar_type(const TensorSpec& spec) {
  return spec.dtype == "float16" ? ScalarType::Half : ScalarType::Float;
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

/// A delegate may throw (ExecuTorch's Vulkan runtime does): an Error of one line then.
template <typename Call>
auto in_backend(const StageSpec& stage, const char* doing, Call call) -> decltype(call()) {
  try {
    return call();
  } catch (const std::exception& error) {
    std::string what = error.what();
    std::replace(what.begin(), what.end(), '\n', ' ');
    throw Error("stage '" + stage.name + "': a backend gave up while " + doing + ": " + what);
  }
}

void check_tensor(const StageSpec& stage, const TensorSpec& spec,
                  const et::Result<et::TensorInfo>& info) {
  bool same = info.ok() && info->scalar_type() == scalar_type(spec) &&
              info->sizes().size() == spec.shape.size();
  for (std::size_t d = 0; same && d < spec.shape.size(); ++d) {
    same = info->sizes()[d] == spec.shape[d];
  }
  if (!same) {
    throw Error("stage '" + stage.name + "': tensor '" + spec.name + "' of bundle.json and of " +
                stage.program + " differ in shape or dtype; export the bundle again");
  }
}

void check_meta(const StageSpec& stage, Module& module) {
  const auto read = module.method_meta("forward");
  if (!read.ok()) {
    throw Error("stage '" + stage.name + "': " + stage.program +
                " is no ExecuTorch program with a forward method" + last_executorch_error());
  }
  const et::MethodMeta& meta = *read;
  const std::vector<std::string> backends = registered_backends();
  for (std::size_t i = 0; i < meta.num_backends(); ++i) {
    const auto name = meta.get_backend_name(i);
    if (name.ok() && std::find(backends.begin(), backends.end(), *name) == backends.end()) {
      throw Error("stage '" + stage.name + "' needs the backend " + *name +
                  ", which is not in this build (it has " + joined(backends) + "); " +
                  how_to_get_backend(*name));
    }
    if (name.ok() && !in_backend(stage, "starting", [&] { return backend_is_available(*name); })) {
      throw Error("stage '" + stage.name + "' needs the backend " + *name +
                  ", which cannot run on this machine" + how_to_make_available(*name));
    }
  }
  if (meta.num_inputs() != stage.inputs.size() || meta.num_outputs() != stage.outputs.size()) {
    throw Error("stage '" + stage.name + "': bundle.json and " + stage.program +
                " differ in the number of inputs or outputs; export the bundle again");
  }
  for (std::size_t i = 0; i < stage.inputs.size(); ++i) {
    check_tensor(stage, stage.inputs[i], meta.input_tensor_meta(i));
  }
  for (std::size_t i = 0; i < stage.outputs.size(); ++i) {
    check_tensor(stage, stage.outputs[i], meta.output_tensor_meta(i));
  }
}

/// Lets XNNPACK keep its packed weights in `file`. The names are those of its XNNPACKBackend.h,
/// which the wheel leaves out.
et::Error load_with_packed_weights(Module& module, const std::string& file) {
  et::BackendOptions<2> options;
  et::LoadBackendOptionsMap backends;
  et::Error error = options.set_option("weight_cache_enabled", true);
  if (error == et::Error::Ok) error = options.set_option("packed_cache_path", file.c_str());
  if (error == et::Error::Ok) error = backends.set_options("XnnpackBackend", options.view());
  return error == et::Error::Ok ? module.load(backends) : error;
}

void check_finite(const StageSpec& stage, const std::string& output,
                  const std::vector<float>& values) {
  const auto bad = std::count_if(values.begin(), values.end(),
                                 [](float value) { return !std::isfinite(value); });
  if (bad > 0) {
    throw Error("stage '" + stage.name + "' gave NaN or Inf in " + std::to_string(bad) + " of " +
                std::to_string(values.size()) + " values of '" + output +
                "'; if its precision is fp16, export it in fp32");
  }
}

}  // namespace

void check_required_ops(const StageSpec& stage) {
  const std::vector<std::string> ops = registered_ops();
  std::vector<std::string> missing;
  for (const std::string& op : stage.required_ops) {
    if (!std::binary_search(ops.begin(), ops.end(), op)) missing.push_back(op);
  }
  if (!missing.empty()) {
    throw Error("stage '" + stage.name + "' needs ops that no library here registers: " +
                joined(missing) + " (see mobilevd_runner --list-ops)");
  }
}

void check_program(const Bundle& bundle, const std::string& stage) {
  const StageSpec& spec = bundle.stage(stage);
  Module module(bundle.path(spec.program), Module::LoadMode::Mmap);
  check_meta(spec, module);
}

struct Stage::Loaded {
  StageSpec spec;
  StageLease lease;
  std::unique_ptr<Module> module;
  double load_ms = 0.0;
  double load_peak_rss_mb = 0.0;
  double run_ms = 0.0;
  PackedWeights::State packed = PackedWeights::State::kOff;
  std::vector<ops::OpCount> run_ops;
};

Stage::Stage(const Bundle& bundle, const std::string& name, bool record, PackedWeights* packed)
    : loaded_(std::make_unique<Loaded>()) {
  const StageSpec& spec = loaded_->spec = bundle.stage(name);
  check_required_ops(spec);

  std::unique_ptr<et::EventTracer> tracer;
#if MOBILEVD_HAS_ETDUMP
  if (record) tracer = std::make_unique<executorch::etdump::ETDumpGen>();
#else
  if (record) throw Error("this build has no ETDump", Error::Kind::kUsage);
#endif
  std::vector<std::string> weights;
  for (const std::string& file : spec.weights) weights.push_back(bundle.path(file));
  const auto start = std::chrono::steady_clock::now();
  loaded_->module = std::make_unique<Module>(bundle.path(spec.program), weights,
                                             Module::LoadMode::Mmap, std::move(tracer));
  Module& module = *loaded_->module;
  const std::string packed_file = packed == nullptr ? "" : packed->begin();
  // A load that fails leaves no file behind.
  const std::unique_ptr<PackedWeights, void (*)(PackedWeights*)> unfinished(
      packed, [](PackedWeights* file) { file->abandon(); });
  if (!packed_file.empty()) {
    const et::Error error = load_with_packed_weights(module, packed_file);
    // Of other errors check_meta() has more to say.
    if (error == et::Error::InvalidArgument) throw Error("ExecuTorch takes no " + packed_file);
  }
  check_meta(spec, module);
  const et::Error error = in_backend(spec, "loading", [&] { return module.load_forward(); });
  if (error == et::Error::OperatorMissing) {
    throw Error("stage '" + name + "' needs an op that no library here registers and that " +
                "bundle.json does not list" + last_executorch_error());
  }
  if (error != et::Error::Ok) {
    throw Error("stage '" + name + "': loading " + spec.program + " failed, error " +
                std::to_string(static_cast<int>(error)) + last_executorch_error());
  }
  loaded_->load_ms = milliseconds_since(start);
  loaded_->load_peak_rss_mb = recent_peak_rss_mb();
  if (!packed_file.empty()) {
    last_executorch_error();  // XNNPACK tells of files that it may not write into, which is meant
    const PackedWeights::State state = packed->state();
    packed->finish();
    if (packed->state() != PackedWeights::State::kOff) loaded_->packed = state;
  }
}

Stage::~Stage() = default;

double Stage::load_ms() const { return loaded_->load_ms; }
double Stage::load_peak_rss_mb() const { return loaded_->load_peak_rss_mb; }
PackedWeights::State Stage::packed_weights() const { return loaded_->packed; }
double Stage::last_run_ms() const { return loaded_->run_ms; }
const std::vector<ops::OpCount>& Stage::last_run_ops() const { return loaded_->run_ops; }

NamedOutputs Stage::run(const NamedInputs& inputs) {
  const StageSpec& spec = loaded_->spec;
  std::vector<executorch::extension::TensorPtr> tensors;
  std::vector<std::vector<executorch::aten::Half>> converted;
  std::vector<et::EValue> arguments;
  converted.reserve(spec.inputs.size());
  for (const TensorSpec& input : spec.inputs) {
    const auto found = inputs.find(input.name);
    if (found == inputs.end()) {
      throw Error("stage '" + spec.name + "': this runtime gives no input '" + input.name + "'");
    }
    // ExecuTorch takes a mutable pointer but copies inputs into its arena.
    void* data = const_cast<float*>(found->second);
    if (scalar_type(input) == ScalarType::Half) {
      converted.emplace_back(found->second, found->second + input.size());
      data = converted.back().data();
    }
    tensors.push_back(executorch::extension::from_blob(
        data, {input.shape.begin(), input.shape.end()}, scalar_type(input)));
    arguments.emplace_back(tensors.back());
  }

  last_executorch_error();  // none of an earlier call's
  const std::vector<ops::OpCount> before = ops::op_counts();
  const auto start = std::chrono::steady_clock::now();
  const auto result =
      in_backend(spec, "running", [&] { return loaded_->module->forward(arguments); });
  loaded_->run_ms = milliseconds_since(start);
  loaded_->run_ops = ops::calls_between(before, ops::op_counts());
  if (!result.ok()) {
    throw Error("stage '" + spec.name + "' failed with ExecuTorch error " +
                std::to_string(static_cast<int>(result.error())) + last_executorch_error());
  }

  NamedOutputs outputs;
  for (std::size_t i = 0; i < spec.outputs.size(); ++i) {
    const TensorSpec& output = spec.outputs[i];
    if (i >= result->size() || !(*result)[i].isTensor() ||
        static_cast<std::size_t>((*result)[i].toTensor().numel()) != output.size()) {
      throw Error("stage '" + spec.name + "': output '" + output.name + "' has a wrong size");
    }
    const auto tensor = (*result)[i].toTensor();
    std::vector<float>& values = outputs[output.name];
    if (scalar_type(output) == ScalarType::Half) {
      const auto* half = tensor.const_data_ptr<executorch::aten::Half>();
      values.assign(half, half + output.size());
    } else {
      const float* data = tensor.const_data_ptr<float>();
      values.assign(data, data + output.size());
    }
    check_finite(spec, output.name, values);
  }
  return outputs;
}

std::string Stage::take_etdump() {
#if MOBILEVD_HAS_ETDUMP
  auto* generator = static_cast<executorch::etdump::ETDumpGen*>(loaded_->module->event_tracer());
  if (generator != nullptr) {
    const executorch::etdump::ETDumpResult dump = generator->get_etdump_data();
    std::string bytes(static_cast<const char*>(dump.buf), dump.buf == nullptr ? 0 : dump.size);
    std::free(dump.buf);
    return bytes;
  }
#endif
  return {};
}

}  // namespace mobilevd
