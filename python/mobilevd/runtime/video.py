"""Clips in and out of files: mp4, webm, gif, folders of PNGs; contact sheets.

Frames are uint8 [F, H, W, 3] RGB everywhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mobilevd.whole_files import check_new_file, check_new_name, whole_file, whole_folder

Frames = NDArray[np.uint8]

FORMATS = (".mp4", ".webm", ".gif")


def check_output(path: str | os.PathLike[str]) -> Path:
    """Raise ValueError for a ``path`` that :func:`write_video` would refuse, whatever the frames.

    To be called before the long work. No ending means a folder of PNGs, which is replaced only when
    it holds nothing but ``frame_*.png``.
    """
    target = Path(path)
    if target.suffix.lower() not in (*FORMATS, ""):
        known = ", ".join(FORMATS)
        raise ValueError(f"unknown ending '{target.suffix}' of {target}: use {known} or a folder")
    what = f"output {target}"
    if target.suffix:
        check_new_file(target, what)
        return target
    check_new_name(target, what)
    if target.exists():
        if not target.is_dir():
            raise ValueError(f"{what} exists and is no folder")
        # Frames appear by a rename of the whole folder.
        if target.samefile("."):
            raise ValueError(f"{what} is the working folder: choose a new folder in it")
        if target.absolute().is_mount():
            raise ValueError(f"{what} is a mount point: choose a new folder in it")
        if not _holds_only_frames(target):
            raise ValueError(f"{what} holds other files: choose a new or an empty folder")
    return target


def write_video(path: str | os.PathLike[str], frames: Frames, fps: float) -> None:
    """Write a clip in the format of the path's ending; nothing is left behind on an error."""
    target = check_output(path)
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or len(frames) == 0:
        raise ValueError(f"frames must be uint8 [F, H, W, 3], not {frames.dtype} {frames.shape}")
    suffix = target.suffix.lower()
    if suffix == "":
        with whole_folder(target, _holds_only_frames) as folder:
            for index, frame in enumerate(frames):
                Image.fromarray(frame).save(folder / f"frame_{index:04d}.png")
        return
    with whole_file(target) as temporary:
        if suffix == ".gif":
            _write_gif(temporary, frames, fps)
        else:
            _encode(temporary, frames, fps, suffix)


def _holds_only_frames(folder: Path) -> bool:
    return all(file.match("frame_*.png") for file in folder.iterdir())


def _write_gif(path: Path, frames: Frames, fps: float) -> None:
    # One palette for the whole clip, from all of its frames, so that still parts do not flicker.
    stacked = Image.fromarray(frames.reshape(-1, frames.shape[2], 3))
    palette = stacked.quantize(256)
    images = [
        Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE)
        for frame in frames
    ]
    images[0].save(
        path, save_all=True, append_images=images[1:], duration=round(1000 / fps), loop=0
    )


def _encode(path: Path, frames: Frames, fps: float, suffix: str) -> None:
    codec, options = {
        ".mp4": ("libx264", {"crf": "12", "preset": "slow"}),
        ".webm": ("libvpx-vp9", {"crf": "15", "b": "0"}),
    }[suffix]
    height, width = frames.shape[1:3]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1000))
        # 4:2:0 is what every player reads; it needs even sizes, so an odd edge is doubled.
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = "yuv420p"
        stream.options = options
        padding = ((0, 0), (0, height % 2), (0, width % 2), (0, 0))
        for frame in np.pad(frames, padding, mode="edge"):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


@contextmanager
def _opened(source: Path) -> Iterator[Any]:
    """A video file to read; ValueError, naming it, for what is none."""
    try:
        with av.open(str(source)) as container:
            yield container
    except (av.error.FFmpegError, IndexError) as error:
        raise ValueError(f"cannot read video {source}: {error}") from None


def read_frames(path: str | os.PathLike[str], limit: int | None = None) -> Frames:
    """Decode a video file, or a folder of PNGs in the order of their names; at most ``limit``."""
    source = Path(path)
    if source.is_dir():
        names = sorted(source.glob("*.png"))[:limit]
        if not names:
            raise ValueError(f"no PNG files in {source}")
        return np.stack([np.asarray(Image.open(name).convert("RGB")) for name in names])
    frames: list[Frames] = []
    with _opened(source) as container:
        for frame in container.decode(video=0):
            frames.append(frame.to_ndarray(format="rgb24"))
            if limit is not None and len(frames) == limit:
                break
    if not frames:
        raise ValueError(f"no frames in {source}")
    return np.stack(frames)


def frame_rate(path: str | os.PathLike[str]) -> float | None:
    """Frames per second of a video file; None of a folder, and where the file does not say."""
    source = Path(path)
    if source.is_dir():
        return None
    with _opened(source) as container:
        rate = container.streams.video[0].average_rate
    return float(rate) if rate else None


def read_first_frame(path: str | os.PathLike[str]) -> Frames:
    """First frame of a video or PNG folder, [H, W, 3]."""
    return read_frames(path, limit=1)[0]


def contact_sheet(picture: Frames, frames: Frames, scale: int = 1, background: int = 255) -> Frames:
    """One image that shows a clip: [rows, columns, 3].

    First row: the input picture and every frame. Second row, below each frame: the absolute
    difference to the frame before it, four times brighter. ``picture`` is [H, W, 3] of any size.
    """
    count, height, width, _ = frames.shape
    gap = 2
    sheet = np.full(
        (2 * height + 3 * gap, (count + 1) * (width + gap) + gap, 3), background, dtype=np.uint8
    )

    def place(row: int, column: int, image: Frames) -> None:
        y, x = gap + row * (height + gap), gap + column * (width + gap)
        sheet[y : y + height, x : x + width] = image

    fitted = Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC)
    place(0, 0, np.asarray(fitted))
    for index, frame in enumerate(frames):
        place(0, index + 1, frame)
        if index > 0:
            change = np.abs(frame.astype(np.int16) - frames[index - 1].astype(np.int16))
            place(1, index + 1, np.minimum(change * 4, 255).astype(np.uint8))
    return sheet.repeat(scale, axis=0).repeat(scale, axis=1)


def write_contact_sheet(
    path: str | os.PathLike[str], picture: Frames, frames: Frames, scale: int = 2
) -> None:
    """Write :func:`contact_sheet` as a PNG, whole or not at all."""
    with whole_file(path) as temporary:
        Image.fromarray(contact_sheet(picture, frames, scale)).save(temporary)
