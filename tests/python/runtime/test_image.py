"""Pictures as people have them: odd sizes, alpha, EXIF rotation, damage."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mobilevd.runtime import Error, UsageError, load_image
from PIL import Image, ImageOps


def encoded(image: Image.Image, format: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def pillow_load(image: Image.Image, height: int, width: int) -> np.ndarray:
    """The same rule with Pillow, plane by plane in float: [3, H, W]."""
    w, h = image.size
    crop_w, crop_h = (
        (round(h * width / height), h)
        if w * height > h * width
        else (
            w,
            round(w * height / width),
        )
    )
    x, y = (w - crop_w) // 2, (h - crop_h) // 2
    planes = np.asarray(image, np.float32)[y : y + crop_h, x : x + crop_w] / 255
    resized = [
        np.asarray(
            Image.fromarray(planes[..., c]).resize((width, height), Image.Resampling.BICUBIC)
        )
        for c in range(3)
    ]
    return np.clip(np.stack(resized), 0, 1)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 40), st.integers(1, 40))
def test_crop_and_resize_equal_pillows(width, height, to_width, to_height):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    exact = (height * to_width / to_height, width * to_height / to_width)
    if any(abs(e % 1 - 0.5) < 1e-9 for e in exact) or min(exact) < 1:
        return  # Python rounds halves to even, C away from zero; slivers keep one pixel
    ours = load_image(encoded(image), to_height, to_width)
    np.testing.assert_allclose(ours, pillow_load(image, to_height, to_width), atol=2e-6)


def test_a_jpeg_decodes_as_pillows_does(photo):
    ours = load_image(photo, 427, 640)
    theirs = np.asarray(Image.open(photo).convert("RGB"), np.float32).transpose(2, 0, 1) / 255
    # Two correct JPEG decoders differ by rounding and chroma upsampling.
    assert np.abs(ours - theirs).mean() < 0.005
    assert np.abs(ours - theirs).max() < 0.2


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(orientation, format, picture):
    small = Image.fromarray(picture).resize((48, 32))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 100, "subsampling": 0} if format == "JPEG" else {}
    data = encoded(small, format, exif=exif, **options)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    width, height = upright.size
    assert (width > height) == (orientation <= 4)
    expected = np.asarray(upright, np.float32).transpose(2, 0, 1) / 255
    assert np.abs(load_image(data, height, width) - expected).max() < 0.02


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "1", "I;16"])
def test_other_modes(mode, picture):
    small = Image.fromarray(picture).resize((20, 10))
    if mode == "I;16":
        grey = np.asarray(small.convert("L"), np.uint16) * 257
        image = Image.fromarray(grey)
    elif "A" in mode:
        small.putalpha(Image.linear_gradient("L").resize((20, 10)))
        image = small.convert(mode)
    else:
        image = small.convert(mode)
    if mode == "I;16":
        upright = small.convert("L").convert("RGB")
    elif "A" in mode:
        rgba = image.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    else:
        upright = image.convert("RGB")
    expected = np.asarray(upright, np.float32).transpose(2, 0, 1) / 255
    np.testing.assert_allclose(load_image(encoded(image), 10, 20), expected, atol=1.01 / 255)


def test_progressive_and_restart_markers(picture):
    image = Image.fromarray(picture)
    plain = load_image(encoded(image, "JPEG"), 64, 64)
    for options in ({"progressive": True}, {"restart_marker_rows": 1}):
        other = load_image(encoded(image, "JPEG", **options), 64, 64)
        np.testing.assert_allclose(other, plain, atol=0.02)


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_any_truncation_is_refused_in_one_line(format, picture):
    data = encoded(Image.fromarray(picture).resize((40, 30)), format)
    for size in [*range(64), *range(64, len(data), 97), len(data) - 1]:
        with pytest.raises(Error, match=r"^image from memory .*$") as caught:
            load_image(data[:size], 8, 8)
        assert "\n" not in str(caught.value)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_damaged_bytes_never_crash(data):
    rng = np.random.default_rng(1)
    image = Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8))
    damaged = bytearray(encoded(image, data.draw(st.sampled_from(["JPEG", "PNG"]))))
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        planes = load_image(bytes(damaged), 8, 8)
    except Error:
        return
    assert np.isfinite(planes).all()


def test_missing_empty_folder_and_other_formats(tmp_path):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "clip.gif").write_bytes(encoded(Image.new("RGB", (4, 4)), "GIF"))
    with pytest.raises(Error, match=r"none\.jpg: No such file"):
        load_image(tmp_path / "none.jpg", 8, 8)
    with pytest.raises(Error, match=r"empty\.jpg: the file is empty$"):
        load_image(tmp_path / "empty.jpg", 8, 8)
    with pytest.raises(Error, match=r"^cannot read image .*: Is a directory$"):
        load_image(tmp_path, 8, 8)
    with pytest.raises(Error, match="neither JPEG nor PNG"):
        load_image(tmp_path / "clip.gif", 8, 8)
    for height in (0, -1, 2**63):
        with pytest.raises(UsageError, match=f"^height must be from 1 to .*, not {height}$"):
            load_image(tmp_path / "clip.gif", height, 8)
