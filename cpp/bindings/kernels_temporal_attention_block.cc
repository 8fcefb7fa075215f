// mobilevd._kernels.temporal_attention_block and what packs its weights.
#include <pybind11/stl.h>

#include <cmath>
#include <optional>
#include <string>
#include <tuple>
#include <utility>

#include "bindings/kernel_arrays.h"
#include "bindings/kernels.h"
#include "bindings/scratch.h"
#include "mobilevd/kernels/temporal_attention_block.h"

namespace py = pybind11;

namespace mobilevd::bindings {
namespace {

using Shape = kernels::TemporalAttentionBlockShape;

void check(const char* name, const py::array& array, std::initializer_list<const char*> layout,
           bool written = false) {
  check_array(name, array, written, /*half=*/false);
  check_dimensions(name, array, layout);
}

bool is_int8(const py::array& array) { return array.dtype().char_() == 'b'; }

/// The same for weights packed as int8.
void check_int8(const char* name, const py::array& array,
                std::initializer_list<const char*> layout) {
  check_int8_array(name, array);
  check_dimensions(name, array, layout);
}

void check_num_heads(std::int64_t num_heads) {
  if (num_heads >= 1 && num_heads <= 4096) return;
  throw py::value_error("num_heads: expected 1..4096, got " + std::to_string(num_heads));
}

std::int64_t head_dim(const char* name, std::int64_t width, std::int64_t num_heads) {
  const std::int64_t d = width / num_heads;
  if (width % num_heads != 0 || d < 8 || d > 128 || d % 8 != 0) {
    throw py::value_error(
        std::string(name) + ": expected num_heads = " + std::to_string(num_heads) +
        " times a head_dim of 8..128 in steps of 8 outputs, got " + std::to_string(width));
  }
  return d;
}

using Packed = std::tuple<py::array, std::optional<py::array>, py::array, std::optional<py::array>>;

/// (to_qkv, to_qkv_scale, to_out, to_out_scale), packed; float32 has no scales.
Packed pack(const py::array& to_q, const py::array& to_k, const py::array& to_v,
            const py::array& to_out, std::int64_t num_heads, bool int8) {
  check("to_q", to_q, {"heads * head_dim", "channels"});
  check("to_k", to_k, {"heads * head_dim", "channels"});
  check("to_v", to_v, {"heads * head_dim", "channels"});
  check("to_out", to_out, {"channels", "heads * head_dim"});
  check_num_heads(num_heads);
  const std::int64_t channels = to_q.shape(1), attended = to_v.shape(0);
  Shape shape;
  shape.channels = channels;
  shape.num_heads = num_heads;
  shape.head_dim_qk = head_dim("to_q", to_q.shape(0), num_heads);
  shape.head_dim_v = head_dim("to_v", attended, num_heads);
  check_sizes("to_k", to_k, {to_q.shape(0), channels}, "shape", " as to_q");
  check_sizes("to_v", to_v, {attended, channels}, "shape", " by the channels of to_q");
  check_sizes("to_out", to_out, {channels, attended}, "shape", ", to_v's the other way round");
  if (channels < 1 || channels > 65536) {
    throw py::value_error("to_q: expected 1..65536 channels, got " + describe(to_q));
  }
  if (int8 && attended > 65536) {
    throw py::value_error("to_v: int8 takes up to 65536 outputs, got " + describe(to_v));
  }

  const float *q = data<float>(to_q), *k = data<float>(to_k), *v = data<float>(to_v);
  const float* o = data<float>(to_out);
  const auto panels = [](std::int64_t n) { return (n + 15) / 16; };
  const auto groups = [](std::int64_t inputs) { return (inputs + 7) / 8; };
  const std::int64_t qkv_panels = panels(2 * to_q.shape(0) + attended);
  const std::int64_t out_panels = panels(channels), columns = 16, group = 8;
  if (!int8) {
    py::array_t<float> packed_qkv({qkv_panels, channels, columns});
    py::array_t<float> packed_out({out_panels, attended, columns});
    float *const qkv_data = packed_qkv.mutable_data(), *const out_data = packed_out.mutable_data();
    call_released([&] {
      return kernels::pack_temporal_attention_block(q, k, v, o, shape, qkv_data, out_data);
    });
    return {packed_qkv, std::nullopt, packed_out, std::nullopt};
  }
  py::array_t<std::int8_t> packed_qkv({qkv_panels, groups(channels), columns, group});
  py::array_t<std::int8_t> packed_out({out_panels, groups(attended), columns, group});
  py::array_t<float> qkv_scale(qkv_panels * columns), out_scale(out_panels * columns);
  std::int8_t* const qkv_data = packed_qkv.mutable_data();
  std::int8_t* const out_data = packed_out.mutable_data();
  float *const qkv_scales = qkv_scale.mutable_data(), *const out_scales = out_scale.mutable_data();
  call_released([&] {
    return kernels::pack_temporal_attention_block_int8(q, k, v, o, shape, qkv_data, qkv_scales,
                                                       out_data, out_scales);
  });
  return {packed_qkv, qkv_scale, packed_out, out_scale};
}

/// Checks packed weights against x; fills in the head widths.
void check_packed(const py::array& to_qkv, const std::optional<py::array>& to_qkv_scale,
                  const py::array& to_out, const std::optional<py::array>& to_out_scale,
                  Shape* shape) {
  const char* const why = ", packed for the channels of x";
  const std::int64_t out_panels = (shape->channels + 15) / 16;
  if (is_int8(to_qkv)) {
    check_int8("to_qkv", to_qkv, {"panels", "channels / 8", "16", "8"});
    check_int8("to_out", to_out, {"panels", "heads * head_dim / 8", "16", "8"});
    check_sizes("to_qkv", to_qkv, {to_qkv.shape(0), (shape->channels + 7) / 8, 16, 8}, "shape",
                why);
    check_sizes("to_out", to_out, {out_panels, to_out.shape(1), 16, 8}, "shape", why);
    if (!to_qkv_scale || !to_out_scale) throw py::value_error("int8 weights need their scales");
    check("to_qkv_scale", *to_qkv_scale, {"panels * 16"});
    check("to_out_scale", *to_out_scale, {"panels * 16"});
    check_sizes("to_qkv_scale", *to_qkv_scale, {to_qkv.shape(0) * 16}, "shape", ", one an output");
    check_sizes("to_out_scale", *to_out_scale, {out_panels * 16}, "shape", ", one an output");
  } else {
    check("to_qkv", to_qkv, {"panels", "channels", "16"});
    check("to_out", to_out, {"panels", "heads * head_dim", "16"});
    check_sizes("to_qkv", to_qkv, {to_qkv.shape(0), shape->channels, 16}, "shape", why);
    check_sizes("to_out", to_out, {out_panels, to_out.shape(1), 16}, "shape", why);
    if (to_qkv_scale || to_out_scale) throw py::value_error("float32 weights have no scales");
  }
  const std::int64_t attended = to_out.shape(1) * (is_int8(to_qkv) ? 8 : 1);
  if (!kernels::temporal_attention_block_head_dims(to_qkv.shape(0), attended, shape)) {
    throw py::value_error("to_qkv: these weights were not packed for num_heads = " +
                          std::to_string(shape->num_heads));
  }
}

void temporal_attention_block(const py::array& x, const py::array& norm_weight,
                              const py::array& norm_bias, const py::array& to_qkv,
                              const std::optional<py::array>& to_qkv_scale, const py::array& to_out,
                              const std::optional<py::array>& to_out_scale,
                              const py::array& out_bias, py::array out, std::int64_t num_heads,
                              std::optional<double> scale, double eps) {
  check("x", x, {"batch", "frames", "positions", "channels"});
  check("norm_weight", norm_weight, {"channels"});
  check("norm_bias", norm_bias, {"channels"});
  check("out_bias", out_bias, {"channels"});
  check("out", out, {"batch", "frames", "positions", "channels"}, true);
  check_shape("out", out, "x", x);
  check_num_heads(num_heads);
  if (x.shape(1) < 1 || x.shape(1) > 32) {
    throw py::value_error("x: expected 1 to 32 frames, got " + describe(x));
  }
  Shape shape{x.shape(0), x.shape(1), x.shape(2), x.shape(3), num_heads, 0, 0};
  for (const auto& [name, array] : {std::pair{"norm_weight", &norm_weight},
                                    {"norm_bias", &norm_bias},
                                    {"out_bias", &out_bias}}) {
    check_sizes(name, *array, {shape.channels}, "shape", ", the channels of x");
  }
  check_packed(to_qkv, to_qkv_scale, to_out, to_out_scale, &shape);

  const auto factor =
      static_cast<float>(scale ? *scale : 1 / std::sqrt(static_cast<double>(shape.head_dim_qk)));
  const float* const x_data = data<float>(x);
  float* const out_data = mutable_data<float>(out);
  const auto run = [&](const auto& weights, auto scratch_bytes) {
    call_released([&] {
      const std::size_t bytes = scratch_bytes(shape, static_cast<std::size_t>(lanes()));
      void* const scratch = thread_scratch(bytes);
      return kernels::temporal_attention_block(x_data, weights, out_data, shape, factor,
                                               static_cast<float>(eps), scratch, bytes, kPool);
    });
  };
  const float *norm_weight_data = data<float>(norm_weight),
              *norm_bias_data = data<float>(norm_bias);
  const float* out_bias_data = data<float>(out_bias);
  if (is_int8(to_qkv)) {
    run(
        kernels::TemporalAttentionBlockInt8Weights{
            norm_weight_data, norm_bias_data, data<std::int8_t>(to_qkv), data<float>(*to_qkv_scale),
            data<std::int8_t>(to_out), data<float>(*to_out_scale), out_bias_data},
        kernels::temporal_attention_block_int8_scratch_bytes);
  } else {
    run(kernels::TemporalAttentionBlockWeights{norm_weight_data, norm_bias_data,
                                               data<float>(to_qkv), data<float>(to_out),
                                               out_bias_data},
        kernels::temporal_attention_block_scratch_bytes);
  }
}

}  // namespace

void register_temporal_attention_block(py::module_& m) {
  m.def("pack_temporal_attention_block", &pack, py::arg("to_q").noconvert(),
        py::arg("to_k").noconvert(), py::arg("to_v").noconvert(), py::arg("to_out").noconvert(),
        py::arg("num_heads"), py::arg("int8"),
        "(to_qkv, to_qkv_scale, to_out, to_out_scale) as temporal_attention_block reads them.");
  m.def("temporal_attention_block", &temporal_attention_block, py::arg("x").noconvert(),
        py::arg("norm_weight").noconvert(), py::arg("norm_bias").noconvert(),
        py::arg("to_qkv").noconvert(), py::arg("to_qkv_scale").noconvert(),
        py::arg("to_out").noconvert(), py::arg("to_out_scale").noconvert(),
        py::arg("out_bias").noconvert(), py::arg("out").noconvert(), py::arg("num_heads"),
        py::arg("scale") = py::none(), py::arg("eps") = 1e-5,
        "Writes x + to_out(attention over frames of LayerNorm(x)) to out.");
}

}  // namespace mobilevd::bindings
