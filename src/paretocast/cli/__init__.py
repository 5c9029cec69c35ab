"""The command line: a command parses, calls one function, prints, exits.

Exit codes: 0 done, 1 our error, 2 wrong usage. Numbers go to stdout, talk to stderr. Heavy modules
are imported inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from paretocast import __version__
from paretocast.cli.analyze import analyze
from paretocast.cli.benchmark import benchmark
from paretocast.cli.calibrate import calibrate
from paretocast.cli.console import stderr_console
from paretocast.cli.consolidate import consolidate
from paretocast.cli.ctrl_c import is_ctrl_c, lasting_ctrl_c
from paretocast.cli.data import data_app
from paretocast.cli.deploy import audit, card, deploy
from paretocast.cli.diagnose import diagnose
from paretocast.cli.export import export
from paretocast.cli.forecast import forecast, observe
from paretocast.cli.monitor import monitor
from paretocast.cli.retrain import retrain, rollback
from paretocast.cli.serve import serve
from paretocast.cli.status import status
from paretocast.cli.streams import protect_streams
from paretocast.cli.submit import USAGE_ERROR, cancel, resubmit, submit
from paretocast.cli.tune import INTERRUPTED, tune, worker
from paretocast.cli.view import site, view
from paretocast.cli.weather import weather
from paretocast.errors import ParetocastError, SettingsError
from paretocast.redaction import redacted
from paretocast.registry import load_plugins

app = typer.Typer(
    name="paretocast",
    help=(
        "Tune probabilistic day-ahead forecasters for accuracy and for the coverage of their "
        "intervals."
    ),
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog=(
        "A first session: [bold]paretocast tune --model NHITS_Q --dataset demo --trials 8[/bold]"
    ),
)
SEARCH, CLUSTER, RESULTS, FORECASTS = (
    "Search",
    "Jobs on a cluster",
    "Results of searches",
    "Forecasts every day",
)
PANELS: dict[str, tuple[Callable[..., None], ...]] = {
    SEARCH: (tune, worker),
    RESULTS: (view, status, analyze, consolidate, calibrate, diagnose, benchmark, site),
    CLUSTER: (submit, resubmit, cancel),
    FORECASTS: (
        *(deploy, weather, forecast, observe, monitor, retrain, rollback),
        *(card, audit, export, serve),
    ),
}
app.add_typer(data_app, name="data", rich_help_panel="Data")
for panel, commands in PANELS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)


def _flowing(text: str) -> str:
    """Paragraphs of a line each, for the terminal to wrap; indented ones are kept as they are."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(p if p.startswith(" ") else " ".join(p.split()) for p in paragraphs)


for registered in (*app.registered_commands, *data_app.registered_commands):
    registered.help = _flowing(getattr(registered.callback, "__doc__", None) or "")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"paretocast {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Options before the command."""


def main() -> None:
    """Run the command line; what a user or a machine can cause is a message and an exit code."""
    if "torch" not in sys.modules:  # it asks but once whether threads that wait sleep or spin
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    before = sys.stdout, sys.stderr
    out, _ = protect_streams()
    try:
        with lasting_ctrl_c():
            code = _exit_code()
        out.flush()
    except BrokenPipeError:
        code = 1
    finally:
        sys.stdout, sys.stderr = before
    if out.failure is not None and not isinstance(out.failure, BrokenPipeError):
        reason = out.failure.strerror
        typer.secho(f"error: stdout cannot be written: {reason}; files are complete", err=True)
        code = code or 1
    sys.exit(code)


def _exit_code() -> int:
    """Run the command and return its exit code, after a line on what has ended it early."""
    try:
        _check_working_directory()
        load_plugins()
        return int(app(prog_name="paretocast", standalone_mode=False) or 0)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except ParetocastError as error:
        _print_error(str(error))
        return 2 if isinstance(error, SettingsError) else 1
    except USAGE_ERROR as error:
        _print_usage_error(error)
        return 2
    except (KeyboardInterrupt, typer.Abort):
        return _stopped()
    except BrokenPipeError:
        raise
    except (ImportError, MemoryError, OSError, RuntimeError) as error:
        return _stopped() if is_ctrl_c(error) else _told_fault(error)


def _check_working_directory() -> None:
    """Refuse to begin without one: libraries end the whole process over that."""
    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise ParetocastError(
            "the working directory is no longer there; change into another one"
        ) from error


def _stopped() -> int:
    _print_error("stopped")
    return INTERRUPTED


def _told_fault(error: ImportError | MemoryError | OSError | RuntimeError) -> int:
    """Print what the machine refuses, in a line: permission, room, memory, a name too long."""
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        _print_error(f"{where}{error.strerror or error}")
    elif isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        told = f": {error}" if str(error) else ""
        _print_error(f"out of memory{told}; use smaller data or a machine with more")
    elif _NO_MEMORY.search(str(error)):
        _print_error(f"a library cannot be loaded, memory is too small: {error}")
    elif "can't start new thread" in str(error):
        _print_error(
            "no thread can be started; raise the limit of processes (ulimit -u), end other ones, "
            "or allow more memory"
        )
    else:
        raise error
    return 1


# A path or a value that no reader needs whole.
_ENDLESS = re.compile(r"(\S{200})\S{800,}")
_NO_MEMORY = re.compile("failed to map segment|[Cc]annot allocate memory")


def _print_error(text: str) -> None:
    told = _ENDLESS.sub(r"\1…", redacted(text))
    stderr_console().print(
        f"error: {told}", style="red", markup=False, highlight=False, soft_wrap=True
    )


def _print_usage_error(error: Exception) -> None:
    """Print what is wrong with the options and where they are listed."""
    if not str(error) or type(error).__name__ == "NoArgsIsHelpError":
        return  # the help itself has been printed
    told = error.format_message() if hasattr(error, "format_message") else str(error)
    context = getattr(error, "ctx", None)
    name = "paretocast" if context is None else context.command_path
    _print_error(told)
    stderr_console().print(f"{name} --help lists what there is", highlight=False)
