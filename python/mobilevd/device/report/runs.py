"""The results that a report puts side by side, each with a name and its frames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import UsageError
from ..results import Result, parse_result

if TYPE_CHECKING:
    from ...runtime.video import Frames


@dataclass(frozen=True)
class Run:
    """One result; ``folder`` is that of its file, to which its paths are relative."""

    name: str
    result: Result
    folder: Path

    @property
    def device(self) -> dict[str, Any]:
        """Empty for a run on a computer."""
        return self.result.get("device") or {}

    @property
    def where(self) -> str:
        """``phone``, ``emulated`` or ``computer``; only the first says what a phone does."""
        if not self.device:
            return "computer"
        return "emulated" if self.device["emulated"] else "phone"

    @property
    def bundle(self) -> str:
        return " ".join(
            str(self.result["bundle"].get(k)) for k in ("preset", "backend", "precision")
        )

    def stage_ms(self) -> dict[str, float]:
        """What each stage took of one clip."""
        clips = max(1, self.result.get("repeat", 1))
        return {name: s["total_ms"] / clips for name, s in self.result["stages"].items()}

    def frames(self) -> Frames | None:
        """The clip's, where the result names one and it is still there."""
        return _read(self.folder, self.result.get("clip"))

    def picture(self, height: int, width: int) -> Frames | None:
        """What it started from, as the pipeline saw it."""
        return _read_picture(self.folder, self.result.get("picture"), height, width)


def read_runs(paths: Sequence[Path]) -> list[Run]:
    """UsageError for a file that is no result, in one line."""
    results = []
    for path in paths:
        try:
            results.append(parse_result(path.read_bytes()))
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}") from None
        except ValueError as error:
            raise UsageError(f"{path} is no result of a run: {error}") from None
    names = [_model(result) for result in results]
    counts = Counter(names)
    runs: list[Run] = []
    for path, name, result in zip(paths, names, results, strict=True):
        own = name if counts[name] == 1 else f"{name} ({path.stem})"
        taken = {run.name for run in runs}
        while own in taken:  # the same file twice, or two of one name
            own += "'"
        runs.append(Run(own, result, path.absolute().parent))
    return runs


def _model(result: Result) -> str:
    device = result.get("device") or {}
    host = result.get("host") or {}
    return str(device.get("model") or host.get("cpu") or "unknown")


def _read(folder: Path, clip: Any) -> Frames | None:
    from ...runtime.video import read_frames

    if not isinstance(clip, str) or not (folder / clip).exists():
        return None
    try:
        return read_frames(folder / clip)
    except (ValueError, OSError):  # a clip that was overwritten by something else
        return None


def _read_picture(folder: Path, picture: Any, height: int, width: int) -> Frames | None:
    from ...runtime import Error, picture_as_seen

    if not isinstance(picture, str) or not (folder / picture).is_file():
        return None
    try:
        return picture_as_seen(folder / picture, height, width)
    except (Error, OSError):  # replaced by something else since
        return None
