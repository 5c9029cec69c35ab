"""`paretocast diagnose`: coverage and width of intervals, by groups of target times."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paretocast.cli.console import stderr_console, stdout_console
from paretocast.cli.display import print_notes
from paretocast.errors import SettingsError

if TYPE_CHECKING:
    from paretocast.metrics.diagnostics import Diagnosis
    from paretocast.results.calibrator_file import StoredCalibrator
    from paretocast.results.forecasts import StoredForecast

RunArgument = Annotated[
    Path,
    typer.Argument(
        metavar="RUN",
        help="Folder of a model and data set, such as hpo/results/NHITS_Q_demo, or a "
        "best_params_*.json in it.",
        show_default=False,
    ),
]
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
    typer.Option("--members", help="Of the ensemble, at most. \\[default: 4]", min=2),
]
CoverageOption = Annotated[
    float | None,
    typer.Option(
        "--target-coverage",
        help="Of the interval that is judged, in percent. \\[default: that of the study]",
    ),
]
DataDirOption = Annotated[
    Path | None,
    typer.Option(help="Folder of the data files. \\[default: where the study found them]"),
]


def diagnose(
    run: RunArgument,
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
            "that it belongs to as it corrects it. It was fitted on the calibrate split, so judge "
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

    [bold]paretocast diagnose hpo/results/NHITS_Q_demo[/bold]
    """
    from paretocast.calibration import walk_forward
    from paretocast.metrics.diagnostics import diagnose as diagnose_forecast
    from paretocast.report import diagnosis_page
    from paretocast.results.calibrator_file import load_fitted
    from paretocast.results.groups import task_groupings
    from paretocast.workspace import files

    if split not in {"tune", "calibrate"}:
        raise SettingsError(f"split is {split!r}, expected tune or calibrate")
    if calibrator is None:
        opened = open_forecast(run, trial, ensemble=ensemble, most=members, data_dir=data_dir)
        opened = with_target_coverage(opened, target_coverage)
        forecast, subject = opened.forecast(split), f"{opened.subject}, {split} split"
    else:
        stored = load_fitted(calibrator)
        opened = _open_stored(stored, calibrator, run, data_dir=data_dir)
        alone = len(opened.members) == 1
        if (ensemble and alone) or (trial is not None and not (alone and trial == opened.number)):
            raise SettingsError(
                f"{calibrator} belongs to {opened.subject}; leave out --trial and --ensemble"
            )
        opened = with_target_coverage(opened, target_coverage or stored.target_coverage)
        forecast = walk_forward(stored.calibrator, opened.forecast(split)).forecast
        subject = f"{opened.subject}, {split} split, calibrated by {stored.calibrator.name}"
    print_notes(opened.task.assumptions)
    diagnosis = diagnose_forecast(
        forecast,
        task_groupings(opened.task, split, forecast),
        target=opened.settings.target_coverage,
    )
    print_diagnosis(diagnosis, unit=opened.unit, subject=subject)
    written = page or opened.run.page("diagnosis")
    files.save_text(
        written,
        diagnosis_page(
            diagnosis,
            model=opened.run.model,
            dataset=opened.run.dataset,
            unit=opened.unit,
            subject=subject,
            notes=opened.task.assumptions,
        ),
    )
    stderr_console().print(f"figures in {written}", highlight=False, soft_wrap=True)


def print_diagnosis(diagnosis: Diagnosis, *, unit: str, subject: str) -> None:
    """Print the groups and the weakest of them."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from paretocast.report import GROUP_COLUMNS, group_cells, worst_sentence

    console = stdout_console()
    console.print(
        f"[bold]{escape(subject)}[/bold]: the {diagnosis.target:g} % interval; width and Winkler "
        f"score in {escape(unit)}",
        highlight=False,
    )
    for breakdown in (None, *diagnosis.breakdowns):
        table = Table(
            title=f"by {breakdown.name}" if breakdown else "all target times",
            title_justify="left",
            box=box.SIMPLE_HEAD,
        )
        for i, column in enumerate(GROUP_COLUMNS):
            table.add_column(column, justify="right" if i else "left")
        for group in breakdown.groups if breakdown else (diagnosis.overall,):
            outside = not group.low <= diagnosis.target <= group.high
            table.add_row(*map(escape, group_cells(group)), style="yellow" if outside else None)
        console.print(table)
    levels = Table(
        title="observations below each quantile", title_justify="left", box=box.SIMPLE_HEAD
    )
    for column in ("level %", "observed %", "95 % interval"):
        levels.add_column(column, justify="right")
    for share in diagnosis.reliability:
        levels.add_row(
            f"{share.at:g}", f"{share.observed:.1f}", f"{share.low:.1f}–{share.high:.1f}"
        )
    console.print(levels)
    if diagnosis.worst is not None:
        console.print(worst_sentence(diagnosis.worst, diagnosis.target), highlight=False)


def open_forecast(
    run: Path, trial: int | None, *, ensemble: bool, most: int | None, data_dir: Path | None
) -> StoredForecast:
    """The forecast that the options mean: of a trial, or of the ensemble."""
    from paretocast.calibration.ensemble import MOST_MEMBERS
    from paretocast.results.forecasts import open_ensemble, open_trial

    if ensemble and trial is not None:
        raise SettingsError("--trial and --ensemble exclude each other; give one of them")
    if most is not None and not ensemble:
        raise SettingsError("--members is for --ensemble")
    if ensemble:
        return open_ensemble(run, most=most or MOST_MEMBERS, data_dir=data_dir)
    return open_trial(run, trial, data_dir=data_dir)


def with_target_coverage(opened: StoredForecast, target_coverage: float | None) -> StoredForecast:
    """The forecast with another interval to score; that of the study without one."""
    from paretocast.metrics.scores import SAME_LEVEL, central_levels

    if target_coverage is None:
        return opened
    if not 1.0 < target_coverage < 100.0:
        raise SettingsError(f"target coverage is {target_coverage:g} %, expected between 1 and 100")
    low, high = central_levels(target_coverage)
    levels = opened.task.shape.levels
    if low < levels[0] - SAME_LEVEL or high > levels[-1] + SAME_LEVEL:
        stderr_console().print(
            f"[yellow]note[/yellow] the {target_coverage:g} % interval lies beyond the stored "
            f"levels, {levels[0]:g} to {levels[-1]:g}: its bounds are read from the tails that "
            "these draw",
            highlight=False,
        )
    return opened.with_target(target_coverage)


def _open_stored(
    stored: StoredCalibrator, path: Path, run: Path, *, data_dir: Path | None
) -> StoredForecast:
    """The forecast that a calibrator was fitted to."""
    from paretocast.results.forecasts import open_members
    from paretocast.results.stored_study import StoredStudy

    study = StoredStudy.open(run)
    study_name = study.run.study_name
    if stored.study_name != study_name:
        raise SettingsError(f"{path} belongs to {stored.study_name}, not to {study_name}")
    return open_members(study, stored.members, data_dir=data_dir)
