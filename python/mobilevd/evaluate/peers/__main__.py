"""``python -m mobilevd.evaluate.peers FILE...``: rows that ``bench --json`` wrote, as Markdown."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from .table import markdown


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m mobilevd.evaluate.peers",
        description="Print the rows of `mobilevd bench --peers --json FILE` as Markdown.",
        epilog="example: python -m mobilevd.evaluate.peers peers-mobilevd-xs.json > peers.md",
    )
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    for file in parser.parse_args().files:
        try:
            print(markdown(json.loads(file.read_text())))
        except (OSError, ValueError) as error:
            parser.exit(1, f"{parser.prog}: {file}: {error}\n")


if __name__ == "__main__":
    main()
