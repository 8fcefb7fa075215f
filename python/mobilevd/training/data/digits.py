"""Moving handwritten digits: scikit-learn's 8x8 scans, enlarged, drifting and bouncing.

Splits share no scan: three fifths train the models, one fifth the network whose features the
distance is taken on (evaluate/features), one fifth is the real set of every evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from .clip import Clip, Size, motion_bucket

SPLITS = {"train": (0, 1, 2), "features": (3,), "test": (4,)}  # scan number modulo 5
CANVAS = 128  # every size is reduced from this one, so that sizes show the same clip


@dataclass(frozen=True)
class Digit:
    """What one digit of a clip is: ``value`` 0..9, ``side`` and ``centres`` [F, 2] (x, y) as shares
    of the clip's side, ``colour`` [3] in [0, 1]."""

    value: int
    side: float
    centres: np.ndarray
    colour: np.ndarray


class MovingDigits:
    """Two digits on a dark ground, at any size from 1 to 128 the same clip."""

    def __init__(self, split: str = "train", digits: int = 2) -> None:
        from sklearn.datasets import load_digits

        if split not in SPLITS:
            raise ValueError(f"unknown split '{split}'; known: {', '.join(SPLITS)}")
        scans = load_digits()
        mine = np.isin(np.arange(len(scans.images)) % 5, SPLITS[split])
        self.images = (scans.images[mine] * (255.0 / 16.0)).astype(np.uint8)
        self.values = scans.target[mine]
        self.split, self.digits = split, digits

    def __repr__(self) -> str:
        return f"MovingDigits({self.split}, {self.digits})"

    def draw(self, rng: np.random.Generator, frames: int, size: Size) -> Clip:
        return self.draw_labelled(rng, frames, size)[0]

    def draw_labelled(
        self, rng: np.random.Generator, frames: int, size: Size
    ) -> tuple[Clip, tuple[Digit, ...]]:
        """The clip that ``draw`` gives, and the digits in it."""
        if size[0] != size[1]:
            raise ValueError(f"moving digits are square, not {size[1]}x{size[0]}")
        canvas = np.zeros((frames, CANVAS, CANVAS, 3), np.float32)
        shown = []
        for _ in range(self.digits):
            side = int(CANVAS * rng.uniform(0.38, 0.55))
            chosen = rng.integers(len(self.images))
            scan = Image.fromarray(self.images[chosen])
            glyph = np.asarray(scan.resize((side, side), Image.Resampling.BICUBIC), np.float32)
            colour = np.full(3, rng.uniform(0.6, 1.0))
            room = CANVAS - side
            position, velocity = rng.uniform(0, room, 2), rng.uniform(-0.035, 0.035, 2) * CANVAS
            centres = np.empty((frames, 2), np.float32)
            for f in range(frames):
                # Reflect the straight path into [0, room]: constant speed, exact bounces.
                folded = np.mod(position + velocity * f, 2 * room)
                x, y = np.where(folded > room, 2 * room - folded, folded).round().astype(int)
                view = canvas[f, y : y + side, x : x + side]
                np.maximum(view, glyph[..., None] * colour, out=view)
                centres[f] = (x + side / 2) / CANVAS, (y + side / 2) / CANVAS
            shown.append(Digit(int(self.values[chosen]), side / CANVAS, centres, colour))
        out = np.stack(
            [
                np.asarray(Image.fromarray(f).resize(size, Image.Resampling.BOX))
                for f in canvas.clip(0, 255).astype(np.uint8)
            ]
        )
        return Clip(out, 7, motion_bucket(out)), tuple(shown)
