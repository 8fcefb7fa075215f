"""A picture of what a model makes of a few clips: first frames and frames, row by row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..models.store import Model
from ..models.vae import decode_clips
from ..whole_files import whole_file
from .data import ClipSource
from .data.sources import clips_of
from .sample_latents import sample_latents

SHEET_SEED = 9_000_001  # clips of the sheets, never trained on


@torch.no_grad()
def write_sheet(model: Model, source: ClipSource, path: Path, clips: int = 4) -> None:
    """PNG: for each clip a row of the true frames and one of the model's own."""
    preset = model.preset
    data = clips_of(source, preset.unet.num_frames, preset.size, SHEET_SEED)
    batch = data.batch(range(clips)).to(model.device)
    latents = sample_latents(model, batch, SHEET_SEED, range(clips))
    made = decode_clips(model.vae, latents / preset.vae.latent_scale)
    true = batch.clips
    if true is None:
        assert batch.latents is not None
        true = decode_clips(model.vae, batch.latents)
    rows = torch.stack([true, made], 1).flatten(0, 1).clamp(-1, 1).cpu()
    pixels = ((rows + 1) * 127.5).round().byte().permute(0, 3, 1, 4, 2)  # [rows, H, F, W, 3]
    picture = pixels.reshape(len(rows) * preset.height, -1, 3).numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary:
        Image.fromarray(np.ascontiguousarray(picture)).save(temporary)
