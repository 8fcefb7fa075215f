"""Boxes of the target's shape inside a picture: nothing is squashed."""

from __future__ import annotations

from fractions import Fraction

from PIL import Image

from .clip import Size

Box = tuple[float, float, float, float]  # left, top, right, bottom


def largest_of_shape(within: Size, shape: Size, pixel_aspect: float = 1.0) -> tuple[float, float]:
    """(height, width) of the largest box inside ``within`` that has the shape of ``shape``.

    ``pixel_aspect`` is the width of a pixel of ``within`` over its height (PAL wide: 64/45).
    """
    height, width = within
    # Exact where sizes are whole, so that equal shapes give the very size.
    ratio = Fraction(shape[1], shape[0]) / Fraction(pixel_aspect).limit_denominator(1000)
    if width >= height * ratio:
        return height, float(height * ratio)
    return float(width / ratio), width


def placed(within: Size, box: tuple[float, float], down: float, right: float) -> Box:
    """A box of (height, width) placed at shares 0..1 of the room that ``within`` leaves it."""
    top, left = down * (within[0] - box[0]), right * (within[1] - box[1])
    return left, top, left + box[1], top + box[0]


def resized(picture: Image.Image, box: Box, size: Size) -> Image.Image:
    """``box`` of the picture at ``size``, bicubic with antialiasing."""
    inside = (
        max(box[0], 0),
        max(box[1], 0),
        min(box[2], picture.width),
        min(box[3], picture.height),
    )
    return picture.resize(size[::-1], Image.Resampling.BICUBIC, box=inside)
