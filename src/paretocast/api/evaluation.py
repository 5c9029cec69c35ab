"""Tuned models and baselines on the test split, for notebooks and the command line."""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from paretocast.api.display import TrainingBar
from paretocast.benchmarking import (
    METHOD_GROUPS,
    across_series,
    append_history,
    find_config,
    find_contest,
    plan_benchmark,
    run_benchmark,
    save_benchmark,
    split_methods,
)
from paretocast.calibration.ensemble import MOST_MEMBERS
from paretocast.data import find_spec
from paretocast.errors import SettingsError
from paretocast.report import across_page, benchmark_page
from paretocast.report.site import save_page, update_site
from paretocast.results.stored_study import StoredStudy
from paretocast.search.models import MODELS, model_name, models_of
from paretocast.settings import TuneSettings, load_settings
from paretocast.study.parallel import default_threads
from paretocast.training import use_threads
from paretocast.workspace import files
from paretocast.workspace.stored import save

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from paretocast.benchmarking import (
        AcrossSeries,
        BenchmarkPlan,
        BenchmarkResult,
        ModelConfig,
        Observer,
    )
    from paretocast.training.pooling import KnownSeries

QUICK_STEPS = 20


@dataclass(frozen=True)
class SavedBenchmark:
    """A benchmark with its files.

    Attributes
    ----------
    folder : Path
        Holds metrics.json, metrics.csv, predictions.csv.gz and benchmark.html.
    history : Path
        Table of all benchmarks of the workspace.
    """

    result: BenchmarkResult
    folder: Path
    history: Path

    @property
    def table(self) -> pd.DataFrame:
        """Scores on the test split, a row for each method and calibrator; `chosen` without them."""
        comparison = self.result.comparison
        return pd.DataFrame(
            [
                {
                    "method": row.entry.method,
                    "parameters": row.entry.parameters,
                    "calibrator": row.entry.calibrator,
                    "chosen": i == comparison.chosen,
                    **row.scores,
                    "picp_low": row.picp_low,
                    "picp_high": row.picp_high,
                }
                for i, row in enumerate(comparison.rows)
            ]
        )

    @property
    def relearning(self) -> pd.DataFrame:
        """Scores and cost of every way of learning again; no rows where there is but one."""
        return pd.json_normalize([row.as_json() for row in self.result.relearning])

    @property
    def weather_error(self) -> pd.DataFrame:
        """Scores and their change under the weather error; no rows without one."""
        return pd.json_normalize([row.as_json() for row in self.result.weather_error])

    @property
    def verdicts(self) -> list[str]:
        """Sentences on the gain of the chosen method and how sure it is."""
        return self.result.comparison.verdicts()

    @property
    def warnings(self) -> list[str]:
        """Sentences on a coverage that misses the target."""
        return self.result.comparison.warnings()


def benchmark(
    dataset: str | Path = "demo",
    models: Sequence[str] | None = None,
    *,
    methods: Sequence[str] = METHOD_GROUPS,
    runs: Sequence[str | Path] = (),
    seeds: int = 1,
    refit: bool = False,
    retrain_days: int | Sequence[int | None] | None = None,
    weather_error: float | None = None,
    calibrators: Sequence[str] = ("auto",),
    static: bool = False,
    members: int = MOST_MEMBERS,
    steps: int | None = None,
    settings: str | Path | None = None,
    data_dir: str | Path | None = None,
    workspace: str | Path = "hpo",
    device: str = "auto",
    threads: int | None = None,
    progress: bool = True,
) -> SavedBenchmark:
    """Train tuned models again and score them on the test split, beside baselines.

    Parameters
    ----------
    dataset : str or path
        Name of a data set, or path of its TOML file.
    models : sequence of str, optional
        All that are registered without it. The config of each comes from its newest finished
        study on the data set, else from results/best_params_MODEL.json, else from the
        defaults.
    methods : sequence of str
        Some of "tuned", "default", "ensemble" and "references", or baselines by name.
    runs : sequence of path
        Studies to take configs from instead of the newest.
    seeds : int
        Trainings of each method; scores are their mean.
    refit : bool
        Learn from all hours before the test split.
    retrain_days : int, None or sequence of them
        Learn again after so many days of the test split; None for never. Of several ways, the first
        gives the scores; what the others gain and cost is in `SavedBenchmark.relearning`.
    weather_error : float, optional
        Forecast the test split once more with measured temperatures of the horizon in error by such
        a standard deviation, in their unit; the cost is in `SavedBenchmark.weather_error`.
    calibrators : sequence of str
        "auto" or names of methods; each gives rows of its own.
    static : bool
        Leave calibrators that go on learning out of "auto".
    members : int
        Trials in the ensemble at most.
    steps : int, optional
        Gradient steps of every training in place of those of the studies.
    settings : path, optional
        Settings file for models without a study.
    progress : bool
        Whether there is a progress bar.

    Raises
    ------
    SettingsError
        If an option is wrong.
    StoreError
        If a study has seen test hours or was made on other data.

    Examples
    --------
    >>> import paretocast
    >>> paretocast.benchmark("demo", models=["NHITS_Q"]).table  # doctest: +SKIP
    """
    plan = prepare_benchmark(
        dataset,
        models,
        methods=methods,
        runs=runs,
        seeds=seeds,
        refit=refit,
        retrain_days=_as_ways(retrain_days),
        weather_error=weather_error,
        calibrators=calibrators,
        static=static,
        members=members,
        steps=steps,
        settings=settings,
        data_dir=data_dir,
        workspace=workspace,
        device=device,
        threads=threads,
    )
    with closing(TrainingBar(visible=progress)) as bar:
        return execute_benchmark(
            plan, workspace=Path(workspace), device=device, threads=threads, observer=bar
        )


def save_across(
    saved: Sequence[SavedBenchmark], *, name: str, workspace: Path
) -> tuple[AcrossSeries, Path]:
    """Write the benchmarks of many series side by side: series.json, series.csv and series.html.

    Parameters
    ----------
    name : str
        Of the data set or pattern, for headings and the folder.

    Returns
    -------
    tuple of (AcrossSeries, Path)
        The rows, and the folder.
    """
    across = across_series([benchmark.result for benchmark in saved])
    label = re.sub(r"[^A-Za-z0-9_.-]+", "_", Path(name).stem).strip("_.") or "series"
    stamp = f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    folder = files.claim_folder(workspace / "benchmarks" / f"{label}_{stamp}_series")
    pages = {
        row.series: f"../{benchmark.folder.name}/benchmark.html"
        for row, benchmark in zip(across.rows, saved, strict=True)
    }
    page = across_page(across, name=name, pages=pages)
    save_page(folder / "series.html", page, workspace=workspace)
    table = pd.json_normalize([row.as_json() for row in across.rows])
    files.save_text(folder / "series.csv", table.to_csv(index=False, float_format="%.6g"))
    save(folder / "series.json", {"schema_version": 1, **across.as_json()})
    update_site(workspace)
    return across, folder


def prepare_benchmark(
    dataset: str | Path,
    models: Sequence[str] | None,
    *,
    methods: Sequence[str],
    runs: Sequence[str | Path],
    seeds: int,
    refit: bool,
    retrain_days: Sequence[int | None],
    weather_error: float | None = None,
    calibrators: Sequence[str],
    static: bool,
    members: int,
    steps: int | None,
    settings: str | Path | None,
    data_dir: str | Path | None,
    workspace: str | Path,
    device: str,
    threads: int | None,
    known: KnownSeries | None = None,
) -> BenchmarkPlan:
    """Find the configs of the models and say what a benchmark will do; arguments as there.

    Parameters
    ----------
    known : KnownSeries, optional
        Shared by the benchmarks of several series, of which a network may have learned together.
    """
    groups, baselines = split_methods(methods)
    options = {
        "dataset": str(dataset),
        "data_dir": None if data_dir is None else str(data_dir),
        "device": device,
        "threads": threads,
    }
    stated = load_settings(None if settings is None else Path(settings), options)
    configs = _find_configs(stated, models, workspace=Path(workspace), runs=[*map(Path, runs)])
    if steps is not None:
        configs = [_with_steps(config, steps) for config in configs]
    return plan_benchmark(
        configs,
        groups=groups,
        references=baselines,
        calibrators=calibrators,
        static=static,
        n_seeds=seeds,
        refit=refit,
        retrain_days=retrain_days,
        weather_error=weather_error,
        most_members=members,
        known=known,
    )


def execute_benchmark(
    plan: BenchmarkPlan,
    *,
    workspace: Path,
    device: str = "auto",
    threads: int | None = None,
    observer: Observer,
    forget: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
) -> SavedBenchmark:
    """Train, score and write down what a plan says; finished trainings are not made again.

    Parameters
    ----------
    forget : bool
        Make the trainings of earlier benchmarks in this workspace again.

    Raises
    ------
    TrainingInterrupted
        If `should_stop` said so; finished trainings are kept.
    """
    use_threads(threads or default_threads())
    stored = workspace / "benchmarks" / "forecasts"
    files.create_folder(stored)
    if forget:
        for path in (*stored.glob("*.npz"), *stored.glob("pool_*.safetensors")):
            path.unlink()
    result = run_benchmark(
        plan,
        kept_in=stored,
        device=device,
        observer=observer,
        should_stop=should_stop,
    )
    return _save(result, workspace)


def _as_ways(retrain_days: int | Sequence[int | None] | None) -> tuple[int | None, ...]:
    if retrain_days is None or isinstance(retrain_days, int):
        return (retrain_days,)
    return tuple(retrain_days)


def _find_configs(
    stated: TuneSettings,
    models: Sequence[str] | None,
    *,
    workspace: Path,
    runs: list[Path],
) -> list[ModelConfig]:
    """The configs of all models, or of those that are named; a study of several counts for each."""
    dataset = find_spec(stated.dataset).name
    names = tuple(dict.fromkeys(model_name(m) for m in (MODELS if models is None else models)))
    if not names:
        raise SettingsError("--models names no model")
    for path in runs:
        held = models_of(StoredStudy.open(path).run.model)
        if not set(held) & set(names):
            raise SettingsError(
                f"--run {path} is a study of {', '.join(held)}, --models names none of it"
            )
    shared = find_contest(dataset, workspace=workspace, given=stated, runs=runs)
    found = [config for config in shared if config.model in names]
    missing = [name for name in names if name not in {config.model for config in found}]
    if found and models is None:
        missing = []  # what was searched together is compared
    return found + [
        find_config(name, dataset, workspace=workspace, given=stated, runs=runs) for name in missing
    ]


def _with_steps(config: ModelConfig, steps: int) -> ModelConfig:
    n_evaluations = min(config.settings.training.n_evaluations, max(1, steps // 10))
    short = {"steps": steps, "epochs": None, "n_evaluations": n_evaluations}
    training = config.settings.training.model_copy(update=short)
    return replace(config, settings=config.settings.model_copy(update={"training": training}))


def _save(result: BenchmarkResult, workspace: Path) -> SavedBenchmark:
    task, now = result.plan.task, datetime.now(UTC)
    created = now.isoformat(timespec="seconds")
    benchmarks = workspace / "benchmarks"
    folder = files.claim_folder(benchmarks / f"{task.series.name}_{now:%Y%m%d-%H%M%S}")
    history = benchmarks / "history.csv"
    saved = SavedBenchmark(result, folder, history)
    save_benchmark(folder, result, created=created, assumptions=task.assumptions)
    page = benchmark_page(
        result, verdicts=saved.verdicts, notes=[*saved.warnings, *task.assumptions]
    )
    save_page(folder / "benchmark.html", page, workspace=workspace)
    update_site(workspace)
    # Last of all: what was interrupted before is made again, and stands in the table once.
    note = append_history(
        history,
        result.comparison.rows,
        created=created,
        folder=folder.name,
        dataset=task.series.name,
        test_sha256=result.plan.as_json()["test"]["sha256"],
    )
    return replace(saved, result=replace(result, notes=(*result.notes, note))) if note else saved
