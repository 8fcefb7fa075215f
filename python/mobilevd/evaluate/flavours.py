"""One truth for all flavours: the same inputs through bundles and through eager PyTorch.

Each stage gets what it sees on the way of a real picture to a clip in one evaluation at sigma_max;
then each flavour decodes its own prediction, and the frames are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ..export.calibration import Inputs, fitted, recorded_calls
from ..export.manifest import read_bundle
from ..export.stages import STAGES
from ..models.preconditioning import denoised
from ..models.store import Model
from ..psnr import psnr_db
from .parity.measure import check_same
from .programs import prepare_runtime, run_calls, weights_file

Run = Callable[[str, Inputs], torch.Tensor]  # stage, its inputs -> its output


def eager(model: Model) -> Run:
    """The model as it was trained: no rewrite, no lowering."""
    networks: dict[str, Callable[..., torch.Tensor]] = {
        "image_encoder": model.image_encoder,
        "vae_encoder": model.vae.encoder,
        "unet": model.unet.forward_sinusoids,
        "vae_decoder": model.vae.decoder,
    }
    return lambda stage, inputs: networks[stage](*inputs)


def programs(bundle: Path, manifest: Mapping[str, Any], backend_libs: Sequence[Path] = ()) -> Run:
    """A bundle's programs in this process; QNN's run in the HTP emulator."""
    prepare_runtime(manifest["backend"], backend_libs)

    def run(stage: str, inputs: Inputs) -> torch.Tensor:
        entry = manifest["stages"][stage]
        parts = fitted(inputs, [i["shape"] for i in entry["inputs"]])
        return torch.cat(run_calls(bundle / entry["program"], parts, weights_file(bundle, entry)))

    return run


def name_of(manifest: Mapping[str, Any]) -> str:
    return f"{manifest['backend']} {manifest['precision']}"


@torch.no_grad()
def compare(
    model: Model,
    bundles: Sequence[Path],
    progress: Callable[[int, int, str], object] = lambda done, total, what: None,
    backend_libs: Sequence[Path] = (),
) -> list[dict[str, Any]]:
    """Rows against eager, a bundle and stage each (``relative_l2``, ``max_abs``), and rows of
    ``psnr_db`` of the decoded frames for every two flavours, eager among them. ValueError for a
    bundle of another model."""
    manifests = {bundle: read_bundle(bundle) for bundle in bundles}
    for manifest in manifests.values():
        check_same(manifest, model)
    calls = recorded_calls(model, clips=1, steps=1)
    given = {stage: calls[stage][0] for stage in STAGES}  # of the UNet, the conditional evaluation
    flavours: dict[str, Run] = {"eager": eager(model)}
    for bundle, manifest in manifests.items():
        flavours[name_of(manifest)] = programs(bundle, manifest, backend_libs)
    rows: list[dict[str, Any]] = []
    want: dict[str, torch.Tensor] = {}
    frames: dict[str, torch.Tensor] = {}
    total = len(flavours) * (len(STAGES) + 1)
    for n, (name, run) in enumerate(flavours.items()):
        for i, stage in enumerate(STAGES):
            progress(n * (len(STAGES) + 1) + i, total, f"{name} {stage}")
            got = run(stage, given[stage])
            if stage == "unet":
                prediction = got
            if name == "eager":
                want[stage] = got
                continue
            error = got - want[stage]
            rows.append(
                {
                    "name": f"{name} {stage}",
                    "relative_l2": float(error.norm() / want[stage].norm()),
                    "max_abs": float(error.abs().max()),
                }
            )
        progress(n * (len(STAGES) + 1) + len(STAGES), total, f"{name} frames")
        frames[name] = _decoded(model, run, given["unet"][0], prediction)
    names = list(frames)
    rows += [
        {"name": f"{a} | {b}", "psnr_db": float(psnr_db(frames[a], frames[b]))}
        for i, a in enumerate(names)
        for b in names[i + 1 :]
    ]
    return rows


def _decoded(model: Model, run: Run, sample: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Frames [F, 3, H, W] in [0, 1] of a flavour's prediction at sigma_max, by its own decoder."""
    preset = model.preset
    sigma = torch.tensor(preset.sampling.sigma_max, dtype=torch.float64)
    noisy = sample[:, :, : preset.vae.latent_channels].double() * (sigma**2 + 1).sqrt()
    latents = (denoised(noisy, v.double(), sigma)[0] / preset.vae.latent_scale).float()
    return (run("vae_decoder", (latents,)) / 2 + 0.5).clamp(0, 1)
