"""Print the project's requirements with an extra's, without the project: for `pip install -r`."""

import re
import sys
import tomllib

project = tomllib.load(open("pyproject.toml", "rb"))["project"]
extras = project["optional-dependencies"]


def expand(requirements: list[str]) -> list[str]:
    """Replaces "mobilevd[a,b]" by the requirements of the extras a and b."""
    lines = []
    for line in requirements:
        own = re.fullmatch(r"mobilevd\[(.*)\]", line)
        lines += sum((expand(extras[e.strip()]) for e in own[1].split(",")), []) if own else [line]
    return lines


print("\n".join(expand([*project["dependencies"], *sum((extras[e] for e in sys.argv[1:]), [])])))
