"""Small benchmarks that tests share: a data set on disk, a study on it, and a plan."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from builders import make_dates, make_series
from paretocast.benchmarking import BenchmarkPlan, find_config, plan_benchmark
from paretocast.data import load_dataset
from paretocast.data.series import Series
from paretocast.data.task import plan_task
from paretocast.settings import TuneSettings
from studies import make_settings, make_study, optimise

SPEC = """name = "small"
path = "small.csv"
target = "demand"
unit = "m³/h"
zone = "Europe/Copenhagen"

[splits]
train_to = {train_to}
validation_to = {validation_to}
test_to = {test_to}
"""


class Silent:
    """An observer that only counts trainings."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.kept: list[str] = []

    def planned(self, n_steps: int) -> None:
        pass

    def began(self, what: str) -> None:
        pass

    def advanced(self, step: int) -> None:
        pass

    def ended(self, what: str, *, n_steps: int, kept: bool) -> None:
        (self.kept if kept else self.made).append(what)


def write_dataset(folder: Path, series: Series | None = None) -> Path:
    """The target of a series as CSV with its TOML file, split as `builders.make_dates` does."""
    series = series or make_series(with_covariates=False)
    folder.mkdir(parents=True, exist_ok=True)
    stamps = series.index.strftime("%Y-%m-%dT%H:%M:%SZ")
    table = pd.DataFrame({"timestamp": stamps, "demand": series.values})
    table.to_csv(folder / "small.csv", index=False)
    dates = {
        name: f"{stamp:%Y-%m-%dT%H:%M:%SZ}" for name, stamp in vars(make_dates(series)).items()
    }
    spec = folder / "small.toml"
    spec.write_text(SPEC.format(**dates), encoding="utf-8")
    return spec


def small_settings(spec: Path) -> TuneSettings:
    """Two days in, one day out, twelve gradient steps."""
    return make_settings(3, dataset=str(spec), task={"input_steps": 48})


def tune_small(workspace: Path, spec: Path, *, job_id: str = "1") -> TuneSettings:
    """A finished study on the small data set."""
    settings = small_settings(spec)
    dataset = load_dataset(settings.dataset)
    task = plan_task(dataset.series, dataset.dates, shape=settings.task.shape())
    optimise(make_study(workspace, settings, job_id=job_id, task=task))
    return settings


def small_plan(
    workspace: Path,
    settings: TuneSettings,
    *,
    groups: Sequence[str] = ("tuned", "default", "ensemble", "references"),
    calibrators: Sequence[str] = ("cqr",),
    refit: bool = False,
    n_seeds: int = 1,
) -> BenchmarkPlan:
    """The plan of a benchmark of the small study."""
    return plan_benchmark(
        [find_config("NHITS_Q", "small", workspace=workspace, given=settings)],
        groups=groups,
        references=("seasonal_naive_24", "ridge"),
        calibrators=calibrators,
        refit=refit,
        n_seeds=n_seeds,
    )
