"""Forecasts of demand that is bounded below."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from builders import make_series, make_task, with_values
from paretocast.calibration import CALIBRATORS, fit_calibrator, walk_forward
from paretocast.errors import DataError
from paretocast.metrics.forecast import Forecast
from paretocast.models.baselines.catalogue import forecast_baselines
from paretocast.results.groups import forecast_of
from samples import LEVELS, clock_groups, draw_sample


def test_quantiles_below_the_bound_are_raised_to_it_and_no_others_move() -> None:
    forecast = Forecast([[[-2.0, 1.0, 4.0]]], (0.1, 0.5, 0.9), lower_bound=0.0)
    assert forecast.quantiles.tolist() == [[[0.0, 1.0, 4.0]]]
    assert Forecast([[[-2.0, 1.0, 4.0]]], (0.1, 0.5, 0.9)).quantiles[0, 0, 0] == -2.0


def test_the_bound_travels_with_every_derived_forecast() -> None:
    forecast = replace(draw_sample(np.random.default_rng(0), n_windows=4), lower_bound=9.0)
    later = replace(forecast, issues=forecast.issues + 96)
    derived = (
        forecast.take(slice(1, 3)),
        forecast.followed_by(later),
        forecast.without_observations(),
        forecast.with_quantiles(forecast.quantiles - 20.0),
    )
    for other in derived:
        assert other.lower_bound == 9.0
        assert other.with_quantiles(other.quantiles - 20.0).quantiles.max() == 9.0
    assert derived[-1].quantiles.max() == 9.0


def test_levels_beyond_the_stored_ones_are_not_read_below_the_bound() -> None:
    forecast = Forecast([[[0.5, 5.0, 20.0]]], (0.1, 0.5, 0.9), lower_bound=0.0)
    assert forecast.quantile(0.001).tolist() == [[0.0]]
    assert forecast.interval(99.8)[0].tolist() == [[0.0]]


@pytest.mark.parametrize("bound", [float("nan"), float("inf"), float("-inf")])
def test_a_bound_is_a_number(bound: float) -> None:
    with pytest.raises(DataError, match="lower_bound is"):
        Forecast([[[1.0, 2.0]]], (0.4, 0.6), lower_bound=bound)


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(sorted(CALIBRATORS)),
    arrays(np.float64, (16, 2), elements=st.integers(0, 9).map(float) | st.just(float("nan"))),
    arrays(np.float64, (16, 2, 11), elements=st.integers(-9, 9).map(float)),
)
def test_no_calibrator_goes_below_the_bound(
    name: str, observed: NDArray[np.float64], quantiles: NDArray[np.float64]
) -> None:
    observed[0, 0] = 1.0
    issues, groups = 24 * np.arange(16), clock_groups(16, 2)
    sample = Forecast(quantiles, LEVELS, observed, issues, groups, lower_bound=0.0)
    fitted = fit_calibrator(sample, name)
    for forecast in (
        fitted.apply(sample),
        fitted.moving_median().apply(sample),
        walk_forward(fitted, sample).forecast,
    ):
        assert forecast.quantiles.min() >= 0.0


def test_a_task_is_bounded_where_no_train_value_is_negative_whatever_comes_later() -> None:
    series = make_series()
    task = make_task(series)
    raised = np.maximum(series.values, 0.0)
    later, earlier = raised.copy(), raised.copy()
    later[task.train_stop :] = -1.0
    earlier[task.train_stop - 1] = -1.0
    unknown = np.where(np.arange(len(raised)) < task.train_stop, np.nan, raised)
    bounds = [
        make_task(with_values(series, values)).lower_bound
        for values in (raised, later, earlier, unknown)
    ]
    assert bounds == [0.0, 0.0, None, None]


def test_forecasts_of_a_bounded_task_obey() -> None:
    series = make_series()
    spiky = np.where(np.arange(len(series)) % 37 == 0, 500.0, 0.0)
    task = make_task(with_values(series, spiky))
    shape = (*task.observed("tune").shape, len(task.shape.levels))
    assert forecast_of(task, "tune", np.full(shape, -3.0)).quantiles.max() == 0.0
    forecasts = forecast_baselines(task, "tune")
    assert forecasts
    for quantiles in forecasts.values():
        assert quantiles.min() >= 0.0
