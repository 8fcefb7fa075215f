"""``mobilevd train``: a method by name, a run folder, a finished model folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from ..models.store import (
    DISCRIMINATOR,
    Model,
    load_network,
    read_preset,
    save_model,
    save_tensors,
    weights_digest,
)
from ..models.tiny_vae import TinyVae
from ..presets import Preset, Sampling
from .data import BothSizes, ClipData, ClipSource
from .data.cached_latents import cache_latents
from .data.shards import LatentShards
from .data.sources import clips_of
from .loop import Run
from .method import Method
from .methods.animatelcm import AnimateLcm
from .methods.autoencoder import Autoencoder
from .methods.decoder import Decoder
from .methods.ladd import LADD_CONSTANTS, Ladd
from .methods.mobilevd import MobileVd, begin, collapse, finish
from .methods.mobilevd_options import Options
from .methods.sfv import Sfv
from .methods.svd import Svd
from .methods.ufogen import UfoGen
from .processes import processes
from .sample_latents import SampledClips
from .settings import Settings
from .sheet import write_sheet
from .start import checksum, fresh_model, model_at, teacher_for

ONE_STEP: Mapping[str, Any] = {
    "sampler": "euler",
    "steps": 1,
    "guidance_min": 1.0,
    "guidance_max": 1.0,
}
EIGHT_STEPS: Mapping[str, Any] = {**ONE_STEP, "sampler": "consistency", "steps": 8, "levels": 40}

# What a method makes of the preset's sampling; those not named leave it as it is.
SAMPLING: Mapping[str, Mapping[str, Any]] = {
    "animatelcm": EIGHT_STEPS,
    **dict.fromkeys(("ufogen", "ladd", "sfv"), ONE_STEP),
    "mobilevd": ONE_STEP,
}
# Called with (student, frozen teacher) and, by name, what the method's constructor takes.
DISTILLATIONS: Mapping[str, Callable[..., Method]] = {
    "animatelcm": AnimateLcm,
    "ufogen": UfoGen,
    "ladd": Ladd,
    "sfv": Sfv,
}
METHODS = ("autoencoder", "decoder", "svd", *DISTILLATIONS, "mobilevd")

# Defaults of a run of `mini`; the CLI and `mobilevd reproduce` override them one by one.
_GAME = Settings(steps=600, batch_size=8, learning_rate=2e-4, warmup=50, precision="bf16")
DEFAULTS: Mapping[str, Settings] = {
    "autoencoder": Settings(1600, 24, 2e-3, weight_decay=0.0, warmup=100, cooldown_share=0.5),
    "decoder": Settings(400, 4, 1e-3, weight_decay=0.0, warmup=50, precision="bf16"),
    "svd": Settings(1500, 16, 1.5e-3, warmup=100, cooldown_share=0.5, precision="bf16"),
    **dict.fromkeys((*DISTILLATIONS, "mobilevd"), _GAME),
}


@dataclass(frozen=True)
class Training:
    """One run. ``start``: the model folder it goes on from; ``teacher``: a frozen model folder;
    ``vae``: a trained autoencoder, for ``svd`` from nothing. ``cached_clips``: latents of so many
    clips are made first and used over and over (0: every clip is drawn and encoded anew)."""

    method: str
    preset: Preset
    output: Path
    settings: Settings
    source: ClipSource
    start: Path | None = None
    teacher: Path | None = None
    vae: Path | None = None
    stage: str | None = None
    options: Options = field(default_factory=Options)
    constants: Any = None  # of the method; None: its own defaults
    cached_clips: int = 0
    cache_folder: Path | None = None
    minutes: float | None = None
    progress: Callable[[int, int], object] = lambda done, total: None

    @property
    def result(self) -> Path:
        """Where a finished run leaves its network or model."""
        return self.output / ("vae.safetensors" if self.method == "autoencoder" else "model")


def train(training: Training) -> bool:
    """Runs or resumes; False where the minutes ended first (run again to go on)."""
    if training.method == "autoencoder":
        return _train_autoencoder(training)
    model = _starting_model(training).to(processes().device)
    if training.stage == "cross_attention":
        return _collapse(training, model)
    inputs = _described(training)
    if training.start:
        inputs["start_sha256"] = checksum(training.start)
    if training.vae and not training.start:
        inputs["vae_sha256"] = hashlib.sha256(training.vae.read_bytes()).hexdigest()
    teacher = _teacher(training)
    if training.teacher and teacher:
        inputs["teacher_sha256"] = checksum(training.teacher)
    model.preset = replace(model.preset, sampling=_sampling(training, model.preset))
    data = _data(training, model, teacher, inputs)
    for network in model.networks().values():
        network.requires_grad_(False)
    method = _method(training, model, teacher, inputs)
    heads = method.discriminator.heads if isinstance(method, MobileVd) else None
    if heads and training.start and (training.start / DISCRIMINATOR).is_file():
        load_network(heads, training.start / DISCRIMINATOR)

    def sheet(path: Path) -> None:
        write_sheet(model, training.source, path)

    run = Run(training.output, method, data, training.settings, inputs, sheet=sheet)
    finished = run.train(training.minutes)
    run.load_average()
    if training.method == "mobilevd":
        finish(model, method)
    if run.accelerator.is_main_process:
        save_model(model, training.result, torch.float16)
        if heads:
            save_tensors(training.result / DISCRIMINATOR, heads.state_dict(), torch.float16)
    return finished


def _described(training: Training) -> dict[str, str]:
    """What makes a run another one besides its settings and weights."""
    preset, frames = training.preset, training.preset.unet.num_frames
    return {
        "method": training.method,
        "preset": f"{preset.name}, {frames} frames of {preset.width}x{preset.height}",
        "data": repr(training.source),
        "cached_clips": str(training.cached_clips),
    }


def _collapse(training: Training, model: Model) -> bool:
    """Stage ``cross_attention``: nothing is lost, so there is nothing to train."""
    collapse(model)
    if processes().is_main_process:
        save_model(model, training.result, torch.float16)
    return True


def _teacher(training: Training) -> Model | None:
    """The frozen teacher; SVD's own objective and a decoder's have none."""
    if training.method in ("svd", "decoder"):
        return None
    if training.teacher is None:
        raise ValueError(f"method {training.method} needs --teacher, a model folder")
    return teacher_for(training.preset, training.teacher).to(processes().device)


def _method(
    training: Training, model: Model, teacher: Model | None, inputs: dict[str, str]
) -> Method:
    if training.method == "decoder":
        return Decoder(model)
    if teacher is None:
        return Svd(model, train_encoder=isinstance(model.vae, TinyVae))
    constants: dict[str, Any] = {"constants": training.constants} if training.constants else {}
    if training.method in ("sfv", "ladd", "mobilevd"):  # the discriminator's frozen encoder too
        constants["checkpointing"] = training.settings.gradient_checkpointing
    inputs["constants"] = repr(training.constants)
    if training.method != "mobilevd":
        return DISTILLATIONS[training.method](model, teacher, **constants)
    assert training.stage is not None
    inputs["stage"], inputs["options"] = training.stage, repr(training.options)
    return begin(training.stage, model, teacher, training.options, training.settings, **constants)


def _starting_model(training: Training) -> Model:
    if training.start is not None:
        return model_at(training.preset, training.start)
    if training.method != "svd" or training.vae is None:
        what = "--vae (of method autoencoder)" if training.method == "svd" else "--start"
        raise ValueError(f"method {training.method} needs {what}")
    return fresh_model(training.preset, training.vae, training.source, training.settings.seed)


def _sampling(training: Training, preset: Preset) -> Sampling:
    if training.stage == "low_resolution":
        return preset.sampling
    if training.method == "decoder" and training.start:  # the UNet samples as before
        return read_preset(training.start).sampling
    return replace(preset.sampling, **SAMPLING.get(training.method, {}))


def _data(
    training: Training, model: Model, teacher: Model | None, inputs: Mapping[str, str]
) -> ClipData:
    """The clips, or their latents kept on disk; the teacher makes LADD's, in fewer steps."""
    preset, seed = training.preset, training.settings.seed
    if isinstance(training.source, LatentShards):
        if training.method == "decoder":
            raise ValueError(f"{training.source.folder} holds latents, and a decoder wants videos")
        if training.cached_clips and training.method != "ladd":
            raise ValueError(f"{training.source.folder} holds latents: leave --cache-clips out")
    clips = clips_of(training.source, preset.unet.num_frames, preset.size, seed)
    about = {"source": repr(training.source), "seed": str(seed)}
    if training.method == "ladd":
        assert teacher is not None
        if not training.cached_clips:
            raise ValueError("method ladd needs --cache-clips: its teacher makes the clips first")
        constants = training.constants or LADD_CONSTANTS
        sampling = replace(teacher.preset.sampling, steps=constants.teacher_steps)
        clips = SampledClips(teacher, clips, sampling)
        about |= {"teacher_sha256": inputs["teacher_sha256"], "sampling": repr(sampling)}
    elif not training.cached_clips:
        return clips
    else:
        about |= {
            "vae_encoder_sha256": weights_digest({"encoder": model.vae.encoder}),
            "frames": str(preset.unet.num_frames),
            "size": str(preset.size),
        }
    folder = training.cache_folder or training.output / "latents"
    return cache_latents(folder, model.vae, clips, training.cached_clips, about, training.progress)


def _train_autoencoder(training: Training) -> bool:
    preset, settings = training.preset, training.settings
    torch.manual_seed(settings.seed)
    vae = Model.fresh(preset).vae
    if not isinstance(vae, TinyVae):
        raise ValueError(f"preset {preset.name} takes SVD's autoencoder as it is: nothing to train")
    if training.vae is not None:
        load_network(vae, training.vae)
    data = BothSizes(training.source, preset.size, settings.seed)
    run = Run(training.output, Autoencoder(vae), data, settings, _described(training))
    finished = run.train(training.minutes)
    run.load_average()
    if run.accelerator.is_main_process:
        save_tensors(training.result, vae.state_dict())
    return finished
