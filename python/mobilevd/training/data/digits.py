"""Moving handwritten digits: scikit-learn's 8x8 scans, enlarged, drifting and bouncing."""

from __future__ import annotations

import numpy as np
from PIL import Image

from .clip import Clip, motion_bucket


class MovingDigits:
    """Two digits on a dark ground. Train and test differ in the digit scans (every fifth)."""

    def __init__(self, split: str = "train", digits: int = 2) -> None:
        from sklearn.datasets import load_digits

        images = (load_digits().images * (255.0 / 16.0)).astype(np.uint8)
        test = np.arange(len(images)) % 5 == 4
        self.images = images[test if split == "test" else ~test]
        self.digits = digits

    def draw(self, rng: np.random.Generator, frames: int, size: int) -> Clip:
        canvas = np.zeros((frames, size, size, 3), np.float32)
        for _ in range(self.digits):
            side = int(size * rng.uniform(0.3, 0.45))
            scan = Image.fromarray(self.images[rng.integers(len(self.images))])
            glyph = np.asarray(scan.resize((side, side), Image.Resampling.BICUBIC), np.float32)
            colour = rng.uniform(0.4, 1.0, 3)
            colour /= colour.max()
            room = size - side
            position, velocity = rng.uniform(0, room, 2), rng.uniform(-0.06, 0.06, 2) * size
            for f in range(frames):
                # Reflect the straight path into [0, room]: constant speed, exact bounces.
                folded = np.mod(position + velocity * f, 2 * room)
                x, y = np.where(folded > room, 2 * room - folded, folded).round().astype(int)
                view = canvas[f, y : y + side, x : x + side]
                np.maximum(view, glyph[..., None] * colour, out=view)
        out = canvas.clip(0, 255).astype(np.uint8)
        return Clip(out, 7, motion_bucket(out))
