"""The forecast of a sum: joint errors, no sum of quantiles, nothing from the future."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from paretocast.calibration.total import (
    FEWEST_DAYS,
    hourly_forecast,
    sum_of_quantiles,
    total_forecast,
)
from paretocast.errors import DataError
from paretocast.metrics.forecast import Forecast
from paretocast.metrics.scores import picp

LEVELS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
NORMAL = (-1.645, -1.282, -0.842, -0.524, -0.253, 0.0, 0.253, 0.524, 0.842, 1.282, 1.645)


def draw_series(
    seed: int, *, n_series: int = 5, n_windows: int = 200, shared: float = 0.0
) -> list[Forecast]:
    """Honest forecasts of series whose errors have a correlation of `shared`."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(n_windows, 24))
    forecasts = []
    for i in range(n_series):
        own = rng.normal(size=(n_windows, 24))
        spread = 1.0 + i
        error = spread * (np.sqrt(shared) * common + np.sqrt(1.0 - shared) * own)
        middle = 50.0 + 10.0 * rng.random((n_windows, 24))
        quantiles = middle[..., None] + spread * np.array(NORMAL)
        forecasts.append(Forecast(quantiles, LEVELS, middle + error))
    return forecasts


def covered(forecast: Forecast) -> float:
    return picp(forecast.observed, *forecast.interval(80.0))


@pytest.mark.parametrize("shared", [0.0, 0.5, 0.95])
def test_the_interval_of_the_total_covers_what_it_says_whatever_the_errors_share(
    shared: float,
) -> None:
    total = total_forecast(draw_series(1, shared=shared))
    assert covered(total) == pytest.approx(80.0, abs=3.0)


def test_summed_quantiles_are_too_wide_where_errors_are_independent() -> None:
    forecasts = draw_series(2)
    total = total_forecast(forecasts)
    summed = sum_of_quantiles(forecasts, total.issues)
    assert covered(summed) > 95.0
    assert (summed.observed == total.observed).all()


def test_the_total_is_made_without_windows_that_are_not_past() -> None:
    forecasts = draw_series(3, n_windows=60)
    whole = total_forecast(forecasts)
    blind = []
    for forecast in forecasts:
        observed = forecast.observed.copy()
        observed[50:] = np.nan
        blind.append(Forecast(forecast.quantiles, LEVELS, observed))
    assert (total_forecast(blind).quantiles[: 51 - FEWEST_DAYS] == whole.quantiles[:23]).all()
    assert int(whole.issues[0]) == FEWEST_DAYS * 24


@pytest.mark.parametrize(("delay_steps", "n_more"), [(1, 1), (24, 1), (25, 2)])
def test_of_a_late_series_the_total_knows_no_window_before_its_last_hour_is_there(
    delay_steps: int, n_more: int
) -> None:
    forecasts = draw_series(8, n_windows=60)
    late = [replace(forecasts[0], delay_steps=delay_steps), *forecasts[1:]]
    total = total_forecast(late)
    assert int(total.issues[0]) == (FEWEST_DAYS + n_more) * 24
    assert total.delay_steps == delay_steps
    blind = []
    for forecast in forecasts:
        observed = forecast.observed.copy()
        observed[50 - n_more :] = np.nan
        blind.append(replace(forecast, observed=observed))
    day_50, of_blind = (f.quantiles[f.issues == 50 * 24] for f in (total, total_forecast(blind)))
    assert day_50.size
    assert (day_50 == of_blind).all()


def test_an_hour_that_one_series_lacks_is_not_observed_in_the_total() -> None:
    forecasts = draw_series(4, n_windows=40)
    observed = forecasts[1].observed.copy()
    observed[35, 7] = np.nan
    forecasts[1] = Forecast(forecasts[1].quantiles, LEVELS, observed)
    total = total_forecast(forecasts)
    missing = np.argwhere(np.isnan(total.observed)).tolist()
    assert missing == [[35 - FEWEST_DAYS, 7]]


def test_windows_that_not_all_series_have_are_left_out() -> None:
    forecasts = draw_series(5, n_windows=60)
    forecasts[2] = forecasts[2].take(np.arange(60) != 45)
    assert 45 * 24 not in total_forecast(forecasts).issues


def test_too_few_shared_windows_are_refused() -> None:
    with pytest.raises(DataError, match="20 windows are shared"):
        total_forecast(draw_series(6, n_windows=20))
    with pytest.raises(DataError, match="two or more"):
        total_forecast(draw_series(7, n_series=1))


def draw_quarters(seed: int, *, memory: float, n_windows: int = 300) -> Forecast:
    """Honest forecasts of quarter-hours whose errors last from one to the next."""
    rng = np.random.default_rng(seed)
    shocks = rng.normal(size=(n_windows, 96))
    error = shocks.copy()
    for step in range(1, 96):
        error[:, step] = memory * error[:, step - 1] + np.sqrt(1 - memory**2) * shocks[:, step]
    middle = 50.0 + 10.0 * rng.random((n_windows, 96))
    quantiles = middle[..., None] + np.array(NORMAL)
    return Forecast(quantiles, LEVELS, middle + error, 96 * np.arange(n_windows))


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.99])
def test_hours_of_quarters_are_covered_as_promised(memory: float) -> None:
    quarters = draw_quarters(1, memory=memory)
    hours = hourly_forecast(quarters, 4)
    assert covered(hours) == pytest.approx(80.0, abs=2.5)
    first = len(quarters.observed) - len(hours.observed)
    expected = quarters.observed[first:].reshape(-1, 24, 4).mean(axis=2)
    np.testing.assert_allclose(hours.observed, expected)
    assert (hours.issues == 24 * np.arange(first, 300)).all()


def test_the_mean_of_quantiles_is_no_forecast_of_hours() -> None:
    quarters = draw_quarters(2, memory=0.0)
    n_windows = len(quarters.observed)
    means = Forecast(
        quarters.quantiles.reshape(n_windows, 24, 4, -1).mean(axis=2),
        LEVELS,
        quarters.observed.reshape(n_windows, 24, 4).mean(axis=2),
    )
    assert covered(means) > 95.0


def test_windows_without_whole_hours_are_refused() -> None:
    quarters = draw_quarters(3, memory=0.0, n_windows=40)
    for per_hour in (1, 7):
        with pytest.raises(DataError, match="are no whole hours"):
            hourly_forecast(quarters, per_hour)
