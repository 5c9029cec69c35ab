"""`paretocast benchmark`: what tuned models are worth on the test split."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paretocast.cli.console import significant, stderr_console, stdout_console
from paretocast.errors import SettingsError
from paretocast.models.baselines.catalogue import BASELINES
from paretocast.search.models import MODELS

if TYPE_CHECKING:
    from paretocast.benchmarking import BenchmarkPlan, BenchmarkResult, Comparison, Row
    from paretocast.settings import TuneSettings

WHAT, HOW, PLACE = "What is compared", "How it is done", "Data, place and device"
TEST_STEPS = 20


def benchmark(
    dataset: Annotated[
        str, typer.Option(help="A named data set, or a TOML file.", rich_help_panel=WHAT)
    ] = "demo",
    models: Annotated[str, typer.Option(help="Joined by commas.", rich_help_panel=WHAT)] = ",".join(
        MODELS
    ),
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
        int | None,
        typer.Option(
            help="Train again after so many days of the test split. \\[default: never]",
            min=1,
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
        typer.Option(help="CPU threads. \\[default: all cores]", min=1, rich_help_panel=PLACE),
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
    """
    from paretocast.benchmarking import plan_benchmark, run_benchmark
    from paretocast.cli.display import print_note, print_notes
    from paretocast.cli.progress import BenchmarkProgress
    from paretocast.study.interruption import StopRequest
    from paretocast.study.parallel import default_threads
    from paretocast.training import TrainingInterrupted, use_threads
    from paretocast.workspace.files import create_folder

    if refit not in {None, "train+validation"}:
        raise SettingsError(f"--refit is {refit!r}, expected train+validation")
    workspace = workspace / "test" if test else workspace
    groups, references = _split_methods(_split(methods))
    given = _given_settings(
        settings, dataset=dataset, data_dir=data_dir, device=device, threads=threads
    )
    parameters = _find_all(given, _split(models), workspace=workspace, runs=run or [], test=test)
    plan = plan_benchmark(
        parameters,
        groups=groups,
        references=references,
        calibrators=_split(calibrator),
        static=static,
        n_seeds=seeds,
        refit=refit is not None,
        retrain_days=retrain_every,
        most_members=members,
    )
    _say_plan(plan)
    use_threads(threads or default_threads())
    kept = workspace / "benchmarks" / "forecasts"
    create_folder(kept)
    if again:
        _forget(kept)
    try:
        with (
            StopRequest(lambda text: print_note(text, kind="")) as stop,
            BenchmarkProgress() as progress,
        ):
            proof = run_benchmark(
                plan, kept_in=kept, device=device, observer=progress, should_stop=stop
            )
    except TrainingInterrupted:
        stderr_console().print(
            "stopped; finished trainings are kept, the same command goes on from there"
        )
        raise typer.Exit(1) from None
    print_benchmark(proof)
    print_notes(proof.plan.task.assumptions)
    _save(proof, workspace)


def print_benchmark(proof: BenchmarkResult) -> None:
    """The table of scores, the differences that matter, and what was chosen."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    plan, comparison = proof.plan, proof.comparison
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
    for sentence in verdicts(comparison):
        console.print(escape(sentence), highlight=False)
    for note in proof.notes:
        stderr_console().print(f"[yellow]note[/yellow] {escape(note)}", highlight=False)


def verdicts(comparison: Comparison) -> list[str]:
    """What the chosen method gains and how sure that is, in sentences."""
    if comparison.chosen < 0:
        return []
    row = comparison.rows[comparison.chosen]
    why = "lowest mean pinball loss of the tuned methods on the calibrate split, which decides"
    lines = [f"★ {row.entry.label}: {why} before any test value is read"]
    for score, name in (("mae", "MAE"), ("pinball", "mean pinball loss")):
        best = comparison.best_reference(score, row.entry.wanted)
        others = [best] if best is not None else []
        others += [
            other
            for other in comparison.rows
            if other.entry.parameters == "default"
            and row.entry.method in {other.entry.method, "ensemble"}
        ]
        for other in others:
            found = comparison.against(row, other, score)
            if found is None:
                continue
            lines.append(
                f"{name} against {other.entry.label}: {100 * found.mean / other.scores[score]:+.1f}"
                f" % [{100 * found.low / other.scores[score]:+.1f}, "
                f"{100 * found.high / other.scores[score]:+.1f}], "
                f"p {found.p_text}: {found.verdict}"
            )
    return lines


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


def _say_plan(plan: BenchmarkPlan) -> None:
    from rich.markup import escape

    console = stderr_console()
    for one in plan.configs:
        console.print(
            f"[bold]{one.model}[/bold] {escape(one.source)}", highlight=False, soft_wrap=True
        )
    if "ensemble" in plan.groups and plan.members is None:
        console.print(
            "no ensemble: fewer than two front trials, or no average better than one of them",
            highlight=False,
        )


def _save(proof: BenchmarkResult, workspace: Path) -> None:
    """Write everything about a proof and say where."""
    from paretocast.benchmarking import append_history, save_benchmark
    from paretocast.report import benchmark_page
    from paretocast.workspace import files

    task, now = proof.plan.task, datetime.now(UTC)
    created = now.isoformat(timespec="seconds")
    folder = workspace / "benchmarks" / f"{task.series.name}_{now:%Y%m%d-%H%M%S}"
    notes = task.assumptions
    files.save_text(
        folder / "benchmark.html",
        benchmark_page(proof, verdicts=verdicts(proof.comparison), notes=notes),
    )
    save_benchmark(folder, proof, created=created, assumptions=notes)
    history = workspace / "benchmarks" / "history.csv"
    append_history(
        history,
        proof.comparison.rows,
        created=created,
        folder=folder.name,
        dataset=task.series.name,
        test_sha256=proof.plan.as_json()["test"]["sha256"],
    )
    stderr_console().print(
        f"\nresults in {folder}\n  metrics.json, metrics.csv, predictions.csv.gz, benchmark.html\n"
        f"all benchmarks in {history}",
        highlight=False,
        soft_wrap=True,
    )


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _split_methods(names: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Groups of methods, and references by name: all that are installed, if none is named."""
    from paretocast.benchmarking import METHOD_GROUPS
    from paretocast.models.baselines.catalogue import installed_baselines

    groups = [name for name in names if name in METHOD_GROUPS]
    named = [name for name in names if name in BASELINES]
    unknown = [name for name in names if name not in {*groups, *named}]
    if unknown or not names:
        raise SettingsError(
            f"method {', '.join(unknown) or 'none'} is unknown, expected some of "
            f"{', '.join((*METHOD_GROUPS, *BASELINES))}"
        )
    if named and "references" not in groups:
        return (*groups, "references"), tuple(named)
    return tuple(groups), installed_baselines()


def _given_settings(file: Path | None, **options: Any) -> TuneSettings:  # noqa: ANN401
    from paretocast.settings import load_settings

    given = {key: str(v) if isinstance(v, Path) else v for key, v in options.items()}
    return load_settings(file, given)


def _find_all(
    given: TuneSettings, models: tuple[str, ...], *, workspace: Path, runs: list[Path], test: bool
) -> list[Any]:
    """Parameters of every model; in a rehearsal with a handful of steps."""
    from dataclasses import replace

    from paretocast.benchmarking import find_config
    from paretocast.data import find_spec
    from paretocast.results.stored_study import StoredStudy
    from paretocast.search.models import model_name

    name = find_spec(given.dataset).name
    wanted = tuple(dict.fromkeys(model_name(model) for model in models))
    if not wanted:
        raise SettingsError("--models names no model")
    for path in runs:
        if (model := StoredStudy.open(path).run.model) not in wanted:
            raise SettingsError(f"--run {path} is a study of {model}, --models names none of it")
    found = [
        find_config(model, name, workspace=workspace, given=given, runs=runs) for model in wanted
    ]
    if not test:
        return found
    short = {"steps": TEST_STEPS, "epochs": None, "n_evaluations": 2}
    return [
        replace(
            one,
            settings=one.settings.model_copy(
                update={"training": one.settings.training.model_copy(update=short)}
            ),
        )
        for one in found
    ]


def _forget(kept: Path) -> None:
    for path in kept.glob("*.npz"):
        path.unlink()
