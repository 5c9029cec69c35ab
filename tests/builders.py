"""Small tasks that tests share: real components on little data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from paretocast.data.series import Calendar, Covariate, Role, Series, SplitDates
from paretocast.data.task import Task, TaskShape, plan_task

START = pd.Timestamp("2021-01-01", tz="UTC")


def stamp(text: str) -> pd.Timestamp:
    """A UTC timestamp."""
    return pd.Timestamp(text, tz="UTC")


def make_series(n_days: int = 130, *, seed: int = 0, with_covariates: bool = True) -> Series:
    """Hourly demand with daily and weekly patterns, a forecast-role and a past-role covariate."""
    rng = np.random.default_rng(seed)
    index = pd.date_range(START, periods=24 * n_days, freq="h")
    hour, day = index.hour.to_numpy(), index.day_of_week.to_numpy()
    temperature = (
        5.0
        + 3.0 * np.sin(2 * np.pi * np.arange(len(index)) / (24 * 9))
        + rng.normal(size=len(index))
    )
    values = 10.0 + 2.0 * np.sin(2 * np.pi * hour / 24) + (day >= 5) - 0.3 * temperature
    values = values + 0.4 * rng.normal(size=len(index))
    covariates = (
        Covariate("temperature", temperature, Role.FORECAST, "°C"),
        Covariate("pressure", rng.normal(size=len(index)), Role.PAST, "bar"),
    )
    return Series(
        name="small",
        values=values,
        index=index,
        unit="m³/h",
        calendar=Calendar("Europe/Copenhagen", "DK"),
        covariates=covariates if with_covariates else (),
    )


def make_dates(series: Series) -> SplitDates:
    """55 days of train, 47 days of validation, the rest test."""
    start = series.index[0]
    return SplitDates(
        train_to=start + pd.Timedelta(hours=24 * 55 - 1),
        validation_to=start + pd.Timedelta(hours=24 * 102 - 1),
        test_to=series.index[-1],
    )


def make_task(
    series: Series | None = None, *, input_steps: int = 48, horizon_steps: int = 24
) -> Task:
    """A task on a small series with a short history, without its test split."""
    series = series or make_series()
    shape = TaskShape(input_steps=input_steps, horizon_steps=horizon_steps)
    return plan_task(series, make_dates(series), shape=shape)


def runs_table(series: Series) -> pd.DataFrame:
    """Weather runs of 48 h issued each day at 20:00: the temperature with a growing error."""
    rng = np.random.default_rng(3)
    starts = np.arange(-4, len(series), 24)
    hours = starts[:, None] + np.arange(48)
    there = (hours >= 0) & (hours < len(series))
    steps = np.zeros(hours.shape)
    steps[there] = rng.normal(scale=0.1, size=there.sum())
    issued = series.index[0] + pd.to_timedelta(starts, unit="h")
    return pd.DataFrame(
        {
            "issued_at": issued.repeat(there.sum(axis=1)),
            "valid_at": series.index[hours[there]],
            "temperature": series.covariates[0].values[hours[there]] + steps.cumsum(axis=1)[there],
        }
    )


def with_values(series: Series, values: np.ndarray) -> Series:
    """The series with another target."""
    return replace(series, values=values)
