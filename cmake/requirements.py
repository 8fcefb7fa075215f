"""Print the project's requirements with an extra's, without the project: for `pip install -r`."""

import re
import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
extras = project["optional-dependencies"]


def expand(requirements: list[str]) -> list[str]:
    """Replaces "mobilevd[a,b]" by the requirements of the extras a and b."""
    lines = []
    for line in requirements:
        own = re.fullmatch(r"mobilevd\[(.*)\]", line)
        if own:
            for extra in own[1].split(","):
                lines += expand(extras[extra.strip()])
        else:
            lines.append(line)
    return lines


wanted = [f"mobilevd[{extra}]" for extra in sys.argv[1:]]
print("\n".join(expand(project["dependencies"] + wanted)))
