"""SVD's VAE and CLIP as stages: rewritten without change, exported, lowered."""

import dataclasses

import pytest
import torch
from mobilevd.export.flavour import Flavour
from mobilevd.export.lowering import lower
from mobilevd.export.quantize import quantized
from mobilevd.export.rewrites.attention import written_out_spatial_attention
from mobilevd.export.stages import make_stage
from mobilevd.models.store import Model
from mobilevd.models.svd_vae import SvdVaeConfig
from mobilevd.models.tiny_vae import TinyVaeConfig
from mobilevd.presets import get_preset
from programs import relative_error, run_program

TINY = TinyVaeConfig(width=8, encoder_blocks=(1, 1), decoder_blocks=(1, 1), native_scale=0.18215)


def small_model(tiny=None) -> Model:
    mini = get_preset("mini")
    vae = SvdVaeConfig(block_out_channels=(32, 64), tiny_decoder=tiny)
    unet = dataclasses.replace(mini.unet, num_frames=3)
    torch.manual_seed(0)
    model = Model.fresh(dataclasses.replace(mini, height=16, width=24, vae=vae, unet=unet))
    with torch.no_grad():
        for network in model.networks().values():
            for p in network.parameters():
                p.add_(0.05 * torch.randn_like(p))
            network.eval()
    return model


@pytest.mark.parametrize("name", ["image_encoder", "vae_encoder", "vae_decoder"])
@torch.no_grad()
def test_stage_equals_its_network(name):
    model = small_model()
    stage = make_stage(model, name, "xnnpack")
    if name == "vae_decoder":  # all frames at once: they see each other
        assert stage.inputs[0].shape == (3, 4, 8, 12)
        assert stage.outputs[0].shape == (3, 3, 16, 24)
    networks = {
        "image_encoder": model.image_encoder,
        "vae_encoder": model.vae.encoder,
        "vae_decoder": model.vae.decoder,
    }
    example = stage.example()
    want = networks[name](*example)
    program = torch.export.export(stage.module, example)
    torch.testing.assert_close(program.module()(*example), want, rtol=1e-4, atol=1e-5)
    assert want.shape == stage.outputs[0].shape
    if name != "image_encoder":
        cores = [m.core for m in stage.module.modules() if hasattr(m, "core")]
        assert cores == [written_out_spatial_attention]
        assert "scaled_dot_product_attention" not in str(program.graph)


OURS = {"conv2d_3x3.out", "group_norm_silu.out"}
UPSAMPLING = "cat.out"


@pytest.mark.parametrize(
    ("name", "tiny", "on_the_cpu"),
    [
        ("image_encoder", None, {"native_layer_norm.out"}),
        ("vae_encoder", None, OURS),
        ("vae_decoder", None, OURS | {"temporal_conv.out", UPSAMPLING}),
        ("vae_decoder", TINY, {"conv2d_3x3.out", UPSAMPLING, "_to_dim_order_copy.out"}),
    ],
    ids=["image_encoder", "vae_encoder", "temporal_decoder", "tiny_decoder"],
)
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@torch.no_grad()
def test_stage_lowers(tmp_path, name, tiny, on_the_cpu, precision):
    stage = make_stage(small_model(tiny), name, "xnnpack")
    lowered = lower(stage, Flavour("xnnpack", precision))
    # XNNPACK has attention, 1x1 convolutions and sums, but no casts.
    left = {op["op"] for op in lowered.report.to_dict()["cpu_ops"]}
    casts = {"_to_dim_order_copy.out"} if precision == "fp16" else set()
    if "native_layer_norm.out" in on_the_cpu and precision == "fp16":  # ours: export/half.py
        on_the_cpu = {"group_norm_silu.out"}
    assert left | casts == on_the_cpu | casts
    (tmp_path / "stage.pte").write_bytes(lowered.program)
    inputs = stage.example(seed=4)
    (got,) = run_program(tmp_path / "stage.pte", inputs)
    limit = 1e-4 if precision == "fp32" else 1e-2
    assert relative_error(got, stage.module(*inputs)) < limit


@pytest.mark.parametrize("name", ["vae_encoder", "vae_decoder"])
@torch.no_grad()
def test_stage_in_int8(tmp_path, name):
    """What writes latents or frames, SVD's own 1x1 and (3, 1) convolutions too, stays float."""
    stage = make_stage(small_model(None), name, "xnnpack")
    stage.calibration = [stage.example(seed=seed) for seed in range(3)]
    made = quantized(stage, Flavour("xnnpack", "int8"))
    targets = [str(node.target) for node in made.graph.nodes]
    assert not any("quantize" in target for target in targets)
    of_ours = {"conv2d_3x3_int8", "gemm_int8", "conv2d_3x3"}
    of_ours |= {"temporal_conv_int8"} if name == "vae_decoder" else set()
    found = {t.split(".")[1] for t in targets if t.startswith("mobilevd.")}
    assert found == of_ours | {"group_norm_silu"}
    lowered = lower(stage, Flavour("xnnpack", "int8"))
    (tmp_path / "stage.pte").write_bytes(lowered.program)
    inputs = stage.example(seed=4)
    (got,) = run_program(tmp_path / "stage.pte", inputs)
    assert relative_error(got, stage.module(*inputs)) < 0.05


@torch.no_grad()
def test_tiny_decoder_goes_frame_by_frame():
    stage = make_stage(small_model(TINY), "vae_decoder", "xnnpack")
    assert stage.inputs[0].shape == (1, 4, 8, 12)
    assert stage.module(*stage.example()).shape == stage.outputs[0].shape
