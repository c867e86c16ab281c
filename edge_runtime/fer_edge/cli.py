"""`fer-edge`: the commands of the runtime, and those that other packages add.

Nothing heavy is imported before a command runs, to keep `fer-edge --help` fast on a Pi.
"""

import errno
import importlib.metadata
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text
from typer.core import TyperGroup

import fer_edge
from fer_edge.commands import demo, machine, models, run, service
from fer_edge.console import console
from fer_edge.errors import FerEdgeError
from fer_edge.files import expanded
from fer_edge.options import did_you_mean

USAGE_ERROR: Any = typer.BadParameter.__mro__[1]
"""Typer's usage error: UsageError of its bundled or installed click."""


class Commands(TyperGroup):
    """Turns errors into one line and an exit code."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the options before the command; show one line on an error, and the help without arguments."""
        if not args:  # shows the help
            return super().parse_args(ctx, args)
        try:
            return super().parse_args(ctx, [_with_home(argument) for argument in args])
        except USAGE_ERROR as error:
            _show_error(_in_one_line(error))
            raise typer.Exit(error.exit_code) from error

    def invoke(self, ctx: Any) -> Any:
        """Run the command; a refused request ends in one line on stderr, never in a traceback."""
        _reopen_closed_streams()
        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # fer_edge.__main__ had switched it off
            signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            return super().invoke(ctx)
        except FerEdgeError as error:
            _show_error(str(error))
            raise typer.Exit(error.exit_code) from error
        except USAGE_ERROR as error:
            _show_error(_in_one_line(error))
            raise typer.Exit(error.exit_code) from error
        except OSError as error:
            if error.errno == errno.EPIPE:  # `| head` has seen enough
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left would fail again at the end
                raise typer.Exit(0) from error
            place = f"{error.filename}: " if error.filename else ""
            _show_error(f"{place}{error.strerror or error}")
            raise typer.Exit(1) from error
        except KeyboardInterrupt as error:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second Ctrl-C exits immediately, without a traceback
            console.print("stopped")
            raise typer.Exit(130) from error


def _with_home(argument: str) -> str:
    """Expand the ~ of `--save=~/out`, which a shell leaves to the program."""
    flag, _, value = argument.partition("=")
    return f"{flag}={expanded(Path(value))}" if flag.startswith("--") and value.startswith("~") else argument


def _in_one_line(refused: Any) -> str:
    """Say what Typer says in a box, and what may have been meant by a flag that there is not."""
    command = refused.ctx.command_path if refused.ctx else "fer-edge"
    if not (hasattr(refused, "possibilities") and hasattr(refused, "option_name")):  # about anything but such a flag
        return f"{refused.format_message().rstrip('.?')}; see: {command} --help"
    flags = [flag for option in refused.ctx.command.params for flag in option.opts]
    return f"no flag {refused.option_name}; {did_you_mean(refused.option_name, flags)}see: {command} --help"


def _reopen_closed_streams() -> None:
    """Reopen stdout and stderr if they were closed at the start (>&-), or the next file would get their output."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            devnull = os.open(os.devnull, os.O_WRONLY)
            os.dup2(devnull, number)
            if devnull != number:
                os.close(devnull)
            setattr(sys, name, os.fdopen(number, "w"))


def _show_error(message: str) -> None:
    console.print(Text.assemble(("error: ", "red"), message))


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Facial expression recognition on the edge: prepare, train, export to int8 with proof, run on a camera.",
)


def _show_version(requested: bool) -> None:
    if requested:
        typer.echo(f"fer-edge {fer_edge.__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options before the command."""


for _module in (run, models, machine, service, demo):
    app.add_typer(_module.app)
for _entry in sorted(importlib.metadata.entry_points(group="fer_edge.commands"), key=lambda entry: entry.name):
    app.add_typer(_entry.load())
