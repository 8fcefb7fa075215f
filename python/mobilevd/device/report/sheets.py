"""Contact sheets of the clips, as data inside the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from .runs import Run

WIDEST = 2400  # pixels: larger clips are shown smaller


@dataclass(frozen=True)
class Sheet:
    name: str
    uri: str
    caption: str


def sheets(runs: Sequence[Run]) -> list[Sheet]:
    """Of the runs whose clip is there."""
    from ...runtime.video import contact_sheet

    made = []
    for run in runs:
        frames = run.frames()
        if frames is None:
            continue
        count, height, width, _ = frames.shape
        picture = run.picture(height, width)
        scale = max(1, 128 // max(height, width))
        given = frames[0] if picture is None else picture
        black, white = (contact_sheet(given, frames, scale, background) for background in (0, 255))
        between = (black != white).any(axis=-1, keepdims=True)  # the page's own colour goes there
        sheet = np.concatenate([white, np.where(between, 0, 255).astype(np.uint8)], axis=-1)
        first = "its first frame again" if picture is None else "the picture"
        caption = (
            f"{count} frames of {width}×{height}, seed {run.result.get('seed')}. First: {first}. "
            "Below: the change from the frame before, four times brighter."
        )
        made.append(Sheet(run.name, _data_uri(Image.fromarray(sheet)), caption))
    return made


def _data_uri(image: Image.Image) -> str:
    if image.width > WIDEST:
        size = (WIDEST, round(image.height * WIDEST / image.width))
        image = image.resize(size, Image.Resampling.LANCZOS)
    encoded = io.BytesIO()
    image.save(encoded, "webp", quality=90)
    return "data:image/webp;base64," + base64.b64encode(encoded.getvalue()).decode()
