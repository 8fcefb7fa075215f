"""From a video's own times to a clip's steady frame rate.

The rule: frame 0 is the last source frame that is not after ``start``; with t0 its time, frame k is
the source frame nearest to t0 + k / fps, the earlier one where two are equally near. So a video of
that very rate gives consecutive frames, 25 to 7 fps gives frames 0, 4, 7, 11, 14, 18, 21, 25, 29,
..., and a slower one repeats frames. Nothing is blended.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import TypeVar

Frame = TypeVar("Frame")


def resampled(
    frames: Iterable[tuple[Fraction, Frame]], start: Fraction, fps: Fraction, count: int
) -> Iterator[Frame]:
    """At most ``count`` frames out of (time in s, frame) in growing order of time; two are held.

    Reads no further than it must. It ends early where the source ends before t0 + k / fps.
    """
    source = iter(frames)
    earlier = next(source, None)
    if earlier is None:
        return
    later = next(source, None)
    while later is not None and later[0] <= start:
        earlier, later = later, next(source, None)
    t0, done = earlier[0], 0
    while done < count:
        wanted = t0 + done / fps
        while later is not None and later[0] <= wanted:
            earlier, later = later, next(source, None)
        if later is not None and later[0] - wanted < wanted - earlier[0]:
            yield later[1]
        elif later is not None or wanted == earlier[0]:
            yield earlier[1]
        else:
            return
        done += 1
