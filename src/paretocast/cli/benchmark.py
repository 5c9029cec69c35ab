"""`paretocast benchmark`: what tuned models are worth on the test split."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paretocast.cli.console import stderr_console, stdout_console
from paretocast.cli.datafile import DataFile, Target, Zone, declared
from paretocast.cli.options import SeriesOption
from paretocast.cli.tables import Column, TerminalTable
from paretocast.errors import SettingsError
from paretocast.formatting import unit_name
from paretocast.models.baselines.catalogue import BASELINES
from paretocast.search.models import MODELS
from paretocast.steps import noun

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paretocast.api.evaluation import SavedBenchmark
    from paretocast.benchmarking import BenchmarkPlan, RelearningRow, Row, WeatherErrorRow

WHAT, HOW, PLACE = "What is compared", "How it is done", "Data, place and device"
NEVER = "never"


def benchmark(
    study: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="STUDY",
            help="A study to take parameters and the data set from: its folder, or a "
            "best_params_*.json. \\[default: what --dataset and --models say]",
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="A named data set, or a TOML file. \\[default: demo]", rich_help_panel=WHAT
        ),
    ] = None,
    data: DataFile = None,
    target: Target = None,
    zone: Zone = None,
    series: SeriesOption = None,
    models: Annotated[
        str | None,
        typer.Option(
            help=f"Some of {', '.join(MODELS)}, joined by commas. \\[default: those of the newest "
            "study of several models, else all]",
            rich_help_panel=WHAT,
        ),
    ] = None,
    run: Annotated[
        list[Path] | None,
        typer.Option(
            help="The same as STUDY, for another data set of the same columns. May be repeated. "
            "\\[default: the newest finished study of each model]",
            rich_help_panel=WHAT,
        ),
    ] = None,
    methods: Annotated[
        str,
        typer.Option(
            help="Some of tuned, default, ensemble, references, or references by name "
            f"({', '.join(BASELINES)}), joined by commas.",
            rich_help_panel=WHAT,
        ),
    ] = "tuned,default,ensemble,references",
    members: Annotated[
        int,
        typer.Option(
            help="Trials in the ensemble at most; each is trained again.",
            min=2,
            rich_help_panel=WHAT,
        ),
    ] = 4,
    seeds: Annotated[
        int,
        typer.Option(
            help="Trainings of each method; scores are their mean, with its spread.",
            min=1,
            rich_help_panel=HOW,
        ),
    ] = 1,
    refit: Annotated[
        str | None,
        typer.Option(
            help="train+validation: learn from all hours before the test split. Calibrators still "
            "come from the model before. \\[default: train alone]",
            rich_help_panel=HOW,
        ),
    ] = None,
    retrain_every: Annotated[
        str,
        typer.Option(
            help="Learn again after so many days of the test split. Several ways joined by commas, "
            "such as never,30d,7d,1d, are compared with the first.",
            rich_help_panel=HOW,
        ),
    ] = NEVER,
    weather_error: Annotated[
        str | None,
        typer.Option(
            help="Such as 1.5K: forecast the test split once more, with measured temperatures of "
            "the horizon in error by such a standard deviation, and say what it costs.",
            rich_help_panel=HOW,
        ),
    ] = None,
    calibrator: Annotated[
        str,
        typer.Option(
            help="auto or names as in [bold]paretocast calibrate[/bold], joined by commas; "
            "each gives rows of its own.",
            rich_help_panel=HOW,
        ),
    ] = "auto",
    static: Annotated[
        bool,
        typer.Option(
            "--static",
            help="Let auto choose only calibrators that stay as they were fitted.",
            rich_help_panel=HOW,
        ),
    ] = False,
    again: Annotated[
        bool,
        typer.Option(
            "--again",
            help="Forget the trainings of earlier benchmarks in this workspace.",
            rich_help_panel=HOW,
        ),
    ] = False,
    settings: Annotated[
        Path | None,
        typer.Option(
            help="TOML file with the settings of models that have no study.",
            rich_help_panel=PLACE,
        ),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the data files. \\[default: $PARETOCAST_DATA]", rich_help_panel=PLACE
        ),
    ] = None,
    workspace: Annotated[
        Path | None,
        typer.Option(
            help="Where results are kept. \\[default: that of STUDY, else hpo]",
            rich_help_panel=PLACE,
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda or cuda:N.", rich_help_panel=PLACE)
    ] = "auto",
    threads: Annotated[
        int | None,
        typer.Option(
            help="CPU threads. \\[default: $OMP_NUM_THREADS, else all cores]",
            min=1,
            rich_help_panel=PLACE,
        ),
    ] = None,
    test: Annotated[
        bool,
        typer.Option(
            "--test",
            help="A rehearsal: 20 gradient steps for each training, kept apart in WORKSPACE/test.",
            rich_help_panel=PLACE,
        ),
    ] = False,
) -> None:
    """Retrain tuned models and score them on the test split, beside simple methods.

    Parameters come from the newest finished study of each model on the data set, else from
    results/best_params_MODEL.json, else from the defaults. A study that has used test hours, or
    was made on other data, is refused. Forecasts are issued daily; calibrators are fitted on
    the calibrate split. No choice depends on a test value.

    Interrupted, it keeps what is trained: the same command goes on from there.

    [bold]Examples[/bold]

      paretocast benchmark hpo/results/ALL_heat

      paretocast benchmark --dataset heat --data-dir data --refit train+validation

      paretocast benchmark --dataset heat --models NHITS_Q --seeds 3 --methods tuned,ridge

      paretocast benchmark --dataset heat --retrain-every never,30d,7d,1d

      paretocast benchmark --dataset heat --weather-error 1.5K

      paretocast benchmark --dataset zones.toml --series all
    """
    from paretocast.api.evaluation import (
        QUICK_STEPS,
        execute_benchmark,
        prepare_benchmark,
        save_across,
    )
    from paretocast.cli.diagnose import find_result
    from paretocast.cli.display import print_note, print_notes
    from paretocast.cli.progress import BenchmarkProgress
    from paretocast.cli.series import print_across
    from paretocast.data import expand_series
    from paretocast.results.stored_study import StoredStudy
    from paretocast.search.models import models_of
    from paretocast.study.interruption import StopRequest
    from paretocast.training import TrainingInterrupted
    from paretocast.training.pooling import KnownSeries

    if refit not in {None, "train+validation"}:
        raise SettingsError(f"--refit is {refit!r}, expected train+validation")
    named = [StoredStudy.open(find_result(place)) for place in study or []]
    if named:
        workspace = workspace or named[0].run.workspace
        models = models or ",".join(name for s in named for name in models_of(s.run.model))
        if dataset is None and data is None:
            dataset = named[0].dataset_path(data_dir)
            if data_dir is None and (kept := named[0].settings.data_dir) is not None:
                data_dir = Path(kept)
    workspace = workspace or Path("hpo")
    workspace = workspace / "test" if test else workspace
    dataset = (
        declared(data, dataset=dataset, workspace=workspace, target=target, zone=zone) or "demo"
    )
    references = expand_series(dataset, series)
    known = KnownSeries()
    plans = [
        prepare_benchmark(
            reference,
            None if models is None else _split(models),
            methods=_split(methods),
            runs=[*(found.run.best_params for found in named), *(run or [])],
            seeds=seeds,
            refit=refit is not None,
            retrain_days=_ways(retrain_every),
            weather_error=None if weather_error is None else _degrees(weather_error),
            calibrators=_split(calibrator),
            static=static,
            members=members,
            steps=QUICK_STEPS if test else None,
            settings=settings,
            data_dir=data_dir,
            workspace=workspace,
            device=device,
            threads=threads,
            known=known,
        )
        for reference in references
    ]
    saved = []
    for plan in plans:
        _print_plan(plan)
        try:
            with (
                StopRequest(lambda text: print_note(text, kind="")) as stop,
                BenchmarkProgress() as progress,
            ):
                done = execute_benchmark(
                    plan,
                    workspace=workspace,
                    device=device,
                    threads=threads,
                    forget=again,
                    observer=progress,
                    should_stop=stop,
                )
        except TrainingInterrupted:
            stderr_console().print(
                "stopped; finished trainings are kept, the same command goes on from there"
            )
            raise typer.Exit(1) from None
        print_benchmark(done)
        print_notes((*plan.task.notes, *plan.task.assumptions))
        saved.append(done)
    if len(saved) > 1:
        print_across(*save_across(saved, name=dataset, workspace=workspace))
    else:
        _print_files(saved[0])


def _print_files(saved: SavedBenchmark) -> None:
    stderr_console().print(
        f"\nresults in {saved.folder}\n  metrics.json, metrics.csv, predictions.csv.gz, "
        f"benchmark.html\nall benchmarks in {saved.history}",
        highlight=False,
        soft_wrap=True,
    )


def print_benchmark(saved: SavedBenchmark) -> None:
    """Print the scores, the selected method and the differences that matter."""
    from paretocast.cli.display import print_notes

    task, console = saved.result.plan.task, stdout_console()
    _score_table(saved).print()
    for sentence in saved.warnings:
        console.print(sentence, style="red", highlight=False)
    for sentence in saved.verdicts:
        console.print(sentence, highlight=False)
    if saved.result.relearning:
        _print_relearning(saved.result.relearning, unit=task.series.unit)
    if saved.result.weather_error:
        error = saved.result.plan.weather_error
        print_weather_error(saved.result.weather_error, error=error, unit=task.series.unit)
    print_notes(saved.result.notes)


def _score_table(saved: SavedBenchmark) -> TerminalTable:
    """All methods with their scores on the test split."""
    task, comparison = saved.result.plan.task, saved.result.comparison
    first, last = task.issue_times("test")[[0, -1]]
    seeds = any(row.spread for row in comparison.rows)
    table = TerminalTable(
        (
            Column("method", left=True),
            Column(
                "calibrator", rank=0 if len(saved.result.plan.calibrators) > 1 else 2, left=True
            ),
            Column("MAE"),
            *([Column("MAE ± seeds", rank=5, digits=2)] if seeds else []),
            Column("RMSE", rank=6),
            Column("PICP %", decimals=1),
            Column("95 % interval", rank=1),
            Column("width", rank=6),
            Column("pinball", rank=3),
            *([Column("pinball ± seeds", rank=5, digits=2)] if seeds else []),
            Column("Winkler", rank=4),
        ),
        title=f"{task.series.name}, test split: {len(task.issues['test'])} issues from "
        f"{first:%Y-%m-%d} to {last:%Y-%m-%d}, {comparison.rows[0].scores['n']:.0f} "
        f"{noun(task.shape.steps_per_day)}s; MAE, width and losses in "
        f"{unit_name(task.series.unit)}",
        all_with="metrics.csv or a wider terminal shows all",
    )
    for i, row in enumerate(comparison.rows):
        chosen = i == comparison.chosen
        cells = _cells(row, chosen=chosen, seeds=seeds)
        table.add(*cells, style="bold green" if chosen else None)
    return table


def _cells(row: Row, *, chosen: bool, seeds: bool) -> list[str | float | None]:
    entry, scores = row.entry, row.scores

    def with_spread(name: str) -> list[float | None]:
        return [scores[name], row.spread.get(name)] if seeds else [scores[name]]

    kind = "" if entry.parameters == "none" else f" {entry.parameters}"
    return [
        f"{entry.method}{kind}{' ★' if chosen else ''}",
        entry.calibrator,
        *with_spread("mae"),
        scores["rmse"],
        scores["picp"],
        f"{row.picp_low:.1f}–{row.picp_high:.1f}",
        scores["mean_width"],
        *with_spread("pinball"),
        scores["winkler"],
    ]


def _print_relearning(rows: Sequence[RelearningRow], *, unit: str) -> None:
    """Print what learning again gains and costs."""
    first = rows[0].every
    table = TerminalTable(
        (
            Column("method", left=True),
            Column("every"),
            Column("MAE"),
            Column(f"MAE against {first}", rank=1),
            Column("pinball", rank=2),
            Column(f"pinball against {first}", rank=2),
            Column("seconds", rank=1, decimals=0),
        ),
        title=f"Learning again in the test split; MAE and pinball in {unit_name(unit)}",
        all_with="metrics.json or a wider terminal shows all",
    )
    for row in rows:
        table.add(row.method, row.every, *_changes(row), row.seconds)
    table.print()


def print_weather_error(rows: Sequence[WeatherErrorRow], *, error: float | None, unit: str) -> None:
    """Print what an error of the weather costs."""
    table = TerminalTable(
        (
            Column("method", left=True),
            Column("MAE"),
            Column("MAE against measured", rank=1),
            Column("pinball", rank=2),
            Column("pinball against measured", rank=2),
        ),
        title=f"Temperatures of the horizon in error by {error:g} (one standard deviation, in "
        f"their unit); MAE and pinball in {unit_name(unit)}",
        all_with="metrics.json or a wider terminal shows all",
    )
    for row in rows:
        table.add(row.method, *_changes(row))
    table.print()


def _changes(row: RelearningRow | WeatherErrorRow) -> list[str | float]:
    """Scores of a row with their changes in words."""
    return [
        cell for score in ("mae", "pinball") for cell in (row.scores[score], row.change_text(score))
    ]


def _degrees(text: str) -> float:
    """A temperature difference such as 1.5K, in the unit of the covariate."""
    number = text.strip()
    for unit in ("K", "°C", "C"):
        number = number.removesuffix(unit)
    try:
        return float(number)
    except ValueError:
        raise SettingsError(
            f"--weather-error is {text!r}, expected a standard deviation such as 1.5K"
        ) from None


def _print_plan(plan: BenchmarkPlan) -> None:
    from rich.markup import escape

    console = stderr_console()
    for config in plan.configs:
        console.print(
            f"[bold]{config.model}[/bold] {escape(config.source)}",
            highlight=False,
            markup=True,
            soft_wrap=True,
        )
    if "ensemble" in plan.groups and plan.members is None:
        console.print(
            "no ensemble: fewer than two front trials, or no average better than one of them",
            highlight=False,
        )


def _ways(text: str) -> tuple[int | None, ...]:
    """Days after which methods learn again, None for never."""
    ways: list[int | None] = []
    for part in _split(text):
        days = part.removesuffix("d")
        if part != NEVER and not (days.isdecimal() and int(days) > 0):
            raise SettingsError(
                f"--retrain-every is {text!r}, expected {NEVER} or days such as 7d, or several "
                "of them joined by commas"
            )
        ways.append(None if part == NEVER else int(days))
    return tuple(ways)


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
