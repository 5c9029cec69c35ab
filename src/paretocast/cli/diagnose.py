"""`paretocast diagnose`: where the intervals of a trial keep their promise."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paretocast.cli.console import numbers_console, talk_console
from paretocast.errors import SettingsError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from paretocast.diagnostics import Diagnosis
    from paretocast.replay import FinishedTrial

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
DataDirOption = Annotated[
    Path | None,
    typer.Option(help="Folder of the data files. \\[default: where the study found them]"),
]


def diagnose(
    run: RunArgument,
    trial: TrialOption = None,
    split: Annotated[
        str, typer.Option(help="tune (the trial was chosen on it) or calibrate (it was not).")
    ] = "calibrate",
    calibrator: Annotated[
        Path | None,
        typer.Option(
            help="A calibrator_*.json that `paretocast calibrate` wrote: diagnose the forecast as "
            "it corrects it. It was fitted on the calibrate split, so judge it with --split tune."
        ),
    ] = None,
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
    from paretocast import store
    from paretocast.diagnostics import diagnose as diagnose_forecast
    from paretocast.replay import open_trial
    from paretocast.report import diagnosis_page
    from paretocast.slabs import task_groupings

    if split not in {"tune", "calibrate"}:
        raise SettingsError(f"split is {split!r}, expected tune or calibrate")
    opened = open_trial(run, trial, data_dir=data_dir)
    forecast, subject = opened.forecasts[split], f"trial {opened.number}, {split} split"
    if calibrator is not None:
        forecast = _calibrated(opened, split, calibrator)
        subject = f"{subject}, calibrated"
    diagnosis = diagnose_forecast(
        opened.task.observed(split),
        forecast,
        task_groupings(opened.task, split, forecast),
        levels=opened.task.shape.levels,
        target=opened.settings.target_coverage,
    )
    print_diagnosis(diagnosis, unit=opened.unit, subject=subject)
    written = page or opened.run.page("diagnosis")
    store.save_text(
        written,
        diagnosis_page(
            diagnosis,
            model=opened.run.model,
            dataset=opened.run.dataset,
            unit=opened.unit,
            subject=subject,
        ),
    )
    talk_console().print(f"figures in {written}", highlight=False, soft_wrap=True)


def print_diagnosis(diagnosis: Diagnosis, *, unit: str, subject: str) -> None:
    """The groups and the weakest of them."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from paretocast.report import SLAB_COLUMNS, slab_cells, worst_sentence

    console = numbers_console()
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
        for i, column in enumerate(SLAB_COLUMNS):
            table.add_column(column, justify="right" if i else "left")
        for slab in breakdown.slabs if breakdown else (diagnosis.overall,):
            outside = not slab.low <= diagnosis.target <= slab.high
            table.add_row(*map(escape, slab_cells(slab)), style="yellow" if outside else None)
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


def _calibrated(opened: FinishedTrial, split: str, path: Path) -> NDArray[np.float64]:
    """The stored forecast as the calibrator in a file corrects it."""
    from paretocast import store
    from paretocast.calibration import load_calibrator, walk_forward

    fitted = load_calibrator(store.load_json(path)["calibrator"])
    return walk_forward(fitted, opened.sample(split)).forecast
