"""kernels/README.md shows the example that the tests build (kernels/testing/try_install.cmake)."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

KERNELS = Path(__file__).parents[3] / "kernels"


@pytest.mark.parametrize(("language", "file"), [("cpp", "main.cc"), ("cmake", "CMakeLists.txt")])
def test_example_is_the_file(language, file):
    readme = textwrap.dedent((KERNELS / "README.md").read_text())
    blocks = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", readme, re.DOTALL | re.MULTILINE)
    shown = [textwrap.dedent(body) for _, body in blocks]
    assert (KERNELS / "example" / file).read_text() in shown
