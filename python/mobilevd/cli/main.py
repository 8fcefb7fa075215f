"""The app: global behaviour (errors, exit codes, output) and the list of sub-commands."""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from .. import __version__
from ..errors import ExitCode, UsageError

app = typer.Typer(
    name="mobilevd",
    help="One picture in, a short clip out: train, shrink, export and run image-to-video models.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def version(
    context: typer.Context,
    show: bool = typer.Option(False, "--version", help="Print the version and exit."),
) -> None:
    if show:
        print(f"mobilevd {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        raise UsageError("no command given: see mobilevd --help")


def main(arguments: list[str] | None = None) -> None:
    """Runs a command line; ends the process with an :class:`ExitCode`."""
    try:
        from . import commands  # noqa: F401  (registers the sub-commands)

        code = app(args=arguments, standalone_mode=False)
    except typer.Abort:
        _fail("stopped", ExitCode.STOPPED)
    except KeyboardInterrupt:
        _fail("stopped", ExitCode.STOPPED)
    except Exception as error:
        if hasattr(error, "format_message"):  # click's own usage errors
            _fail(error.format_message(), ExitCode.USAGE)
        if isinstance(error, ValueError | OSError | RuntimeError | ImportError):
            _fail(str(error), getattr(error, "exit_code", ExitCode.BAD_DATA))
        raise
    if code == ExitCode.STOPPED:  # how typer hands on a Ctrl-C
        _fail("stopped", ExitCode.STOPPED)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> None:
    text = " ".join(line.strip() for line in message.splitlines() if line.strip())
    Console(stderr=True, soft_wrap=True, highlight=False).print(f"mobilevd: {text}", markup=False)
    sys.exit(code)
