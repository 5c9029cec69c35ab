"""Nothing from after the issue time reaches a forecast, except what its role allows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from builders import make_dates, make_series
from paretocast.data.scaling import Transform, scale_task
from paretocast.data.series import Role, Series
from paretocast.data.task import TaskShape, plan_task
from paretocast.models.anchor import fit_anchor
from paretocast.models.base import build_model
from paretocast.models.baselines.naive import POINT_FORECASTS, forecast_naive
from paretocast.search.models import MODELS, networks
from paretocast.training import WindowSource, forecast_positions, seed_weights

N_LEVELS = 11
ISSUE = 24 * 110  # in the test period: whatever is fitted was fitted before


def forecast(model: str, series: Series) -> NDArray[np.float64]:
    """The forecast of a seeded, untrained model at one issue time, with its anchor."""
    shape = TaskShape(input_steps=48, horizon_steps=24)
    task = plan_task(series, make_dates(series), shape=shape, with_test=True)
    arrays, scaling = scale_task(task, Transform.NONE)
    anchor = fit_anchor(task, scaling)
    source = WindowSource(arrays, input_steps=48, horizon_steps=24, device="cpu", anchor=anchor)
    seed_weights(3)
    module = build_model(
        model,
        source.shape(N_LEVELS),
        MODELS[model].default,
        train_history=arrays.history[: task.train_stop],
    )
    return forecast_positions(module, source, np.array([ISSUE]))


def with_covariate_changed(series: Series, name: str, first: int, last: int) -> Series:
    covariates = []
    for covariate in series.covariates:
        values = covariate.values.copy()
        if covariate.name == name:
            values[first:last] += 7.0
        covariates.append(replace(covariate, values=values))
    return replace(series, covariates=tuple(covariates))


@pytest.mark.parametrize("model", networks())
def test_a_target_after_the_issue_time_changes_no_forecast(model: str) -> None:
    series = make_series()
    values = series.values.copy()
    values[ISSUE:] = 50.0
    changed = replace(series, values=values)
    np.testing.assert_array_equal(forecast(model, changed), forecast(model, series))


@pytest.mark.parametrize("model", networks())
def test_a_target_just_before_the_issue_time_changes_the_forecast(model: str) -> None:
    series = make_series()
    values = series.values.copy()
    values[ISSUE - 1] += 5.0
    changed = replace(series, values=values)
    assert not np.array_equal(forecast(model, changed), forecast(model, series))


@pytest.mark.parametrize("model", networks())
def test_a_past_role_value_counts_up_to_the_issue_time_and_not_after_it(model: str) -> None:
    series = make_series()
    after = with_covariate_changed(series, "pressure", ISSUE, ISSUE + 48)
    before = with_covariate_changed(series, "pressure", ISSUE - 2, ISSUE)
    np.testing.assert_array_equal(forecast(model, after), forecast(model, series))
    assert not np.array_equal(forecast(model, before), forecast(model, series))


@pytest.mark.parametrize("model", networks())
def test_a_forecast_role_value_counts_in_the_horizon_and_not_beyond_it(model: str) -> None:
    series = make_series()
    inside = with_covariate_changed(series, "temperature", ISSUE + 20, ISSUE + 21)
    beyond = with_covariate_changed(series, "temperature", ISSUE + 24, ISSUE + 72)
    assert not np.array_equal(forecast(model, inside), forecast(model, series))
    np.testing.assert_array_equal(forecast(model, beyond), forecast(model, series))


@pytest.mark.parametrize("model", networks())
def test_a_calendar_value_counts_in_the_horizon(model: str) -> None:
    series = make_series()
    local_day = series.index[ISSUE + 12].tz_convert(series.calendar.zone).date()
    holiday = replace(series.calendar, school_holidays=((local_day, local_day),))
    # A second school holiday inside the train period keeps the feature from being constant there.
    train_day = series.index[24 * 20].date()
    base = replace(series.calendar, school_holidays=((train_day, train_day),))
    both = replace(holiday, school_holidays=(*base.school_holidays, *holiday.school_holidays))
    assert not np.array_equal(
        forecast(model, replace(series, calendar=both)),
        forecast(model, replace(series, calendar=base)),
    )


@pytest.mark.parametrize("name", POINT_FORECASTS)
def test_a_reference_reads_nothing_after_the_issue_time(name: str) -> None:
    series = make_series()
    values = series.values.copy()
    values[ISSUE:] = np.nan
    asked: dict[str, Any] = {
        "positions": np.array([ISSUE]),
        "horizon_steps": 24,
        "levels": (0.1, 0.5, 0.9),
    }
    np.testing.assert_array_equal(
        forecast_naive(name, values, **asked), forecast_naive(name, series.values, **asked)
    )


def test_the_roles_of_the_small_series_are_what_these_tests_rely_on() -> None:
    assert {c.name: c.role for c in make_series().covariates} == {
        "temperature": Role.FORECAST,
        "pressure": Role.PAST,
    }
