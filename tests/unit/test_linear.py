"""The ridge: what its form is chosen by, and what it sees."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from builders import make_series, make_task
from paretocast.data.series import Calendar, Covariate, Role, Series, SplitDates
from paretocast.data.task import Task, plan_task
from paretocast.models.anchor import LinearOptions, _better_on_stop, fit_anchor
from paretocast.models.baselines.base import train_scaling
from paretocast.models.linear import (
    HOURS_BESIDE,
    LinearMean,
    choose_forms,
    fit_form,
    positions_near_issue,
    weigh,
)
from paretocast.models.linear_table import FULL, REFERENCE, LinearTable


def task_of(values: np.ndarray, *, temperature: np.ndarray | None = None, days: int) -> Task:
    """A task on given demand, the last fifth of it validation."""
    index = pd.date_range("2021-01-01", periods=len(values), freq="h", tz="UTC")
    covariates: tuple[Covariate, ...] = ()
    if temperature is not None:
        covariates = (Covariate("temperature", temperature, Role.FORECAST, "°C"),)
    series = Series("own", values, index, "MW", Calendar("UTC", None), covariates)
    dates = SplitDates(index[24 * days - 1], index[-25], index[-1])
    return plan_task(series, dates)


def test_windows_are_those_near_the_daily_issue() -> None:
    task = make_task()
    hours = positions_near_issue(task, 168) % 24
    assert set(hours.tolist()) == {0, *range(1, HOURS_BESIDE + 1), *range(24 - HOURS_BESIDE, 24)}


def test_yearly_terms_need_a_second_year() -> None:
    rng = np.random.default_rng(0)
    hours = np.arange(24 * 365 * 3)
    values = 20.0 + 8.0 * np.cos(2.0 * np.pi * hours / (24 * 365.25)) + rng.normal(size=len(hours))
    one = task_of(values[: 24 * 430], days=365)
    three = task_of(values, days=365 * 3 - 70)
    first, second = (choose_forms(LinearTable(t, train_scaling(t))) for t in (one, three))
    assert not any("year" in model.form.blocks for model in first)
    assert any("year" in model.form.blocks for model in second)


def test_a_level_that_wanders_is_taken_off() -> None:
    rng = np.random.default_rng(1)
    hours = np.arange(24 * 300)
    wander = np.repeat(np.cumsum(rng.normal(scale=1.5, size=300)), 24)
    values = 200.0 + wander + 3.0 * np.sin(2.0 * np.pi * hours / 24.0)
    task = task_of(values + 0.3 * rng.normal(size=len(hours)), days=240)
    table = LinearTable(task, train_scaling(task))
    plain, levelled = choose_forms(table)
    assert (plain.form.level, levelled.form.level) == (False, True)
    reference = fit_form(table, REFERENCE)
    mean = weigh(table, (plain, levelled, reference))
    assert mean.weights[[m is levelled for m in mean.members].index(True)] > 0.5
    tune = task.issues["tune"]
    observed = table.scaling.scale(task.observed("tune"))
    errors = [np.abs(m.points(table, tune) - observed).mean() for m in (mean, reference)]
    assert errors[0] < errors[1]


def test_demand_that_follows_the_weather_of_last_week_is_seen_to() -> None:
    rng = np.random.default_rng(2)
    n = 24 * 300
    temperature = 10.0 + np.repeat(np.cumsum(rng.normal(size=300)) * 0.7, 24)
    slow = pd.Series(temperature).rolling(168, min_periods=1).mean().shift(1).bfill().to_numpy()
    values = 60.0 - 1.5 * slow + rng.normal(size=n)
    task = task_of(values, temperature=temperature, days=240)
    table = LinearTable(task, train_scaling(task))
    tune, observed = task.issues["tune"], train_scaling(task).scale(task.observed("tune"))
    blind = LinearOptions(weather=False).blocks
    errors = [
        np.abs(weigh(table, choose_forms(table, blocks)).points(table, tune) - observed).mean()
        for blocks in (FULL, blind)
    ]
    assert errors[0] < 0.98 * errors[1]


def test_a_regression_without_weather_does_not_change_with_it() -> None:
    series = make_series()
    other = replace(
        series,
        covariates=tuple(replace(c, values=c.values[::-1].copy()) for c in series.covariates),
    )
    forecasts = []
    for task in (make_task(series), make_task(other)):
        anchor = fit_anchor(task, train_scaling(task), LinearOptions(weather=False))
        forecasts.append(anchor.points)
    np.testing.assert_array_equal(forecasts[0], forecasts[1])


def test_an_anchor_is_never_worse_than_the_reference_on_the_stop_split() -> None:
    task = make_task()
    table = LinearTable(task, train_scaling(task))
    fitted = fit_form(table, REFERENCE)
    good, bad = LinearMean((fitted,)), LinearMean((replace(fitted, weights=0.5 * fitted.weights),))
    assert _better_on_stop(table, bad, good) is good
    assert _better_on_stop(table, good, bad) is good
    observed = table.scaling.scale(task.observed("stop"))
    mine = fit_anchor(task, table.scaling).points[task.issues["stop"]]
    reference = good.points(table, task.issues["stop"])
    assert np.abs(mine - observed).mean() <= np.abs(reference - observed).mean() + 1e-6


def test_the_mean_of_forms_is_never_the_worst_of_them() -> None:
    task = make_task()
    table = LinearTable(task, train_scaling(task))
    model = weigh(table, (*choose_forms(table), fit_form(table, REFERENCE)))
    assert sum(model.weights) == pytest.approx(1.0)
    tune = task.issues["tune"]
    observed = table.scaling.scale(task.observed("tune"))
    error = np.abs(model.points(table, tune) - observed).mean()
    assert error <= max(np.abs(m.points(table, tune) - observed).mean() for m in model.members)


def test_the_newest_share_of_the_past_is_learned_from() -> None:
    task = make_task()
    table = LinearTable(task, train_scaling(task))
    whole, half = (fit_form(table, REFERENCE, share=share) for share in (1.0, 0.5))
    assert half.last == whole.last
    assert half.first - whole.first == pytest.approx((whole.last - whole.first) / 2, abs=24)
