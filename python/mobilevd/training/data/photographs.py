"""Pans and zooms over photographs that installed packages carry."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from .clip import Clip, Size, motion_bucket

# (package, file). The held-out ones are never trained on: flower.jpg is the demo's picture.
TRAIN = (
    ("sklearn", "datasets/images/china.jpg"),
    ("skimage", "data/astronaut.png"),
    ("skimage", "data/chelsea.png"),
    ("skimage", "data/rocket.jpg"),
    ("skimage", "data/motorcycle_left.png"),
    ("skimage", "data/hubble_deep_field.jpg"),
    ("skimage", "data/ihc.png"),
    ("skimage", "data/retina.jpg"),
    ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
)
HELD_OUT = (("sklearn", "datasets/images/flower.jpg"), ("skimage", "data/coffee.png"))


@cache
def package_file(package: str, file: str) -> Path:
    """Path of a file inside an installed package; a clear error names what to install."""
    spec = find_spec(package)
    path = Path(spec.origin).parent / file if spec and spec.origin else None
    if path is None or not path.is_file():
        raise FileNotFoundError(
            f"{package} does not carry {file} here: pip install 'mobilevd[train]'"
        )
    return path


class Photographs:
    """A virtual camera over one photograph: start and end views, eased, sampled bilinearly."""

    def __init__(self, files: tuple[tuple[str, str], ...] = TRAIN) -> None:
        self.images = []
        for package, file in files:
            image = Image.open(package_file(package, file)).convert("RGB")
            image.thumbnail((640, 640), Image.Resampling.LANCZOS)
            self.images.append(image)

    def draw(self, rng: np.random.Generator, frames: int, size: Size) -> Clip:
        image = self.images[rng.integers(len(self.images))]
        short = min(image.size)

        side = rng.uniform(0.35, 0.9) * short
        # Log-uniform zoom over the clip; a pan of at most a third of the view.
        end_side = np.clip(side * np.exp(rng.uniform(-0.5, 0.5)), 0.25 * short, short)
        centre = np.array([rng.uniform(side / 2, s - side / 2) for s in image.size])
        shift = rng.uniform(-0.33, 0.33, 2) * side
        end = [
            np.clip(c + d, end_side / 2, s - end_side / 2)
            for c, d, s in zip(centre, shift, image.size, strict=True)
        ]
        out = np.empty((frames, *size, 3), np.uint8)
        for f, t in enumerate(np.linspace(0.0, 1.0, frames)):
            half = (side + (end_side - side) * t) / 2
            x, y = centre + (np.array(end) - centre) * t
            box = (x - half, y - half, x + half, y + half)
            box = (
                max(box[0], 0),
                max(box[1], 0),
                min(box[2], image.width),
                min(box[3], image.height),
            )
            out[f] = np.asarray(image.resize(size[::-1], Image.Resampling.BICUBIC, box=box))
        if rng.random() < 0.5:
            out = out[:, :, ::-1]
        return Clip(np.ascontiguousarray(out), 7, motion_bucket(out))
