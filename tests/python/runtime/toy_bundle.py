"""A bundle of four toy networks, so that whole clips run in milliseconds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mobilevd.kernels.torch_ops  # noqa: F401 - registers torch.ops.mobilevd
import torch
from mobilevd.export.flavour import Flavour
from mobilevd.export.lowering import Lowered
from mobilevd.export.lowering import lower as lower_stage
from mobilevd.export.manifest import SCHEMA_VERSION
from mobilevd.export.stages import Stage as ExportStage
from mobilevd.export.stages import Tensor as ExportTensor
from torch import Tensor, nn

FRAMES, HEIGHT, WIDTH = 4, 16, 24
LATENT = (4, 4, 6)
TOKEN, TIME, ADDED = 12, 32, 16


class ImageEncoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(3 * 8 * 8, TOKEN)

    def forward(self, image: Tensor) -> Tensor:
        return self.project(image.flatten(1)).unsqueeze(1)


class VaeEncoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, LATENT[0], 4, stride=4)

    def forward(self, image: Tensor) -> Tensor:
        return self.conv(image)


class Unet(nn.Module):
    """Every input matters; frames talk to each other through our op."""

    def __init__(self) -> None:
        super().__init__()
        self.time = nn.Linear(TIME, 8)
        self.added = nn.Linear(3 * ADDED, 8)
        self.token = nn.Linear(TOKEN, 8)
        self.inner = nn.Linear(8, 8)
        self.out = nn.Linear(8, LATENT[0])

    def forward(
        self,
        sample: Tensor,
        timestep_sinusoid: Tensor,
        encoder_hidden_states: Tensor,
        added_time_sinusoids: Tensor,
    ) -> Tensor:
        bias = self.time(timestep_sinusoid) + self.added(added_time_sinusoids)
        bias = bias + self.token(encoder_hidden_states[:, 0])
        positions = LATENT[1] * LATENT[2]
        x = sample.reshape(1, FRAMES, 8, positions).transpose(2, 3).contiguous()
        x = torch.tanh(self.inner(x) + bias.reshape(1, 1, 1, 8))
        x = x + torch.ops.mobilevd.temporal_attention(x, x, x, 1)
        x = self.out(x).transpose(2, 3)
        return x.reshape(1, FRAMES, *LATENT)


class NanUnet(Unet):
    """Goes wrong only when it runs."""

    def forward(self, sample: Tensor, *others: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(torch.log(sample - 1e9), *others)


class RefusedUnet(Unet):
    """Asks a kernel of ours for what it refuses."""

    def forward(self, sample: Tensor, *others: Tensor) -> Tensor:  # type: ignore[override]
        frames = super().forward(sample, *others).reshape(FRAMES, *LATENT)
        ones = torch.ones(LATENT[0])
        normalised = torch.ops.mobilevd.group_norm_silu(frames, ones, ones, 2, -1.0)
        return normalised.reshape(1, FRAMES, *LATENT)


class VaeDecoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(LATENT[0], 3, 4, stride=4)

    def forward(self, latents: Tensor) -> Tensor:
        return torch.tanh(self.up(latents))


Shapes = dict[str, tuple[int, ...]]
UNET_INPUTS: Shapes = {
    "sample": (1, FRAMES, 8, *LATENT[1:]),
    "timestep_sinusoid": (1, TIME),
    "encoder_hidden_states": (1, 1, TOKEN),
    "added_time_sinusoids": (1, 3 * ADDED),
}
STAGES: dict[str, tuple[Callable[[], nn.Module], Shapes, Shapes]] = {
    "image_encoder": (ImageEncoder, {"image": (1, 3, 8, 8)}, {"image_embeds": (1, 1, TOKEN)}),
    "vae_encoder": (VaeEncoder, {"image": (1, 3, HEIGHT, WIDTH)}, {"latents": (1, *LATENT)}),
    "unet": (Unet, UNET_INPUTS, {"v_prediction": (1, FRAMES, *LATENT)}),
    "vae_decoder": (VaeDecoder, {"latents": (2, *LATENT)}, {"frames": (2, 3, HEIGHT, WIDTH)}),
}


def lower(module: nn.Module, shapes: Shapes) -> tuple[bytes, list[str]]:
    """The XNNPACK program, weights and all, and the ops it calls outside the delegate."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    example = tuple(torch.rand(shape) for shape in shapes.values())
    exported = torch.export.export(module.eval(), example)
    program = to_edge_transform_and_lower(
        exported, partitioner=[XnnpackPartitioner()]
    ).to_executorch()
    operators = program.executorch_program.execution_plan[0].operators
    return program.buffer, [f"{op.name}.{op.overload}" for op in operators]


def tensors(shapes: Shapes) -> list[dict[str, Any]]:
    return [{"name": n, "dtype": "float32", "shape": list(s)} for n, s in shapes.items()]


def lower_outside(
    name: str, module: nn.Module, inputs: Shapes, outputs: Shapes, spool: Path
) -> Lowered:
    """As ``mobilevd export`` does it: weights beside the program."""
    sides = [tuple(ExportTensor(n, s) for n, s in side.items()) for side in (inputs, outputs)]
    return lower_stage(ExportStage(name, module.eval(), sides[0], sides[1]), Flavour(), spool)


def write_toy_bundle(
    folder: Path, unet: Callable[[], nn.Module] = Unet, outside: bool = False
) -> Path:
    """``outside``: with the weights in files of their own, whose packed form can be kept."""
    folder.mkdir(parents=True)
    stages: dict[str, Any] = {}
    files: dict[str, Any] = {}
    for number, (name, (make, inputs, outputs)) in enumerate(STAGES.items()):
        torch.manual_seed(number)
        module = (unet if name == "unet" else make)()
        contents: dict[str, bytes] = {}
        if outside:
            lowered = lower_outside(name, module, inputs, outputs, folder)
            program, ops = lowered.program, lowered.report.required_ops
            contents = {f"{key}.ptd": bytes(cord) for key, cord in lowered.weights.items()}
        else:
            program, ops = lower(module, inputs)
        for file, content in {f"{name}.pte": program, **contents}.items():
            (folder / file).write_bytes(content)
            digest = hashlib.sha256(content).hexdigest()
            files[file] = {"bytes": len(content), "sha256": digest}
        stages[name] = {
            "program": f"{name}.pte",
            "weights": list(contents),
            "inputs": tensors(inputs),
            "outputs": tensors(outputs),
            "required_ops": ops,
            "weight_bytes": 1000,
            "arena_bytes": 1000,
            "delegated_share_ops": 0.5,
        }
    stages["image_encoder"]["image"] = {"mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28]}
    bundle = {
        "schema_version": SCHEMA_VERSION,
        "mobilevd_version": "0.1.0",
        "executorch_version": "1.5.1",
        "preset": "toy",
        "backend": "xnnpack",
        "precision": "fp32",
        "shapes": {
            "frames": FRAMES,
            "height": HEIGHT,
            "width": WIDTH,
            "latent_channels": LATENT[0],
            "latent_height": LATENT[1],
            "latent_width": LATENT[2],
        },
        "sampling": {
            "sampler": "euler",
            "steps": 3,
            "sigmas": {
                "schedule": "karras",
                "sigma_min": 0.002,
                "sigma_max": 700.0,
                "rho": 7.0,
                "levels": None,
            },
            "guidance": {"min": 1.0, "max": 3.0},
            "fps": 7,
            "motion_bucket": 127,
            "noise_aug": 0.02,
            "latent_scale": 0.18215,
            "time_channels": TIME,
            "added_time_channels": ADDED,
        },
        "stages": stages,
        "files": files,
    }
    (folder / "bundle.json").write_text(json.dumps(bundle, indent=1))
    return folder
