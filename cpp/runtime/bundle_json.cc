#include <algorithm>
#include <string>

#include "runtime/bundle.h"
#include "runtime/error.h"
#include "runtime/json_node.h"
#include "runtime/version.h"

namespace mobilevd {

namespace {

// Big enough for any model here, small enough that products of a few do not overflow.
constexpr int64_t kMaxSize = 1 << 16;
constexpr int64_t kMaxBytes = int64_t{1} << 50;

std::string file_name(const JsonNode& node) {
  const std::string name = node.string();
  // Files lie directly in the bundle; nothing may point out of it.
  if (name.empty() || name[0] == '.' || name.find_first_of("/\\") != std::string::npos) {
    node.fail("must be a plain file name, not '" + name + "'");
  }
  return name;
}

std::vector<double> numbers(const JsonNode& node, std::size_t count) {
  if (node.array().size() != count) node.fail("must have " + std::to_string(count) + " numbers");
  std::vector<double> values;
  for (std::size_t i = 0; i < count; ++i) values.push_back(node.at(i).number());
  return values;
}

std::vector<TensorSpec> read_tensors(const JsonNode& node) {
  std::vector<TensorSpec> tensors;
  for (std::size_t i = 0; i < node.array().size(); ++i) {
    const JsonNode item = node.at(i);
    TensorSpec tensor;
    tensor.name = item.at("name").string();
    for (const TensorSpec& other : tensors) {
      if (other.name == tensor.name) item.at("name").fail("is there twice: '" + tensor.name + "'");
    }
    tensor.dtype = item.at("dtype").string();
    if (tensor.dtype != "float32" && tensor.dtype != "float16") {
      item.at("dtype").fail("must be float32 or float16, not '" + tensor.dtype + "'");
    }
    const JsonNode shape = item.at("shape");
    int64_t elements = 1;
    for (std::size_t d = 0; d < shape.array().size(); ++d) {
      tensor.shape.push_back(shape.at(d).integer(1, kMaxSize));
      elements *= tensor.shape.back();
      if (elements > (int64_t{1} << 34)) shape.fail("has too many elements");
    }
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

StageSpec read_stage(const std::string& name, const JsonNode& node) {
  StageSpec stage;
  stage.name = name;
  stage.program = file_name(node.at("program"));
  if (node.has("weights")) {
    const JsonNode weights = node.at("weights");
    for (std::size_t i = 0; i < weights.array().size(); ++i) {
      stage.weights.push_back(file_name(weights.at(i)));
    }
  }
  stage.inputs = read_tensors(node.at("inputs"));
  stage.outputs = read_tensors(node.at("outputs"));
  const JsonNode ops = node.at("required_ops");
  for (std::size_t i = 0; i < ops.array().size(); ++i) {
    stage.required_ops.push_back(ops.at(i).string());
  }
  stage.weight_bytes = static_cast<uint64_t>(node.at("weight_bytes").integer(0, kMaxBytes));
  stage.arena_bytes = static_cast<uint64_t>(node.at("arena_bytes").integer(0, kMaxBytes));
  if (node.has("workspace_bytes")) {  // bundles of before have none
    stage.workspace_bytes = static_cast<uint64_t>(node.at("workspace_bytes").integer(0, kMaxBytes));
  }
  stage.packable_bytes = node.has("delegates") ? 0 : stage.weight_bytes;
  if (node.has("delegates")) {
    const JsonNode delegates = node.at("delegates");
    for (std::size_t i = 0; i < delegates.array().size(); ++i) {
      const JsonNode delegate = delegates.at(i);
      const auto bytes = static_cast<uint64_t>(delegate.at("bytes").integer(0, kMaxBytes));
      stage.largest_delegate_bytes = std::max(stage.largest_delegate_bytes, bytes);
      // What multiplies no matrices has no weights that are packed.
      if (delegate.at("flops").number() > 0) stage.packable_bytes += bytes;
    }
  }
  if (node.has("delegated_share_ops")) {
    stage.delegated_share_ops = node.at("delegated_share_ops").number();
  }
  if (name == "image_encoder") {
    stage.image_mean = numbers(node.at("image").at("mean"), 3);
    stage.image_std = numbers(node.at("image").at("std"), 3);
    for (const double deviation : stage.image_std) {
      if (deviation <= 0.0) node.at("image").at("std").fail("must be above 0");
    }
  }
  return stage;
}

SamplingSpec read_sampling(const JsonNode& node) {
  SamplingSpec spec;
  spec.sampler = node.at("sampler").string();
  if (spec.sampler != "euler" && spec.sampler != "consistency") {
    node.at("sampler").fail("must be euler or consistency, not '" + spec.sampler + "'");
  }
  spec.steps = static_cast<int>(node.at("steps").integer(1, 1000));
  const JsonNode sigmas = node.at("sigmas");
  if (sigmas.at("schedule").string() != "karras") {
    sigmas.at("schedule").fail("must be karras, not '" + sigmas.at("schedule").string() + "'");
  }
  spec.sigma_min = sigmas.at("sigma_min").number();
  spec.sigma_max = sigmas.at("sigma_max").number();
  spec.rho = sigmas.at("rho").number();
  if (!(spec.sigma_min > 0.0 && spec.sigma_max > spec.sigma_min && spec.rho > 0.0)) {
    sigmas.fail("needs 0 < sigma_min < sigma_max and rho > 0");
  }
  if (sigmas.has("levels")) spec.levels = static_cast<int>(sigmas.at("levels").integer(1, 1000));
  const JsonNode guidance = node.at("guidance");
  spec.guidance_min = guidance.at("min").number();
  spec.guidance_max = guidance.at("max").number();
  spec.fps = node.at("fps").number();
  if (spec.fps < 1.0) node.at("fps").fail("must be at least 1");
  spec.motion_bucket = node.at("motion_bucket").number();
  spec.noise_aug = node.at("noise_aug").number();
  spec.latent_scale = node.at("latent_scale").number();
  if (spec.latent_scale <= 0.0) node.at("latent_scale").fail("must be above 0");
  spec.time_channels = static_cast<int>(node.at("time_channels").integer(2, kMaxSize));
  spec.added_time_channels = static_cast<int>(node.at("added_time_channels").integer(2, kMaxSize));
  if (spec.time_channels % 2 != 0 || spec.added_time_channels % 2 != 0) {
    node.fail("time_channels and added_time_channels must be even");
  }
  return spec;
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text;
  for (const int64_t size : shape) {
    text += (text.empty() ? "" : ", ") + (size < 0 ? std::string("*") : std::to_string(size));
  }
  return "[" + text + "]";
}

// A negative size matches anything.
void expect_shape(const StageSpec& stage, const TensorSpec& tensor,
                  const std::vector<int64_t>& expected) {
  bool same = tensor.shape.size() == expected.size();
  for (std::size_t d = 0; same && d < expected.size(); ++d) {
    same = expected[d] < 0 || tensor.shape[d] == expected[d];
  }
  if (!same) {
    throw Error("bundle.json: stage '" + stage.name + "', tensor '" + tensor.name + "' has shape " +
                shape_text(tensor.shape) + ", the clip's shapes need " + shape_text(expected));
  }
}

void check_shapes(const Bundle& bundle) {
  const ClipShapes& s = bundle.shapes;
  const StageSpec& encoder = bundle.stage("image_encoder");
  const StageSpec& vae_encoder = bundle.stage("vae_encoder");
  const StageSpec& unet = bundle.stage("unet");
  const StageSpec& decoder = bundle.stage("vae_decoder");
  const std::vector<int64_t> latents{1, s.frames, s.latent_channels, s.latent_height,
                                     s.latent_width};
  expect_shape(encoder, encoder.input("image"), {1, 3, -1, -1});
  expect_shape(encoder, encoder.output("image_embeds"), {1, 1, -1});
  expect_shape(vae_encoder, vae_encoder.input("image"), {1, 3, s.height, s.width});
  expect_shape(vae_encoder, vae_encoder.output("latents"),
               {1, s.latent_channels, s.latent_height, s.latent_width});
  std::vector<int64_t> sample{1, s.frames, 2 * s.latent_channels, s.latent_height, s.latent_width};
  // Backends that take at most four dimensions (HTP) have the one clip's frames first.
  if (unet.input("sample").shape.size() == 4) sample.erase(sample.begin());
  expect_shape(unet, unet.input("sample"), sample);
  expect_shape(unet, unet.input("timestep_sinusoid"), {1, bundle.sampling.time_channels});
  expect_shape(unet, unet.input("encoder_hidden_states"), encoder.output("image_embeds").shape);
  expect_shape(unet, unet.input("added_time_sinusoids"),
               {1, 3 * bundle.sampling.added_time_channels});
  expect_shape(unet, unet.output("v_prediction"), latents);
  expect_shape(decoder, decoder.input("latents"),
               {-1, s.latent_channels, s.latent_height, s.latent_width});
  const int64_t chunk = decoder.input("latents").shape[0];
  expect_shape(decoder, decoder.output("frames"), {chunk, 3, s.height, s.width});
  if (s.frames % chunk != 0) {
    throw Error("bundle.json: vae_decoder takes " + std::to_string(chunk) +
                " frames at a time, which does not divide the clip's " + std::to_string(s.frames));
  }
}

std::string major_minor(const std::string& version) {
  const std::size_t first = version.find('.');
  return version.substr(0, first == std::string::npos ? first : version.find('.', first + 1));
}

}  // namespace

Bundle parse_bundle(std::string_view text, const std::string& folder) {
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) throw Error("bundle.json in " + folder + " is not valid JSON");
  const JsonNode root(json, "");
  if (!json.is_object()) throw Error("bundle.json in " + folder + " must be an object");
  const int64_t schema = root.at("schema_version").integer(0, kMaxBytes);
  if (schema != kSchemaVersion) {
    throw Error("bundle.json has schema_version " + std::to_string(schema) +
                ", this runtime reads " + std::to_string(kSchemaVersion) +
                "; export the bundle with this version of mobilevd");
  }

  Bundle bundle;
  bundle.folder = folder;
  bundle.mobilevd_version = root.at("mobilevd_version").string();
  bundle.executorch_version = root.at("executorch_version").string();
  if (major_minor(bundle.executorch_version) != major_minor(kExecutorchVersion)) {
    throw Error("the bundle was exported with ExecuTorch " + bundle.executorch_version +
                ", this runtime has " + kExecutorchVersion + "; export it again");
  }
  // Files of packed weights begin with these two.
  bundle.preset = file_name(root.at("preset"));
  bundle.backend = root.at("backend").string();
  bundle.precision = file_name(root.at("precision"));

  const JsonNode shapes = root.at("shapes");
  bundle.shapes.frames = shapes.at("frames").integer(1, 1024);
  bundle.shapes.height = shapes.at("height").integer(1, kMaxSize);
  bundle.shapes.width = shapes.at("width").integer(1, kMaxSize);
  bundle.shapes.latent_channels = shapes.at("latent_channels").integer(1, 1024);
  bundle.shapes.latent_height = shapes.at("latent_height").integer(1, kMaxSize);
  bundle.shapes.latent_width = shapes.at("latent_width").integer(1, kMaxSize);
  bundle.sampling = read_sampling(root.at("sampling"));

  const JsonNode files = root.at("files");
  for (const auto& [name, unused] : files.object().items()) {
    const JsonNode entry = files.member(name);
    file_name(JsonNode(nlohmann::json(name), "files"));
    FileSpec file;
    file.bytes = static_cast<uint64_t>(entry.at("bytes").integer(0, kMaxBytes));
    file.sha256 = entry.at("sha256").string();
    bundle.files[name] = file;
  }
  const JsonNode stages = root.at("stages");
  for (const char* name : {"image_encoder", "vae_encoder", "unet", "vae_decoder"}) {
    StageSpec stage = read_stage(name, stages.at(name));
    for (const std::string& weights : stage.weights) {
      if (bundle.files.count(weights) == 0)
        stages.at(name).fail("needs " + weights + ", which `files` does not list");
    }
    if (bundle.files.count(stage.program) == 0) {
      stages.at(name).fail("needs " + stage.program + ", which `files` does not list");
    }
    bundle.stages[name] = std::move(stage);
  }
  check_shapes(bundle);
  return bundle;
}

}  // namespace mobilevd
