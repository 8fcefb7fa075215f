"""Every stage of every large preset exports at its full size, on the meta device.

Shapes, views and the graph are the real ones; no weight has a value and nothing is computed. What
lowering makes of the same modules is tested at small sizes (test_svd_vae_stages, test_mini_bundle,
cli/test_compress_export).
"""

import pytest
import torch
from mobilevd.export.stages import STAGES, make_stage
from mobilevd.models.store import Model
from mobilevd.presets import PRESETS, get_preset
from small_networks import give_blends_values

LARGE = [name for name in PRESETS if not name.startswith("mini")]
# CLIP is ViT-H in all of them: once is enough.
CASES = [
    pytest.param(p, s, marks=[] if p == "mobilevd-512x256" else pytest.mark.slow)
    for p in LARGE
    for s in STAGES
    if s != "image_encoder" or p == LARGE[0]
]


def meta_model(name: str) -> Model:
    with torch.device("meta"):
        model = Model.fresh(get_preset(name))
    for network in model.networks().values():
        give_blends_values(network)
    return model


@pytest.mark.parametrize(("preset", "stage_name"), CASES)
@torch.no_grad()
def test_stage_exports(preset, stage_name):
    stage = make_stage(meta_model(preset), stage_name, "xnnpack")
    inputs = tuple(torch.empty(i.shape, device="meta") for i in stage.inputs)
    program = torch.export.export(stage.module, inputs, strict=False)
    (output,) = (n for n in program.graph.nodes if n.op == "output")
    assert tuple(output.args[0][0].meta["val"].shape) == stage.outputs[0].shape
    targets = [str(n.target) for n in program.graph.nodes]
    assert not any("scaled_dot_product" in t for t in targets)
    unet = get_preset(preset).unet
    if stage_name == "unet":
        blocks = unet.temporal_blocks
        kept = 16 if blocks is None else sum("transformer" in path for path in blocks)
        assert targets.count("mobilevd.temporal_attention.default") == kept
