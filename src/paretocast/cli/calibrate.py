"""`paretocast calibrate`: intervals that hold what they claim, from a trial's stored forecasts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paretocast.cli.console import numbers_console, significant, talk_console
from paretocast.cli.diagnose import DataDirOption, RunArgument, TrialOption
from paretocast.errors import SettingsError

if TYPE_CHECKING:
    from paretocast.calibration import Trialled
    from paretocast.replay import FinishedTrial

FILE_SCHEMA_VERSION = 1


def calibrate(
    run: RunArgument,
    trial: TrialOption = None,
    calibrator: Annotated[
        str,
        typer.Option(
            help="auto compares all; else none, cqr, cqr-asymmetric, cqr-relative, isotonic, "
            "cqr-lead, cqr-hour, cqr-season, cqr-hour-season, aci or pid."
        ),
    ] = "auto",
    static: Annotated[
        bool,
        typer.Option(
            "--static",
            help="Leave out calibrators that go on learning while they are used (aci, pid).",
        ),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(help="Where it is written. \\[default: calibrator_*.json in the run]"),
    ] = None,
    data_dir: DataDirOption = None,
) -> None:
    """Fit a calibrator on the calibrate split of a trial and write it as JSON.

    The calibrate split served neither training nor selection. Calibrators are compared on four
    stretches of it, each judged by a fit on the other three; the lowest Winkler score wins and is
    fitted again on the whole split.

    How to read the table: PICP should be at the target, then narrower is better, and the Winkler
    score weighs both. A calibrator can narrow intervals as well as widen them.

    [bold]paretocast calibrate hpo/results/NHITS_Q_demo[/bold]
    """
    from paretocast import store
    from paretocast.calibration import (
        FEWEST_COMPARED_WINDOWS,
        METHODS,
        choose_calibrator,
        fit_calibrator,
    )
    from paretocast.replay import open_trial

    if calibrator not in {"auto", *METHODS}:
        raise SettingsError(
            f"calibrator {calibrator!r} is unknown, expected auto or one of {', '.join(METHODS)}"
        )
    opened = open_trial(run, trial, data_dir=data_dir)
    sample = opened.sample("calibrate")
    coverage = opened.settings.target_coverage
    if calibrator == "auto":
        names = [name for name, method in METHODS.items() if not (static and method.online)]
        choice = choose_calibrator(sample, coverage=coverage, names=names)
        fitted, compared, reason = choice.calibrator, choice.compared, choice.reason
    else:
        fitted, compared, reason = fit_calibrator(sample, calibrator), (), f"{calibrator} was named"
        if sample.n_observed_windows >= FEWEST_COMPARED_WINDOWS:
            names = ["none", calibrator]
            compared = choose_calibrator(sample, coverage=coverage, names=names).compared
    if compared:
        print_comparison(compared, chosen=fitted.name, opened=opened)
    console = numbers_console()
    console.print(f"[bold]{fitted.name}[/bold]: {METHODS[fitted.name].meaning}", highlight=False)
    console.print(reason, highlight=False)
    for note in fitted.notes:
        console.print(f"[yellow]{note}[/yellow]", highlight=False)
    path = output or opened.run.folder / (
        f"calibrator_{opened.run.study_name}_trial{opened.number:04d}.json"
    )
    store.save_json(
        path,
        {
            "schema_version": FILE_SCHEMA_VERSION,
            "study_name": opened.run.study_name,
            "trial": opened.number,
            "target_coverage": coverage,
            "fitted_on": "calibrate",
            "n_windows": sample.n_windows,
            "judged_on": "rolled folds of calibrate" if compared else None,
            "reason": reason,
            "compared": [vars(trialled) for trialled in compared],
            "calibrator": fitted.as_json(),
        },
    )
    talk_console().print(f"calibrator in {path}", highlight=False, soft_wrap=True)


def print_comparison(compared: tuple[Trialled, ...], *, chosen: str, opened: FinishedTrial) -> None:
    """Every method on the same folds."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    console = numbers_console()
    console.print(
        f"[bold]trial {opened.number}[/bold] on rolled folds of the calibrate split "
        f"({compared[0].n} hours), {opened.settings.target_coverage:g} % interval; width and "
        f"losses in {escape(opened.unit)}",
        highlight=False,
    )
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("calibrator")
    for column in ("PICP %", "width", "Winkler", "pinball"):
        table.add_column(column, justify="right")
    for trialled in compared:
        mark = " ★" if trialled.name == chosen else ""
        table.add_row(
            f"{trialled.name}{mark}",
            f"{trialled.picp:.1f}",
            *(significant(x) for x in (trialled.mean_width, trialled.winkler, trialled.pinball)),
            style="bold green" if mark else None,
        )
    console.print(table)
