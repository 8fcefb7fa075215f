"""Command line of the benchmark: `python -m mobilevd.kernels.bench`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mobilevd.errors import UsageError
from mobilevd.whole_files import write_text

from . import KERNEL_NAMES, spinning_threads_warning


def bench(
    names: Sequence[str] = (),
    peers: Sequence[str] = (),
    threads: Sequence[int] = (),
    rounds: int = 15,
    shapes: Sequence[str] = (),
    report: Callable[[int, int, str], None] = lambda done, total, what: None,
    say: Callable[[str], None] = print,
) -> list[dict[str, Any]]:
    """Run and print the tables; empty options mean all. Peers that are missing are named.

    Raises
    ------
    UsageError
        An unknown kernel, peer or shape.
    """
    warning = spinning_threads_warning()
    from .peers import LIBRARIES, missing_modules
    from .run import load_kernel, run
    from .table import print_tables

    _known("kernel", names, KERNEL_NAMES)
    _known("peer", peers, tuple(LIBRARIES))
    names = names or KERNEL_NAMES
    if shapes and len(names) != 1:
        raise UsageError("a shape needs one kernel to belong to")
    if rounds < 1 or min(threads, default=1) < 1:
        raise UsageError("threads and repeats must be at least 1")
    wanted = [library for library in LIBRARIES if not peers or library in peers]
    missing = [name for library in wanted for name in missing_modules(library)]
    if missing:
        packages = ", ".join(dict.fromkeys(missing))
        say(f"without {packages}, which is not installed: pip install 'mobilevd[bench]'")
    if warning:
        say(warning)
    rows = []
    for name in names:
        kernel = load_kernel(name)
        chosen = [_shape(text, kernel.sizes) for text in shapes] or None
        rows += run(kernel, tuple(threads) or (1, 2), rounds, wanted, chosen, report)
    print_tables(rows)
    return rows


def _known(what: str, given: Sequence[str], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise UsageError(f"unknown {what} {name!r}; there are: {', '.join(known)}")


_WORDS = {"epilogue": ("none", "residual", "geglu")}  # sizes that are choices


def _shape(text: str, sizes: Sequence[str]) -> tuple[int | str, ...]:
    parts = text.split("x")
    fits = len(parts) == len(sizes) and all(
        part in _WORDS[size] if size in _WORDS else part.isdigit()
        for part, size in zip(parts, sizes, strict=True)
    )
    if not fits:
        raise UsageError(f"shape {text!r}: expected {'x'.join(sizes)}")
    return tuple(int(part) if part.isdigit() else part for part in parts)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m mobilevd.kernels.bench",
        description="Time the C++ kernels against their peers, all in one process.",
        epilog="example: python -m mobilevd.kernels.bench --kernel temporal_attention "
        "--shape 14x2048x320x64 --threads 1 --json kernels.json",
    )
    parser.add_argument("--kernel", nargs="+", default=[], metavar="NAME", help="default: all")
    parser.add_argument("--peers", nargs="+", default=[], metavar="LIBRARY", help="default: all")
    parser.add_argument("--threads", type=int, nargs="+", default=[], metavar="N", help="1 2")
    parser.add_argument("--repeats", type=int, default=15, metavar="N")
    parser.add_argument("--shape", nargs="+", default=[], metavar="AxBxC", help="of one kernel")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows here")
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="print a JSON file's rows as Markdown"
    )
    options = parser.parse_args(arguments)
    if options.markdown is not None:
        from .table import markdown

        try:
            print(markdown(json.loads(options.markdown.read_text())))
        except (OSError, ValueError) as error:
            parser.exit(1, f"{parser.prog}: {error}\n")
        return 0
    try:
        rows = bench(options.kernel, options.peers, options.threads, options.repeats, options.shape)
    except UsageError as error:
        parser.error(str(error))
    if options.json is not None:
        write_text(options.json, json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
