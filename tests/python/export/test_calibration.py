"""What is recorded for calibration is what the stages see."""

from __future__ import annotations

import torch
from mobilevd.export.calibration import calibration_inputs, recorded_calls
from mobilevd.export.stages import STAGES, make_stage
from mobilevd.models.store import load_model


@torch.no_grad()
def test_recorded_calls_fit_every_stage_and_reach_from_noise_to_clip(uncompressed_mini):
    model = load_model(uncompressed_mini)
    forward = model.unet.forward_sinusoids
    calls = recorded_calls(model, clips=1, steps=2)
    assert model.unet.forward_sinusoids == forward
    assert {name: len(made) for name, made in calls.items()} == {
        "image_encoder": 1,
        "vae_encoder": 1,
        "unet": 4,  # with and without conditioning
        "vae_decoder": 1,
    }
    for backend in ("xnnpack", "qnn"):
        for name in STAGES:
            stage = make_stage(model, name, backend)
            inputs = calibration_inputs(calls, stage)
            assert len(inputs) == {"unet": 4, "vae_decoder": 14}.get(name, 1)
            assert all(
                tuple(x.shape) == i.shape for x, i in zip(inputs[0], stage.inputs, strict=True)
            )
    noisy, token = calls["unet"][0][0], calls["unet"][0][2]
    assert abs(float(noisy[:, :, :4].std()) - 1) < 0.05
    assert token.abs().sum() > 0
    assert calls["unet"][1][2].abs().sum() == 0
    # The decoder's call is the model's own clip of that picture.
    last = calls["vae_decoder"][0][0]
    assert last.shape == (14, 4, 8, 8)
    assert torch.isfinite(last).all()
