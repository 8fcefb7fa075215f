"""A bundle: a folder with ``bundle.json`` and one program per stage, checked by sha256."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .. import __version__
from ..models.parts import Parts, whole
from ..presets import Preset
from ..whole_files import whole_folder
from .files import spool_folder, write_hashed
from .flavour import Flavour
from .lowering import lower
from .manifest import SCHEMA_VERSION, listed_files
from .room import check_room
from .stages import NETWORKS, STAGES, Stage, make_stage

DEFAULT_FLAVOUR = Flavour()


def describe(preset: Preset, flavour: Flavour) -> dict[str, Any]:
    """``bundle.json`` without stages and files."""
    s, unet, (h, w) = preset.sampling, preset.unet, preset.latent_size
    return {
        "schema_version": SCHEMA_VERSION,
        "mobilevd_version": __version__,
        "executorch_version": version("executorch"),
        "preset": preset.name,
        **flavour.to_dict(),
        "shapes": {
            "frames": unet.num_frames,
            "height": preset.height,
            "width": preset.width,
            "latent_channels": preset.vae.latent_channels,
            "latent_height": h,
            "latent_width": w,
        },
        "sampling": {
            "sampler": s.sampler,
            "steps": s.steps,
            "sigmas": {
                "schedule": "karras",
                "sigma_min": s.sigma_min,
                "sigma_max": s.sigma_max,
                "rho": s.rho,
                "levels": s.levels,
            },
            "guidance": {"min": s.guidance_min, "max": s.guidance_max},
            "fps": s.fps,
            "motion_bucket": s.motion_bucket,
            "noise_aug": s.noise_aug,
            "latent_scale": preset.vae.latent_scale,
            "time_channels": unet.block_out_channels[0],
            "added_time_channels": unet.addition_time_embed_dim,
        },
    }


def export_bundle(
    model: Parts,
    output: Path,
    flavour: Flavour = DEFAULT_FLAVOUR,
    progress: Callable[[str], object] = lambda stage: None,
) -> dict[str, Any]:
    """Writes the bundle and returns its description; one stage's weights are in memory at a time
    if ``model`` gives its networks so.

    The folder is made under a temporary name and renamed when whole; an older bundle at
    ``output`` is replaced, any other folder with content is refused.
    """
    manifest = describe(model.preset, flavour)
    if model.origin is not None:
        manifest["weights"] = model.origin
    manifest["stages"], manifest["files"] = {}, {}
    check_room(model.preset, flavour, output)
    calls = {}
    with whole_folder(output, _is_bundle_or_empty) as folder:
        if flavour.quantized:
            from .calibration import calibration_inputs, recorded_calls

            calls = recorded_calls(whole(model))
        for name in STAGES:
            progress(name)
            network = model.part(NETWORKS[name])
            stage = make_stage(network, name, flavour.backend)
            del network
            gc.collect()  # what a rewrite replaced; networks hold themselves in circles
            if calls:
                stage.calibration = calibration_inputs(calls, stage)
            entry, files = _write_stage(folder, stage, flavour)
            manifest["stages"][name] = entry
            manifest["files"] |= files
            del stage
            gc.collect()  # graphs hold weights, and themselves in circles
        (folder / "bundle.json").write_text(json.dumps(manifest, indent=1) + "\n")
    return manifest


def _write_stage(
    folder: Path, stage: Stage, flavour: Flavour
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Its entries under ``stages`` and under ``files``."""
    with spool_folder(folder) as spool:
        lowered = lower(stage, flavour, spool)
        program = f"{stage.name}.pte"
        weights = {f"{name}.ptd": content for name, content in lowered.weights.items()}
        contents = {program: lowered.program, **weights}
        files = {name: write_hashed(folder / name, content) for name, content in contents.items()}
    entry = {
        "program": program,
        "weights": list(weights),
        "inputs": [i.to_dict() for i in stage.inputs],
        "outputs": [o.to_dict() for o in stage.outputs],
        **stage.extra,
        **lowered.report.to_dict(),
    }
    return entry, files


def _is_bundle_or_empty(folder: Path) -> bool:
    """Only files that a bundle lists may go with it."""
    names = {file.name for file in folder.iterdir()}
    if not names:
        return True
    try:
        return names <= listed_files(folder)
    except (OSError, ValueError):
        return False
