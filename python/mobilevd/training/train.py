"""``mobilevd train``: a method by name, a run folder, a finished model folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..models.store import Model, load_network, save_model, save_tensors
from ..models.tiny_vae import TinyVae
from ..presets import Preset, Sampling
from ..whole_files import write_text
from .data import BothSizes, ClipData, ClipSource
from .data.cached_latents import cache_latents
from .data.sources import clips_of
from .loop import Run
from .method import Method
from .methods.autoencoder import Autoencoder
from .methods.mobilevd_options import Options
from .methods.svd import Svd
from .settings import Settings
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
DISTILLATIONS = ("animatelcm", "ufogen", "ladd", "sfv")
TEACHER_STEPS = 10  # of LADD's synthetic clips, each with and without condition
METHODS = ("autoencoder", "svd", *DISTILLATIONS, "mobilevd")

# Defaults of a run of `mini`; the CLI and `mobilevd reproduce` override them one by one.
_GAME = Settings(steps=600, batch_size=8, learning_rate=2e-4, warmup=50, precision="bf16")
DEFAULTS: Mapping[str, Settings] = {
    "autoencoder": Settings(1600, 24, 2e-3, weight_decay=0.0, warmup=100, cooldown_share=0.5),
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
    model = _starting_model(training)
    inputs = {"start_sha256": checksum(training.start)} if training.start else {}
    if training.vae and not training.start:
        inputs["vae_sha256"] = hashlib.sha256(training.vae.read_bytes()).hexdigest()
    model.preset = replace(model.preset, sampling=_sampling(training, model.preset))
    data = _data(training, model)
    for network in model.networks().values():
        network.requires_grad_(False)
    method = _method(training, model, inputs)

    def sheet(path: Path) -> None:
        from .sheet import write_sheet

        write_sheet(model, training.source, path)

    run = Run(training.output, method, data, training.settings, inputs, sheet=sheet)
    finished = run.train(training.minutes)
    run.load_average()
    if training.method == "mobilevd":
        from .methods.mobilevd import finish

        finish(model, method)
    if run.accelerator.is_main_process:
        save_model(model, training.result, torch.float16)
        if finished:
            write_text(training.output / "finished", f"{run.step} steps\n")
    return finished


def _method(training: Training, model: Model, inputs: dict[str, str]) -> Method:
    if training.method == "svd":
        return Svd(model, train_encoder=isinstance(model.vae, TinyVae))
    if training.teacher is None:
        raise ValueError(f"method {training.method} needs --teacher, a model folder")
    teacher = teacher_for(training.preset, training.teacher)
    inputs["teacher_sha256"] = checksum(training.teacher)
    constants: dict[str, Any] = {"constants": training.constants} if training.constants else {}
    if training.method in ("sfv", "ladd", "mobilevd"):  # the discriminator's frozen encoder too
        constants["checkpointing"] = training.settings.gradient_checkpointing
    inputs["constants"] = repr(training.constants)
    if training.method != "mobilevd":
        return _distillation(training.method)(model, teacher, **constants)
    from .methods.mobilevd import begin

    assert training.stage is not None
    inputs["stage"], inputs["options"] = training.stage, repr(training.options)
    return begin(training.stage, model, teacher, training.options, training.settings, **constants)


def _distillation(name: str) -> Callable[..., Method]:
    from .methods.animatelcm import AnimateLcm
    from .methods.ladd import Ladd
    from .methods.sfv import Sfv
    from .methods.ufogen import UfoGen

    return {"animatelcm": AnimateLcm, "ladd": Ladd, "sfv": Sfv, "ufogen": UfoGen}[name]


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
    return replace(preset.sampling, **SAMPLING.get(training.method, {}))


def _data(training: Training, model: Model) -> ClipData:
    preset, seed = training.preset, training.settings.seed
    drawn = clips_of(training.source, preset.unet.num_frames, preset.size, seed)
    if not training.cached_clips:
        if training.method == "ladd":
            raise ValueError("method ladd needs --cache-clips: its teacher makes the clips first")
        return drawn
    folder = training.cache_folder or training.output / "latents"
    if training.method == "ladd":
        return _teachers_clips(training, drawn, folder)
    weights = hashlib.sha256()
    for value in model.vae.encoder.state_dict().values():
        weights.update(value.numpy().tobytes())
    about = {
        "vae_encoder_sha256": weights.hexdigest(),
        "source": repr(training.source),
        "frames": str(preset.unet.num_frames),
        "size": str(preset.size),
        "seed": str(seed),
    }
    return cache_latents(folder, model.vae, drawn, training.cached_clips, about, training.progress)


def _teachers_clips(training: Training, drawn: ClipData, folder: Path) -> ClipData:
    """LADD's data: what the teacher makes of the clips' first frames, with fewer steps."""
    from .sample_latents import SampledClips

    assert training.teacher is not None
    teacher = teacher_for(training.preset, training.teacher)
    sampling = replace(teacher.preset.sampling, steps=TEACHER_STEPS)
    about = {
        "teacher_sha256": checksum(training.teacher),
        "sampling": repr(sampling),
        "source": repr(training.source),
        "seed": str(training.settings.seed),
    }
    return cache_latents(
        folder,
        teacher.vae,
        SampledClips(teacher, drawn, sampling),
        training.cached_clips,
        about,
        training.progress,
    )


def _train_autoencoder(training: Training) -> bool:
    preset, settings = training.preset, training.settings
    torch.manual_seed(settings.seed)
    vae = Model.fresh(preset).vae
    if not isinstance(vae, TinyVae):
        raise ValueError(f"preset {preset.name} takes SVD's autoencoder as it is: nothing to train")
    if training.vae is not None:
        load_network(vae, training.vae)
    data = BothSizes(training.source, preset.size, settings.seed)
    run = Run(training.output, Autoencoder(vae), data, settings)
    finished = run.train(training.minutes)
    run.load_average()
    if run.accelerator.is_main_process:
        save_tensors(training.result, nn.Module.state_dict(vae))
        if finished:
            write_text(training.output / "finished", f"{run.step} steps\n")
    return finished
