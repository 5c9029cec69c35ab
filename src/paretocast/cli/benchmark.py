"""`paretocast benchmark`: what tuned models are worth on the test split."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paretocast.cli.console import significant, stderr_console, stdout_console
from paretocast.cli.datafile import DataFile, Target, Zone, declared
from paretocast.cli.options import SeriesOption
from paretocast.errors import SettingsError
from paretocast.models.baselines.catalogue import BASELINES
from paretocast.search.models import MODELS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paretocast.api.evaluation import SavedBenchmark
    from paretocast.benchmarking import AcrossSeries, BenchmarkPlan, RelearningRow, Row

WHAT, HOW, PLACE = "What is compared", "How it is done", "Data, place and device"
NEVER = "never"


def benchmark(
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
            help="A study to take parameters from: its folder, or a best_params_*.json. May be "
            "repeated. \\[default: the newest of each model that nobody works on]",
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
            help="Different trials in the ensemble at most; each is trained again.",
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
        Path, typer.Option(help="Where results are kept.", rich_help_panel=PLACE)
    ] = Path("hpo"),
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
    """Retrain tuned models and prove them on the test split, beside simple methods.

    Parameters come from the newest study of each model on the data set that nobody works on, else
    from results/best_params_MODEL.json, else from the defaults. A study that has seen test hours,
    or was made on other data, is refused. Forecasts are issued daily; calibrators are fitted on
    the calibrate split. No choice depends on a test value.

    Interrupted, it keeps what is trained: the same command goes on from there.

    [bold]Examples[/bold]

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
    from paretocast.cli.display import print_note, print_notes
    from paretocast.cli.progress import BenchmarkProgress
    from paretocast.data import expand_series
    from paretocast.study.interruption import StopRequest
    from paretocast.training import TrainingInterrupted

    if refit not in {None, "train+validation"}:
        raise SettingsError(f"--refit is {refit!r}, expected train+validation")
    workspace = workspace / "test" if test else workspace
    dataset = (
        declared(data, dataset=dataset, workspace=workspace, target=target, zone=zone) or "demo"
    )
    references = expand_series(dataset, series)
    plans = [
        prepare_benchmark(
            reference,
            None if models is None else _split(models),
            methods=_split(methods),
            runs=run or [],
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


def print_across(across: AcrossSeries, folder: Path) -> None:
    """Print the chosen method of every series, and the total of all."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(
        title="All series, test split; the chosen method of each",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    for name in ("series", "method"):
        table.add_column(name)
    for name in ("MAE", "pinball", "PICP %", "95 % interval", "to ridge"):
        table.add_column(name, justify="right")
    for row in across.rows:
        table.add_row(
            escape(row.series),
            escape(row.method),
            significant(row.scores["mae"]),
            significant(row.scores["pinball"]),
            f"{row.scores['picp']:.1f}",
            f"{row.picp_low:.1f}–{row.picp_high:.1f}",
            "" if row.against is None else f"{row.against:.3f}",
        )
    table.add_section()
    for total in across.total:
        scores = (significant(total.scores[score]) for score in ("mae", "pinball"))
        table.add_row(total.method, "", *scores, f"{total.scores['picp']:.1f}", "", "")
    console = stdout_console()
    console.print(table)
    if summary := across.summary():
        console.print(summary, highlight=False)
    if across.note:
        stderr_console().print(f"[yellow]note[/yellow] {escape(across.note)}", highlight=False)
    stderr_console().print(
        f"\nresults in {folder}\n  series.html, series.csv, series.json",
        highlight=False,
        soft_wrap=True,
    )


def print_benchmark(saved: SavedBenchmark) -> None:
    """Print the scores, the selected method and the differences that matter."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    plan, comparison = saved.result.plan, saved.result.comparison
    task, console = plan.task, stdout_console()
    n_points = int(comparison.rows[0].scores["n"])
    first, last = task.issue_times("test")[[0, -1]]
    table = Table(
        title=(
            f"{escape(task.series.name)}, test split: {len(task.issues['test'])} issues from "
            f"{first:%Y-%m-%d} to {last:%Y-%m-%d}, {n_points} hours; MAE, width and losses in "
            f"{escape(task.series.unit)}"
        ),
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("method")
    table.add_column("calibrator")
    for name in ("MAE", "RMSE", "PICP %", "95 % interval", "width", "pinball", "Winkler"):
        table.add_column(name, justify="right")
    for i, row in enumerate(comparison.rows):
        style = "bold green" if i == comparison.chosen else None
        table.add_row(*_cells(row, chosen=i == comparison.chosen), style=style)
    console.print(table)
    for sentence in saved.verdicts:
        console.print(escape(sentence), highlight=False)
    if saved.result.relearning:
        _print_relearning(saved.result.relearning, unit=task.series.unit)
    if saved.result.weather_error:
        _print_weather_error(saved)
    for note in saved.result.notes:
        stderr_console().print(f"[yellow]note[/yellow] {escape(note)}", highlight=False)


def _cells(row: Row, *, chosen: bool) -> list[str]:
    entry, scores, spread = row.entry, row.scores, row.spread

    def with_spread(name: str) -> str:
        if name not in spread:
            return significant(scores[name])
        return f"{significant(scores[name])} ± {significant(spread[name], 2)}"

    kind = "" if entry.parameters == "none" else f" {entry.parameters}"
    return [
        f"{entry.method}{kind}{' ★' if chosen else ''}",
        entry.calibrator,
        with_spread("mae"),
        significant(scores["rmse"]),
        f"{scores['picp']:.1f}",
        f"{row.picp_low:.1f}–{row.picp_high:.1f}",
        significant(scores["mean_width"]),
        with_spread("pinball"),
        significant(scores["winkler"]),
    ]


def _print_relearning(rows: Sequence[RelearningRow], *, unit: str) -> None:
    """Print what learning again gains and costs."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    first = rows[0].every
    table = Table(
        title=f"Learning again in the test split; MAE and pinball in {escape(unit)}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("method")
    for name in ("every", "MAE", f"against {first}", "pinball", f"against {first}", "seconds"):
        table.add_column(name, justify="right")
    for row in rows:
        cells = []
        for score in ("mae", "pinball"):
            cells += [significant(row.scores[score]), escape(row.change_text(score))]
        table.add_row(escape(row.method), row.every, *cells, f"{row.seconds:.0f}")
    stdout_console().print(table)


def _print_weather_error(saved: SavedBenchmark) -> None:
    """Print what the weather error of the plan costs."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    plan, unit = saved.result.plan, saved.result.plan.task.series.unit
    table = Table(
        title=(
            f"Temperatures of the horizon in error by {plan.weather_error:g}, their own unit; MAE "
            f"and pinball in {escape(unit)}"
        ),
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("method")
    for name in ("MAE", "against measured", "pinball", "against measured"):
        table.add_column(name, justify="right")
    for row in saved.result.weather_error:
        cells = []
        for score in ("mae", "pinball"):
            cells += [significant(row.scores[score]), escape(row.change_text(score))]
        table.add_row(escape(row.method), *cells)
    stdout_console().print(table)


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
            f"[bold]{config.model}[/bold] {escape(config.source)}", highlight=False, soft_wrap=True
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
