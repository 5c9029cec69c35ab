"""`paretocast calibrate`: fit a calibrator to the stored forecasts of a study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paretocast.cli.console import stderr_console, stdout_console
from paretocast.cli.diagnose import (
    WORKSPACE,
    CoverageOption,
    DataDirOption,
    EnsembleOption,
    MembersOption,
    RunArgument,
    TrialOption,
    find_result,
)
from paretocast.cli.display import print_note, print_notes
from paretocast.cli.tables import Column, TerminalTable
from paretocast.formatting import from_here, measured, unit_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paretocast.calibration import IntervalScores
    from paretocast.results.assessment import EnsembleAssessment, PairedComparison
    from paretocast.results.forecasts import StoredForecast


def calibrate(
    run: RunArgument = WORKSPACE,
    trial: TrialOption = None,
    ensemble: EnsembleOption = False,
    members: MembersOption = None,
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
    target_coverage: CoverageOption = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Where it is written. \\[default: calibrator_*.json in the run]"),
    ] = None,
    data_dir: DataDirOption = None,
) -> None:
    """Fit a calibrator on the calibrate split of a trial and write it as JSON.

    The calibrate split served neither training nor selection. Calibrators are compared on four
    parts of it, each scored under a fit on the other three. Coverage that agrees with the target
    comes first, then pid, unless another one has a Winkler score that is lower beyond chance. The
    best one is fitted again on the whole split.

    No calibrator moves the median, unless that lowers the error on the folds by a tenth and more.

    How to read the table: PICP should be at the target, then narrower is better, and the Winkler
    score weighs both. A calibrator can narrow intervals as well as widen them.

    With --ensemble, trials on the front and tied with it are averaged level by level as is best on
    the tune split, and the average is compared with the chosen trial on the calibrate split. The
    JSON holds what it takes to make that forecast again.

    [bold]paretocast calibrate[/bold], or [bold]paretocast calibrate hpo/results/NHITS_Q_demo[/bold]
    """
    from rich.markup import escape

    from paretocast.api.intervals import calibrate as calibrate_study
    from paretocast.calibration import CALIBRATORS
    from paretocast.workspace.progress import inspect_run

    calibration = calibrate_study(
        find_result(run),
        calibrator,
        trial=trial,
        ensemble=ensemble,
        members=members,
        static=static,
        target_coverage=target_coverage,
        output=output,
        data_dir=data_dir,
        say=print_note,
    )
    opened, saved = calibration.opened, calibration.saved
    print_notes((*opened.task.notes, *opened.task.assumptions))
    if inspect_run(opened.run).n_running:
        print_note(f"{opened.run.study_name} is under way: it may still choose another trial")
    if saved.ensemble is not None:
        print_ensemble(opened, saved.ensemble)
    selection = saved.selection
    name = selection.calibrator.name
    if selection.compared:
        print_comparison(selection.compared, selected=name, opened=opened)
    console = stdout_console()
    meaning = escape(CALIBRATORS[name].meaning)
    console.print(f"[bold]{name}[/bold]: {meaning}", highlight=False, markup=True)
    console.print(selection.reason, highlight=False)
    for note in selection.calibrator.notes:
        console.print(note, style="yellow", highlight=False)
    stderr_console().print(
        f"calibrator in {from_here(saved.path)}", highlight=False, soft_wrap=True
    )


def print_comparison(
    compared: tuple[IntervalScores, ...], *, selected: str, opened: StoredForecast
) -> None:
    """Print the scores of every method on the same folds."""
    from rich.markup import escape

    from paretocast.calibration.selection import N_FOLDS
    from paretocast.steps import noun

    stdout_console().print(
        f"[bold]{escape(opened.subject)}[/bold] in {N_FOLDS}-fold cross-validation on the "
        f"calibrate split ({compared[0].n} {noun(opened.settings.task.steps_per_day)}s), "
        f"{opened.settings.target_coverage:g} % interval; width and losses in "
        f"{escape(unit_name(opened.unit))}",
        highlight=False,
        markup=True,
    )
    _print_scores("calibrator", compared, marked=selected)


def print_ensemble(opened: StoredForecast, assessed: EnsembleAssessment) -> None:
    """Print members with their weights, and the comparison with the chosen trial."""
    from rich.markup import escape

    console = stdout_console()
    console.print(
        f"[bold]{escape(opened.subject)}[/bold], chosen on the tune split; losses in "
        f"{escape(unit_name(opened.unit))}",
        highlight=False,
        markup=True,
    )
    table = TerminalTable(
        (Column("member", left=True), Column("weight %", decimals=0), Column("pinball on tune"))
    )
    for member in assessed.members:
        table.add(member.subject, 100.0 * member.weight, member.pinball)
    table.add_section()
    table.add("together", 100.0, assessed.pinball)
    table.print()
    if assessed.against_trial is None:
        console.print("the forecasts of the chosen trial were removed: nothing to compare with")
        return
    console.print(
        "against the chosen trial on the calibrate split, which was used to select neither; "
        f"{opened.settings.target_coverage:g} % interval, not calibrated",
        highlight=False,
    )
    _print_scores("", assessed.against_trial.rows)
    console.print(_verdict(assessed.against_trial), highlight=False)


def _verdict(comparison: PairedComparison) -> str:
    gap = comparison.difference
    side = "lower" if gap.mean < 0.0 else "higher"
    sure = "beyond chance" if comparison.beyond_chance else "consistent with chance"
    return (
        f"the pinball loss of the ensemble is {measured(abs(gap.mean), 2)} {side} (95 % "
        f"interval of the difference {measured(gap.low, 2)} to {measured(gap.high, 2)}), "
        f"{sure}"
    )


def _print_scores(
    heading: str, rows: Sequence[IntervalScores], *, marked: str | None = None
) -> None:
    table = TerminalTable(
        (
            Column(heading, left=True),
            Column("PICP %", decimals=1),
            Column("width", rank=2),
            Column("Winkler"),
            Column("pinball", rank=1),
        )
    )
    for row in rows:
        star = row.name == marked
        table.add(
            f"{row.name} ★" if star else row.name,
            row.picp,
            row.mean_width,
            row.winkler,
            row.pinball,
            style="bold green" if star else None,
        )
    table.print()
