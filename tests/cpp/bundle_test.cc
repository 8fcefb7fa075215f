#include "runtime/bundle.h"

#include <functional>
#include <nlohmann/json.hpp>

#include "runtime/error.h"
#include "runtime/sha256.h"
#include "runtime/version.h"
#include "scratch_folder.h"

namespace mobilevd {
namespace {

using Json = nlohmann::json;

Json tensor(const char* name, std::vector<int> shape) {
  return {{"name", name}, {"dtype", "float32"}, {"shape", std::move(shape)}};
}

Json stage(const std::string& name, Json inputs, Json outputs) {
  return {{"program", name + ".pte"},
          {"weights", Json::array()},
          {"inputs", std::move(inputs)},
          {"outputs", std::move(outputs)},
          {"required_ops", {"aten::add.out"}},
          {"weight_bytes", 1000},
          {"arena_bytes", 2000},
          {"delegated_share_ops", 0.5}};
}

Json good_bundle() {
  Json json = {{"schema_version", kSchemaVersion},
               {"mobilevd_version", "0.1.0"},
               {"executorch_version", kExecutorchVersion},
               {"preset", "toy"},
               {"backend", "xnnpack"},
               {"precision", "fp32"},
               {"shapes",
                {{"frames", 4},
                 {"height", 16},
                 {"width", 24},
                 {"latent_channels", 4},
                 {"latent_height", 4},
                 {"latent_width", 6}}},
               {"sampling",
                {{"sampler", "euler"},
                 {"steps", 3},
                 {"sigmas",
                  {{"schedule", "karras"},
                   {"sigma_min", 0.002},
                   {"sigma_max", 700.0},
                   {"rho", 7.0},
                   {"levels", nullptr}}},
                 {"guidance", {{"min", 1.0}, {"max", 3.0}}},
                 {"fps", 7},
                 {"motion_bucket", 127},
                 {"noise_aug", 0.02},
                 {"latent_scale", 0.18215},
                 {"time_channels", 32},
                 {"added_time_channels", 16}}}};
  json["stages"]["image_encoder"] =
      stage("image_encoder", {tensor("image", {1, 3, 8, 8})}, {tensor("image_embeds", {1, 1, 12})});
  json["stages"]["image_encoder"]["image"] = {{"mean", {0.5, 0.5, 0.5}}, {"std", {0.2, 0.2, 0.2}}};
  json["stages"]["vae_encoder"] =
      stage("vae_encoder", {tensor("image", {1, 3, 16, 24})}, {tensor("latents", {1, 4, 4, 6})});
  json["stages"]["unet"] =
      stage("unet",
            {tensor("sample", {1, 4, 8, 4, 6}), tensor("timestep_sinusoid", {1, 32}),
             tensor("encoder_hidden_states", {1, 1, 12}), tensor("added_time_sinusoids", {1, 48})},
            {tensor("v_prediction", {1, 4, 4, 4, 6})});
  json["stages"]["vae_decoder"] =
      stage("vae_decoder", {tensor("latents", {2, 4, 4, 6})}, {tensor("frames", {2, 3, 16, 24})});
  for (const char* name : {"image_encoder", "vae_encoder", "unet", "vae_decoder"}) {
    json["files"][std::string(name) + ".pte"] = {{"bytes", 100}, {"sha256", "00"}};
  }
  return json;
}

Bundle parse(const Json& json) { return parse_bundle(json.dump(), "folder"); }

TEST(BundleJson, ReadsAGoodOne) {
  const Bundle bundle = parse(good_bundle());
  EXPECT_EQ(bundle.preset, "toy");
  EXPECT_EQ(bundle.shapes.width, 24);
  EXPECT_EQ(bundle.sampling.steps, 3);
  EXPECT_EQ(bundle.sampling.levels, 40);  // null: the default
  EXPECT_EQ(bundle.stage("unet").inputs[0].size(), 4u * 8 * 4 * 6);
  EXPECT_EQ(bundle.stage("unet").delegated_share_ops, 0.5);
  EXPECT_EQ(bundle.path("unet.pte"), "folder/unet.pte");
}

TEST(BundleJson, EstimateIsTheLargestStageOrTheSum) {
  const Bundle bundle = parse(good_bundle());
  EXPECT_EQ(estimate_memory(bundle, true) - estimate_memory(bundle, false), 3u * 3100u);
}

TEST(BundleJson, WeightsOutsideCountOnceAndTwiceWhileTheyArePacked) {
  Json json = good_bundle();
  const uint64_t inside = estimate_memory(parse(json), false);
  json["files"]["unet.ptd"] = {{"bytes", 50 << 20}, {"sha256", "00"}};
  Json& unet = json["stages"]["unet"];
  unet["weights"] = {"unet.ptd"};
  unet["weight_bytes"] = 50 << 20;
  unet["workspace_bytes"] = 7 << 20;
  unet["delegates"] = {{{"bytes", 10 << 20}, {"flops", 2}},
                       {{"bytes", 30 << 20}, {"flops", 1}},
                       {{"bytes", 9 << 20}, {"flops", 0}}};
  const Bundle bundle = parse(json);
  const uint64_t base = inside - 3100u;
  const uint64_t arena = bundle.stage("unet").arena_bytes;
  const auto packed = [](const std::string& stage) { return stage == "unet"; };
  EXPECT_EQ(estimate_memory(bundle, false, packed), base + (57u << 20) + arena);
  EXPECT_EQ(estimate_memory(bundle, false), base + (87u << 20) + arena);
  EXPECT_EQ(estimate_memory(bundle, true), estimate_memory(bundle, false) + 3u * 3100u);
  EXPECT_EQ(bundle.stage("unet").packable_bytes, 40u << 20);  // of those that multiply matrices
  unet.erase("delegates");
  EXPECT_EQ(parse(json).stage("unet").packable_bytes, 50u << 20);
}

TEST(BundleJson, OnlyOneStageAndItsFiles) {
  const Bundle bundle = parse(good_bundle());
  const Bundle only = bundle.only("unet");
  EXPECT_EQ(only.stages.size(), 1u);
  EXPECT_EQ(only.files.size(), 1u);
  EXPECT_EQ(only.files.count(only.stage("unet").program), 1u);
  EXPECT_NE(testing::error_of([&] { bundle.only("nope"); }).find("no stage 'nope'"),
            std::string::npos);
}

struct BadCase {
  const char* name;
  std::function<void(Json&)> spoil;
  const char* message;
};

// Each spoils one thing; the message must say which.
const BadCase kBadCases[] = {
    {"SchemaVersion", [](Json& j) { j["schema_version"] = 99; }, "schema_version 99"},
    {"SchemaText", [](Json& j) { j["schema_version"] = "1"; }, "schema_version must be an integer"},
    {"NoSchema", [](Json& j) { j.erase("schema_version"); }, "schema_version is missing"},
    {"ExecutorchVersion", [](Json& j) { j["executorch_version"] = "1.4.0"; },
     "exported with ExecuTorch 1.4.0"},
    {"NoPreset", [](Json& j) { j.erase("preset"); }, "preset is missing"},
    {"PresetElsewhere", [](Json& j) { j["preset"] = "/tmp/x"; },
     "preset must be a plain file name"},
    {"PrecisionElsewhere", [](Json& j) { j["precision"] = "../x"; },
     "precision must be a plain file name"},
    {"OutputTwice",
     [](Json& j) {
       Json& outputs = j["stages"]["unet"]["outputs"];
       outputs.push_back(outputs[0]);
     },
     "stages.unet.outputs[1].name is there twice: 'v_prediction'"},
    {"NoFrames", [](Json& j) { j["shapes"].erase("frames"); }, "shapes.frames is missing"},
    {"ZeroFrames", [](Json& j) { j["shapes"]["frames"] = 0; }, "shapes.frames must be between 1"},
    {"HugeHeight", [](Json& j) { j["shapes"]["height"] = 1e30; },
     "shapes.height must be an integer"},
    {"Sampler", [](Json& j) { j["sampling"]["sampler"] = "ddim"; }, "not 'ddim'"},
    {"Steps", [](Json& j) { j["sampling"]["steps"] = -3; }, "sampling.steps must be between"},
    {"Schedule", [](Json& j) { j["sampling"]["sigmas"]["schedule"] = "linear"; }, "must be karras"},
    {"Sigmas", [](Json& j) { j["sampling"]["sigmas"]["sigma_min"] = 1000.0; }, "sigma_min"},
    {"Fps", [](Json& j) { j["sampling"]["fps"] = 0; }, "sampling.fps must be at least 1"},
    {"OddChannels", [](Json& j) { j["sampling"]["time_channels"] = 33; }, "must be even"},
    {"Scale", [](Json& j) { j["sampling"]["latent_scale"] = 0; }, "latent_scale must be above 0"},
    {"NoStage", [](Json& j) { j["stages"].erase("unet"); }, "stages.unet is missing"},
    {"NoOps", [](Json& j) { j["stages"]["unet"].erase("required_ops"); },
     "stages.unet.required_ops is missing"},
    {"NoMean", [](Json& j) { j["stages"]["image_encoder"].erase("image"); },
     "stages.image_encoder.image is missing"},
    {"ZeroStd", [](Json& j) { j["stages"]["image_encoder"]["image"]["std"] = {1, 0, 1}; },
     "std must be above 0"},
    {"Dtype", [](Json& j) { j["stages"]["unet"]["inputs"][0]["dtype"] = "int8"; },
     "stages.unet.inputs[0].dtype must be float32 or float16"},
    {"InputName", [](Json& j) { j["stages"]["unet"]["inputs"][0]["name"] = "x"; },
     "stage 'unet' has no input 'sample'"},
    {"InputShape", [](Json& j) { j["stages"]["unet"]["inputs"][0]["shape"] = {1, 4, 4, 4, 6}; },
     "'sample' has shape [1, 4, 4, 4, 6], the clip's shapes need [1, 4, 8, 4, 6]"},
    {"Chunk",
     [](Json& j) {
       j["stages"]["vae_decoder"]["inputs"][0]["shape"][0] = 3;
       j["stages"]["vae_decoder"]["outputs"][0]["shape"][0] = 3;
     },
     "does not divide"},
    {"UnlistedProgram", [](Json& j) { j["files"].erase("unet.pte"); }, "needs unet.pte"},
    {"UnlistedWeights", [](Json& j) { j["stages"]["unet"]["weights"] = {"w.ptd"}; }, "needs w.ptd"},
    {"ProgramElsewhere", [](Json& j) { j["stages"]["unet"]["program"] = "../unet.pte"; },
     "plain file name"},
    {"FileElsewhere", [](Json& j) { j["files"]["/etc/passwd"] = {{"bytes", 1}, {"sha256", ""}}; },
     "plain file name"},
    {"NegativeBytes", [](Json& j) { j["files"]["unet.pte"]["bytes"] = -1; },
     "files.unet.pte.bytes"},
    {"StagesList", [](Json& j) { j["stages"] = Json::array(); }, "stages must be an object"},
};

class BadBundle : public ::testing::TestWithParam<BadCase> {};

TEST_P(BadBundle, IsNamed) {
  Json json = good_bundle();
  GetParam().spoil(json);
  const std::string message = testing::error_of([&] { parse(json); });
  EXPECT_NE(message.find(GetParam().message), std::string::npos) << message;
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
}

INSTANTIATE_TEST_SUITE_P(BundleJson, BadBundle, ::testing::ValuesIn(kBadCases),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(BundleJson, NoJsonAtAll) {
  for (const char* text : {"", "{", "[1]", "null", "\xff\xfe"}) {
    testing::error_of([&] { parse_bundle(text, "folder"); });
  }
}

using BundleFiles = testing::ScratchFolder;

TEST_F(BundleFiles, MissingSizeAndHash) {
  const std::string content = "program";
  Sha256 hash;
  hash.update(content.data(), content.size());
  Bundle bundle;
  bundle.folder = folder_.string();
  bundle.files["a.pte"] = {content.size(), hash.hex_digest()};
  EXPECT_NE(testing::error_of([&] { check_files(bundle); }).find("is missing"), std::string::npos);
  put("a.pte", content);
  check_files(bundle);
  put("a.pte", "prograM");
  EXPECT_NE(testing::error_of([&] { check_files(bundle); }).find("sha256"), std::string::npos);
  check_files(bundle, /*hashes=*/false);
  put("a.pte", "prog");
  EXPECT_NE(testing::error_of([&] { check_files(bundle, false); }).find("4 bytes"),
            std::string::npos);
}

TEST_F(BundleFiles, NoBundleHere) {
  EXPECT_NE(testing::error_of([&] { read_bundle(folder_.string()); }).find("bundle.json"),
            std::string::npos);
}

TEST(BundleStage, UnknownOneListsTheKnown) {
  const Bundle bundle = parse(good_bundle());
  EXPECT_NE(testing::error_of([&] {
              bundle.stage("nope");
            }).find("it has image_encoder, unet, vae_decoder, vae_encoder"),
            std::string::npos);
}

}  // namespace
}  // namespace mobilevd
