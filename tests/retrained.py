"""Small deployments that tests share: a table as a user has it, and a bundle made from its rows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from builders import START, make_series, runs_table
from paretocast.benchmarking.configs import TrainedConfig
from paretocast.data.series import SplitDates
from paretocast.data.spec import declare_dataset
from paretocast.data.task import TaskShape, plan_task
from paretocast.data.weather_runs import WeatherRuns
from paretocast.deployment.build import build_bundle
from paretocast.deployment.bundle import RIDGE
from paretocast.deployment.journal import Deployment
from paretocast.deployment.plan import BundlePlan, Origin, Silent
from studies import make_settings

if TYPE_CHECKING:
    from pathlib import Path

    from paretocast.data.series import Series
    from paretocast.data.spec import DatasetSpec
    from paretocast.search.space import Config

TARGET = "demand"
# A year and more of train: yearly terms of a ridge that has seen less of a year go astray.
TRAIN_DAYS, VALIDATION_DAYS, LATER_DAYS = 370, 47, 120
N_DAYS = TRAIN_DAYS + VALIDATION_DAYS + LATER_DAYS
CHANGED_DAY = TRAIN_DAYS + VALIDATION_DAYS + 3
HELD_DAY = N_DAYS - 28
SMALL_NETWORK: Config = {
    "lr": 1e-3,
    "num_stacks": 2,
    "num_blocks": 1,
    "num_layers": 1,
    "layer_widths": 16,
    "activation": "ReLU",
    "dropout_theta": 0.0,
}


def make_dates(series: Series) -> SplitDates:
    """A year of train, seven weeks of validation, the rest test."""
    hour = pd.Timedelta(hours=1)
    train_to = START + pd.Timedelta(days=TRAIN_DAYS) - hour
    return SplitDates(train_to, train_to + pd.Timedelta(days=VALIDATION_DAYS), series.index[-1])


def make_table(series: Series) -> pd.DataFrame:
    """A series as the rows of a user's file; covariates of weather runs are not in it."""
    stamps = {"timestamp": series.index.strftime("%Y-%m-%dT%H:%M:%SZ"), TARGET: series.values}
    by_run = () if series.runs is None else series.runs.names
    measured = {c.name: c.values for c in series.covariates if c.name not in by_run}
    return pd.DataFrame(stamps | measured)


def with_runs(series: Series) -> Series:
    """The series with its temperature from `builders.runs_table`."""
    table = runs_table(series)
    runs = WeatherRuns(
        ("temperature",),
        pd.DatetimeIndex(table["issued_at"]).as_unit("ns"),
        pd.DatetimeIndex(table["valid_at"]).as_unit("ns"),
        table[["temperature"]].to_numpy(),
    )
    temperature = runs.shortest_lead(series.index)[:, 0]
    covariates = tuple(
        replace(c, values=temperature) if c.name == "temperature" else c for c in series.covariates
    )
    return replace(series, covariates=covariates, runs=runs)


def make_spec(series: Series) -> DatasetSpec:
    """The data set of `make_table`, with the splits of `make_dates`."""
    dates = make_dates(series)
    by_run = () if series.runs is None else series.runs.names
    return declare_dataset(
        {
            "name": series.name,
            "path": "small.csv",
            "target": TARGET,
            "unit": series.unit,
            "zone": series.calendar.zone,
            "holiday_country": series.calendar.country,
            "weather": {"path": "nwp.csv"} if by_run else None,
            "covariates": {
                c.name: {"role": str(c.role), "unit": c.unit}
                | ({"source": "weather"} if c.name in by_run else {})
                for c in series.covariates
            },
            "splits": {
                "train_to": dates.train_to.isoformat(),
                "validation_to": dates.validation_to.isoformat(),
            },
        },
        origin="test",
    )


def deploy(
    folder: Path,
    series: Series | None = None,
    *,
    model: str = RIDGE,
    calibrator: str = "cqr",
    spec: DatasetSpec | None = None,
) -> Deployment:
    """A deployment of one model that has learned from the first year, with 47 days of validation.

    Parameters
    ----------
    model : str
        "ridge", "RIDGE" or "NHITS_Q".
    """
    series = series or make_series(N_DAYS)
    task = plan_task(series, make_dates(series), shape=TaskShape(input_steps=48))
    settings = make_settings(task={"input_steps": 48})
    scores: dict[str, Any] = {"validation": {}, "references": {}, "calibrate_pinball": None}
    origin = Origin(settings, spec or make_spec(series), "study", task.manifest(), scores)
    configs: tuple[tuple[TrainedConfig, float], ...] = ()
    if model != RIDGE:
        configs = ((TrainedConfig(model, config_of(model), settings.seed, 3), 1.0),)
    method = "trial 3" if configs else RIDGE
    plan = BundlePlan(origin, method, configs, calibrator, None, task, "cpu")
    bundle = build_bundle(plan, folder / "bundles", observer=Silent())
    deployment = Deployment(folder)
    deployment.point_to(bundle.name, event="deploy", reason="test")
    return deployment


def config_of(model: str) -> Config:
    """A small config of a model."""
    from paretocast.search.models import MODELS

    default = dict(MODELS[model].default)
    if MODELS[model].is_network:
        default |= {name: value for name, value in SMALL_NETWORK.items() if name in default}
    return default


def with_other_days(series: Series, first_day: int = CHANGED_DAY) -> Series:
    """The series at a higher level and with its daily pattern turned over from a day on."""
    values = series.values.copy()
    later = np.arange(len(values)) >= 24 * first_day
    hour = series.index.hour.to_numpy()
    values[later] += (8.0 - 4.0 * np.sin(2 * np.pi * hour / 24))[later]
    return replace(series, values=values)


def with_noise(series: Series, first_day: int, last_day: int) -> Series:
    """The series with noise instead of the target on some days."""
    values = series.values.copy()
    hours = slice(24 * first_day, 24 * last_day)
    values[hours] = np.random.default_rng(5).uniform(5.0, 15.0, size=values[hours].size)
    return replace(series, values=values)
