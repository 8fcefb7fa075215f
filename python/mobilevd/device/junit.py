"""JUnit XML of a command on several devices: a suite per device, a case per thing checked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from junitparser import Error, Failure, JUnitXml, TestCase, TestSuite

from ..whole_files import whole_file
from .bars import Verdict
from .many import Outcome

_NOT_XML = re.compile(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")


def write_junit(
    path: Path,
    command: str,
    outcomes: Sequence[Outcome[Any]],
    verdicts: Sequence[Sequence[Verdict]],
) -> None:
    """``command``: ``run`` or ``bench``; ``verdicts``: those of each outcome, in order.

    Trouble with a device is an *error*; a figure over its bar or baseline is a *failure*.
    """
    document = JUnitXml(f"mobilevd device {command}")
    for outcome, figures in zip(outcomes, verdicts, strict=True):
        suite = TestSuite(_plain(f"mobilevd.device.{command}.{outcome.serial}"))
        case = TestCase(command, classname=_plain(outcome.serial), time=outcome.seconds)
        if outcome.error is not None:
            case.result = [Error(_plain(outcome.error), outcome.code.name.lower())]
        suite.add_testcase(case)
        for verdict in figures:
            case = TestCase(f"{verdict.kind} {verdict.name}", classname=_plain(outcome.serial))
            case.system_out = verdict.line
            if not verdict.ok:
                case.result = [Failure(verdict.line, verdict.kind)]
            suite.add_testcase(case)
        document.add_testsuite(suite)
    document.update_statistics()
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary:
        document.write(str(temporary), pretty=True)


def _plain(text: str) -> str:
    """Without the control characters that XML has no way to write."""
    return _NOT_XML.sub("�", text)
