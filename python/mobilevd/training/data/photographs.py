"""Pans and zooms over photographs that installed packages carry."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from .clip import Clip, Size, motion_bucket
from .crops import largest_of_shape, resized

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
        within = np.array([image.height, image.width])
        largest = np.array(largest_of_shape((image.height, image.width), size))

        side = rng.uniform(0.35, 0.9) * largest
        # Log-uniform zoom over the clip; a pan of at most a third of the view.
        end_side = np.clip(side * np.exp(rng.uniform(-0.5, 0.5)), 0.25 * largest, largest)
        # Drawn x before y, as the shipped weights' clips were.
        centre = rng.uniform(side[::-1] / 2, (within - side / 2)[::-1])[::-1]
        shift = rng.uniform(-0.33, 0.33, 2)[::-1] * side
        end = np.clip(centre + shift, end_side / 2, within - end_side / 2)
        out = np.empty((frames, *size, 3), np.uint8)
        for f, t in enumerate(np.linspace(0.0, 1.0, frames)):
            half = (side + (end_side - side) * t) / 2
            (top, left), (bottom, right) = (centre + (end - centre) * t + s * half for s in (-1, 1))
            out[f] = np.asarray(resized(image, (left, top, right, bottom), size))
        if rng.random() < 0.5:
            out = out[:, :, ::-1]
        return Clip(np.ascontiguousarray(out), 7, motion_bucket(out))
