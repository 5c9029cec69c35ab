"""RIDGE and LIGHTGBM: models that are fitted at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from builders import make_dates, make_series, with_values
from paretocast.data.series import Series
from paretocast.data.task import Task, TaskShape, plan_task
from paretocast.models.base import imported
from paretocast.models.baselines.base import Baseline
from paretocast.search.models import MODELS
from paretocast.settings import TuneSettings
from paretocast.training.setup import TrainingSetup
from paretocast.training.trial import run_trial

FITTED = [name for name, spec in MODELS.items() if not spec.is_network]
ISSUE = 24 * 110  # in the test period


def task_of(series: Series) -> Task:
    """A task at three levels, each of which is a fit of trees."""
    shape = TaskShape(levels=(0.1, 0.5, 0.9))
    return plan_task(series, make_dates(series), shape=shape, with_test=True)


def fit(name: str, task: Task, until: int | None = None, **changes: str) -> Baseline:
    fitted: Baseline = imported(MODELS[name].fit)(task, {**MODELS[name].default, **changes}, until)
    return fitted


def forecast(name: str, series: Series, **changes: str) -> np.ndarray:
    task = task_of(series)
    return fit(name, task, None, **changes).forecast(task, np.array([ISSUE]))


@pytest.mark.parametrize("name", FITTED)
def test_quantiles_ascend_and_are_near_what_comes(name: str) -> None:
    task = task_of(make_series())
    quantiles = fit(name, task).forecast(task, task.issues["test"])
    assert (np.diff(quantiles, axis=-1) >= 0.0).all()
    errors = np.abs(task.observed("test") - quantiles[..., 1])
    assert errors.mean() < 0.8  # a seasonal naive forecast has about 1.2


@pytest.mark.parametrize("name", FITTED)
def test_nothing_from_after_the_issue_reaches_a_forecast(name: str) -> None:
    series = make_series()
    values = series.values.copy()
    values[ISSUE:] = 50.0
    pressure = series.covariates[1].values.copy()
    pressure[ISSUE:] = 99.0  # its role is past
    changed = replace(
        with_values(series, values),
        covariates=(series.covariates[0], replace(series.covariates[1], values=pressure)),
    )
    np.testing.assert_array_equal(forecast(name, changed), forecast(name, series))


@pytest.mark.parametrize("name", FITTED)
def test_the_weather_ahead_counts_unless_it_is_switched_off(name: str) -> None:
    series = make_series()
    values = series.covariates[0].values.copy()
    values[ISSUE : ISSUE + 24] += 8.0
    changed = replace(
        series, covariates=(replace(series.covariates[0], values=values), series.covariates[1])
    )
    assert not np.array_equal(forecast(name, changed), forecast(name, series))
    off = [forecast(name, s, weather="off") for s in (changed, series)]
    np.testing.assert_array_equal(off[0], off[1])


@pytest.mark.parametrize("name", FITTED)
def test_a_later_fit_learns_from_what_came_before_it_alone(name: str) -> None:
    series = make_series()
    until = 24 * 100
    values = series.values.copy()
    values[until:] += 5.0
    tasks = [task_of(series), task_of(with_values(series, values))]
    at = np.array([until])
    later = [fit(name, task, until).forecast(task, at) for task in tasks]
    np.testing.assert_array_equal(later[0], later[1])
    assert not np.array_equal(later[0], fit(name, tasks[0]).forecast(tasks[0], at))


@pytest.mark.parametrize("name", FITTED)
def test_a_trial_of_it_is_complete_at_once(name: str) -> None:
    task = plan_task(make_series(), make_dates(make_series()))
    setup = TrainingSetup.from_settings(TuneSettings(model=name), task, device="cpu")
    record = run_trial(setup, MODELS[name].default, number=3, seed=1)
    assert (record.state.value, record.steps) == ("complete", 0)
    assert set(record.forecasts) == {"tune", "calibrate"}
    assert record.scores["mae"] < 1.0
