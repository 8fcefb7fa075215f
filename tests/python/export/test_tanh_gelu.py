"""What GELU's tanh form costs, measured on the shipped mini, without any Vulkan."""

import torch
from mobilevd.export.stages import make_stage
from mobilevd.export.tanh_gelu import TanhGelu
from mobilevd.models.store import load_model
from programs import relative_error
from torch import nn
from torch.nn import functional as F


def test_every_gelu_changes_form_and_only_within():
    x = torch.linspace(-6, 6, 1001)
    exact, tanh = F.gelu(x), F.gelu(x, approximate="tanh")
    with TanhGelu():
        for got in (F.gelu(x), F.gelu(x, approximate="none"), nn.GELU()(x)):
            torch.testing.assert_close(got, tanh, rtol=0, atol=0)
    assert torch.equal(F.gelu(x), exact)
    assert 1e-4 < (exact - tanh).abs().max() < 1e-3


@torch.no_grad()
def test_what_it_costs_mini():
    """Relative L2 of a stage's output; the parity of a Vulkan program is this or its own rounding,
    whichever is larger."""
    model = load_model("mini")
    cost = {}
    for name in ("unet", "image_encoder"):
        stage = make_stage(model, name, "vulkan")
        inputs = stage.example(seed=3)
        want = stage.module(*inputs)
        with TanhGelu():
            cost[name] = relative_error(stage.module(*inputs), want)
    print(cost)
    assert 1e-6 < cost["unet"] < 1e-3
    assert 1e-6 < cost["image_encoder"] < 1e-3
