"""What every reference owes: it forecasts like a model, and reads nothing it could not know."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from builders import make_dates, make_series, make_task, stamp, with_values
from paretocast.data.features import build_features
from paretocast.data.series import Series, SplitDates
from paretocast.data.task import Task, TaskShape, plan_task
from paretocast.errors import DataError, SettingsError
from paretocast.models.baselines.base import Baseline
from paretocast.models.baselines.catalogue import (
    BASELINES,
    fit_baseline,
    forecast_baselines,
    study_baselines,
    try_baselines,
)

# A month and a half of trailing errors or history lie before it.
ISSUE = 24 * 80
NAMES = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            not spec.installed, reason=f"the library of {name} is not installed"
        ),
    )
    for name, spec in BASELINES.items()
]
every_reference = pytest.mark.parametrize("name", NAMES)


def three_levels(series: Series) -> Task:
    """A task of three levels: LightGBM fits a model for each."""
    shape = TaskShape(input_steps=48, levels=(0.1, 0.5, 0.9))
    return plan_task(series, make_dates(series), shape=shape)


@cache
def base() -> Task:
    return three_levels(make_series())


@cache
def fitted(name: str) -> Baseline:
    return fit_baseline(name, base())


def forecast(name: str, series: Series) -> NDArray[np.float64]:
    """At one issue, of the reference fitted on the unchanged series."""
    return fitted(name).forecast(three_levels(series), np.array([ISSUE]))


def changed(series: Series, first: int, last: int | None = None) -> Series:
    values = series.values.copy()
    values[first:last] += 5.0
    return with_values(series, values)


@every_reference
def test_a_forecast_has_every_level_of_every_hour_in_ascending_order(name: str) -> None:
    task = base()
    made = fitted(name).forecast(task, task.issues["tune"][-3:])
    assert made.shape == (3, 24, len(task.shape.levels))
    assert np.isfinite(made).all()
    assert (np.diff(made, axis=-1) >= 0.0).all()


@every_reference
def test_a_target_from_the_issue_time_on_changes_no_forecast(name: str) -> None:
    series = make_series()
    np.testing.assert_array_equal(forecast(name, changed(series, ISSUE)), forecast(name, series))


@every_reference
def test_a_target_of_the_last_day_changes_the_forecast(name: str) -> None:
    series = make_series()
    # A weekly mean does not look at yesterday: a whole week is changed.
    assert not np.array_equal(
        forecast(name, changed(series, ISSUE - 168, ISSUE)), forecast(name, series)
    )


@every_reference
def test_a_fit_reads_no_target_after_the_stop_split(name: str) -> None:
    task = base()
    last_stop = int(task.issues["stop"][-1]) + task.shape.horizon_steps
    later = three_levels(changed(make_series(), last_stop))
    np.testing.assert_array_equal(
        fit_baseline(name, later).forecast(task, np.array([ISSUE])),
        fitted(name).forecast(task, np.array([ISSUE])),
    )


@pytest.mark.parametrize("name", [p for p in NAMES if p.values[0] in {"ridge", "lightgbm"}])
def test_a_later_fit_reads_no_target_from_its_end_on(name: str) -> None:
    # Between the stop split and the end of a later fit everything may be learned from.
    task = base()
    end = int(task.issues["stop"][-1]) + task.shape.horizon_steps + 24 * 7
    positions = np.array([end])
    one = fit_baseline(name, task, until=end).forecast(task, positions)
    other = fit_baseline(name, three_levels(changed(make_series(), end)), until=end)
    np.testing.assert_array_equal(other.forecast(task, positions), one)


@pytest.mark.parametrize("name", [p for p in NAMES if p.values[0] in {"ridge", "lightgbm"}])
def test_a_later_fit_learns_from_what_lies_before_its_end(name: str) -> None:
    task = base()
    end = int(task.issues["stop"][-1]) + task.shape.horizon_steps + 24 * 7
    late = fit_baseline(name, task, until=end).forecast(task, np.array([end]))
    assert not np.array_equal(late, fitted(name).forecast(task, np.array([end])))


@pytest.mark.parametrize("name", [p for p in NAMES if p.values[0] in {"ridge", "lightgbm"}])
def test_a_forecast_role_value_counts_in_the_horizon_and_not_beyond_it(name: str) -> None:
    series = make_series()

    def with_temperature(first: int, last: int) -> Series:
        covariates = list(series.covariates)
        values = covariates[0].values.copy()
        values[first:last] += 9.0
        covariates[0] = replace(covariates[0], values=values)
        return replace(series, covariates=tuple(covariates))

    inside, beyond = with_temperature(ISSUE, ISSUE + 24), with_temperature(ISSUE + 24, ISSUE + 72)
    assert not np.array_equal(forecast(name, inside), forecast(name, series))
    np.testing.assert_array_equal(forecast(name, beyond), forecast(name, series))


@every_reference
def test_a_long_gap_before_the_issue_leaves_no_hole_in_the_forecast(name: str) -> None:
    series = make_series()
    values = series.values.copy()
    values[ISSUE - 60 : ISSUE - 2] = np.nan
    assert np.isfinite(forecast(name, with_values(series, values))).all()


@pytest.mark.parametrize("horizon_steps", [1, 168])
def test_the_ridge_forecasts_any_horizon(horizon_steps: int) -> None:
    task = make_task(make_series(), horizon_steps=horizon_steps)
    made = fit_baseline("ridge", task).forecast(task, task.issues["tune"])
    assert made.shape == (len(task.issues["tune"]), horizon_steps, len(task.shape.levels))


def test_the_ridge_finds_what_is_linear() -> None:
    # Demand follows yesterday's and the change of temperature since then, and nothing else.
    series = make_series(n_days=330)
    temperature = series.covariates[0].values
    values = np.full(len(series), 50.0)
    for hour in range(24, len(series)):
        values[hour] = 25.0 + 0.5 * values[hour - 24] + temperature[hour] - temperature[hour - 24]
    dates = SplitDates(
        stamp("2021-08-31 23:00"), stamp("2021-10-17 23:00"), stamp("2021-11-20 23:00")
    )
    task = plan_task(with_values(series, values), dates)
    made = fit_baseline("ridge", task).forecast(task, task.issues["tune"])
    median = made[:, :, list(task.shape.levels).index(0.5)]
    observed = task.observed("tune")
    naive = values[task.horizon_positions("tune") - 24]
    assert np.abs(median - observed).mean() < 0.25 * np.abs(naive - observed).mean()


def test_the_intervals_of_the_ridge_are_of_hours_it_has_not_learned_from() -> None:
    task = base()
    made = fitted("ridge").forecast(task, task.issues["tune"])
    low, high = (list(task.shape.levels).index(level) for level in (0.1, 0.9))
    observed = task.observed("tune")
    covered = (made[:, :, low] <= observed) & (observed <= made[:, :, high])
    assert 100.0 * covered.mean() == pytest.approx(80.0, abs=12.0)


def test_an_unknown_reference_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match="'oracle' is unknown, expected one of seasonal_naive"):
        fit_baseline("oracle", base())


def test_a_reference_that_lacks_history_is_left_out() -> None:
    early = base()
    early = replace(early, issues={**early.issues, "tune": np.array([200])})
    assert set(forecast_baselines(early, "tune")) == {"ridge"}
    assert set(forecast_baselines(base(), "tune")) == set(study_baselines())
    _, reasons = try_baselines(early, "tune")
    assert set(reasons) == set(study_baselines()) - {"ridge"}
    assert "needs 1512 hours of history, the first issue has 200" in reasons["seasonal_naive_24"]


@pytest.mark.parametrize("name", ["ridge", "lightgbm"])
def test_wild_inputs_leave_forecasts_bounded(name: str) -> None:
    """Two days of 9999.9 in target and temperature right before the last issue."""
    task = base()
    issue = int(task.issues["calibrate"][-1])  # after everything that was learned from
    wild = slice(issue - 48, issue)
    values = task.series.values.copy()
    values[wild] = 9999.9
    covariates = []
    for covariate in task.series.covariates:
        own = covariate.values.copy()
        own[wild] = 9999.9
        covariates.append(replace(covariate, values=own))
    series = replace(task.series, values=values, covariates=tuple(covariates))
    spoiled = replace(task, series=series, features=build_features(series))
    made = fit_baseline(name, task).forecast(spoiled, np.array([issue]))
    train = task.series.values[: task.train_stop]
    assert np.abs(made).max() < 100.0 * np.nanmax(np.abs(train))


def test_too_few_windows_are_refused_with_their_number() -> None:
    series = make_series()
    values = series.values.copy()
    values[24 * 10 : 24 * 55] = np.nan
    with pytest.raises(DataError, match=r"18 of 330 windows .* were observed, a ridge needs 50"):
        fit_baseline("ridge", make_task(with_values(series, values)))
