"""Small videos that tests encode themselves: every frame tells its number and its corners."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

CORNERS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]], np.uint8)


def number_of(frame: np.ndarray) -> int:
    """The number that :func:`numbered` wrote, read from the middle of any size of the frame."""
    h, w = frame.shape[:2]
    return round(float(frame[h * 7 // 16 : h * 9 // 16, w * 7 // 16 : w * 9 // 16].mean()) / 3)


def numbered(index: int, height: int, width: int) -> np.ndarray:
    """Grey level 3 x index; red, green, blue and white corners (from the top left, by rows)."""
    frame = np.full((height, width, 3), 3 * index, np.uint8)
    for corner, (y, x) in zip(CORNERS, ((0, 0), (0, 1), (1, 0), (1, 1)), strict=True):
        h, w = height // 4, width // 4
        frame[y * (height - h) : y * (height - h) + h, x * (width - w) : x * (width - w) + w] = (
            corner
        )
    return frame


def encode(
    path: Path,
    frames: int = 50,
    rate: Fraction | int = 25,
    size: tuple[int, int] = (48, 64),
    codec: str = "libx264",
    times: list[Fraction] | None = None,
    rotation: int = 0,
    **options: str,
) -> Path:
    """Numbered frames at ``rate``, or at ``times`` (s); key frames every 12, B-frames between."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p" if size[0] % 2 == size[1] % 2 == 0 else "yuv444p"
        stream.options = {"g": "12", "bf": "2", **options}
        if rotation:
            stream.set_display_rotation(rotation)
        stream.time_base = stream.codec_context.time_base = (
            Fraction(1, 12000) if times else 1 / Fraction(rate)
        )
        for i in range(frames):
            frame = av.VideoFrame.from_ndarray(numbered(i, *size), format="rgb24")
            frame.time_base = stream.codec_context.time_base
            frame.pts = int(times[i] / frame.time_base) if times else i
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
