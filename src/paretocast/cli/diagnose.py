"""`paretocast diagnose`: coverage and width of intervals, by groups of target times."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paretocast.cli.console import stderr_console, stdout_console
from paretocast.cli.display import print_note, print_notes
from paretocast.cli.tables import Column, TerminalTable
from paretocast.formatting import from_here, unit_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paretocast.metrics.diagnostics import Diagnosis, GroupCoverage

RunArgument = Annotated[
    Path,
    typer.Argument(
        metavar="STUDY",
        help="A workspace or the folder of a model and data set, such as "
        "hpo/results/NHITS_Q_demo: the newest finished study in it; or a best_params_*.json.",
    ),
]
WORKSPACE = Path("hpo")
TrialOption = Annotated[
    int | None,
    typer.Option("--trial", help="Number of a trial. \\[default: the chosen one]", min=0),
]
EnsembleOption = Annotated[
    bool,
    typer.Option(
        "--ensemble",
        help="The level-wise average of trials on the front or tied with it, in place of one "
        "trial; chosen on the tune split.",
    ),
]
MembersOption = Annotated[
    int | None,
    typer.Option("--members", help="Trials in the ensemble at most. \\[default: 4]", min=2),
]
CoverageOption = Annotated[
    float | None,
    typer.Option(
        "--target-coverage",
        help="Coverage of the interval that is scored, in percent. \\[default: that of the study]",
    ),
]
DataDirOption = Annotated[
    Path | None,
    typer.Option(help="Folder of the data files. \\[default: where the study found them]"),
]


def diagnose(
    run: RunArgument = WORKSPACE,
    trial: TrialOption = None,
    ensemble: EnsembleOption = False,
    members: MembersOption = None,
    split: Annotated[
        str, typer.Option(help="tune (the trial was chosen on it) or calibrate (it was not).")
    ] = "calibrate",
    calibrator: Annotated[
        Path | None,
        typer.Option(
            help="A calibrator_*.json that `paretocast calibrate` wrote: diagnose the forecast "
            "that it belongs to as it corrects it. It was fitted on the calibrate split, so check "
            "it with --split tune."
        ),
    ] = None,
    target_coverage: CoverageOption = None,
    page: Annotated[
        Path | None,
        typer.Option(help="Where the page is written. \\[default: diagnosis_*.html in the run]"),
    ] = None,
    data_dir: DataDirOption = None,
) -> None:
    """Coverage and width by lead time, hour, weekday, month, demand and temperature.

    Reads the stored forecasts of a trial; nothing is trained. Prints the reliability of every level
    and the groups, and writes a page with figures.

    Every coverage comes with a 95 % interval from resampled days. With so many groups a few lie
    outside theirs by chance; the interval of the weakest one is widened for that.

    [bold]paretocast diagnose[/bold], or [bold]paretocast diagnose hpo/results/NHITS_Q_demo[/bold]
    """
    from paretocast.api.intervals import diagnose as diagnose_study

    diagnosed = diagnose_study(
        find_result(run),
        split=split,
        trial=trial,
        ensemble=ensemble,
        members=members,
        calibrator=calibrator,
        target_coverage=target_coverage,
        output=page,
        data_dir=data_dir,
        say=print_note,
    )
    print_notes((*diagnosed.opened.task.notes, *diagnosed.opened.task.assumptions))
    print_diagnosis(diagnosed.diagnosis, unit=diagnosed.opened.unit, subject=diagnosed.subject)
    stderr_console().print(
        f"figures in {from_here(diagnosed.path)}", highlight=False, soft_wrap=True
    )


def find_result(place: Path) -> Path:
    """Result file of the newest finished study in a place; says which one it is of several."""
    from paretocast.results.stored_study import find_newest

    study, n_studies = find_newest(place)
    if n_studies > 1 or (place.is_dir() and place.absolute() != study.run.folder):
        print_note(f"the newest finished study of {n_studies}: {study.run.study_name}")
    return study.run.best_params


def print_diagnosis(diagnosis: Diagnosis, *, unit: str, subject: str) -> None:
    """Print the groups and the weakest of them."""
    from rich.markup import escape

    from paretocast.report import worst_sentence

    console = stdout_console()
    console.print(
        f"[bold]{escape(subject)}[/bold]: the {diagnosis.target:g} % interval; width and Winkler "
        f"score in {escape(unit_name(unit))}",
        highlight=False,
        markup=True,
    )
    _print_groups("all target times", (diagnosis.overall,), target=diagnosis.target)
    for breakdown in diagnosis.breakdowns:
        _print_groups(f"by {breakdown.name}", breakdown.groups, target=diagnosis.target)
    levels = TerminalTable(
        (Column("level %"), Column("observed %", decimals=1), Column("95 % interval")),
        title="observations below each quantile",
    )
    for share in diagnosis.reliability:
        levels.add(f"{share.at:g}", share.observed, f"{share.low:.1f}–{share.high:.1f}")
    levels.print()
    if diagnosis.worst is not None:
        console.print(worst_sentence(diagnosis.worst, diagnosis.target), highlight=False)


def _print_groups(title: str, groups: Sequence[GroupCoverage], *, target: float) -> None:
    table = TerminalTable(
        (
            Column("", left=True),
            Column("PICP %", decimals=1),
            Column("95 % interval"),
            Column("width", rank=2),
            Column("Winkler", rank=1),
            Column("values", rank=3),
            Column("windows", rank=4),
        ),
        title=title,
    )
    for group in groups:
        table.add(
            group.label,
            group.picp,
            f"{group.low:.1f}–{group.high:.1f}",
            group.mean_width,
            group.winkler,
            group.n,
            group.n_windows,
            style=None if group.low <= target <= group.high else "yellow",
        )
    table.print()
