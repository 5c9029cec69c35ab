"""The forecast of a sum of series, from forecasts of each and their joint errors.

Quantiles do not add up: the sum of the 0.9 quantiles of seven zones is exceeded far less often than
one time in ten, unless all zones err together. What the errors of one day have in common is taken
from days that have passed: of each such day, hour by hour, the levels at which the observations of
all series came to lie. The same levels are read from the forecasts of the day ahead and added up;
the quantiles of these sums, one for each past day, are the forecast of the total. This is the
empirical copula, or Schaake shuffle, of Clark et al. (2004), J. Hydrometeorology 5, 243-262.

M series, N windows, H steps, Q levels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from paretocast.calibration.rolling import n_past_windows
from paretocast.errors import DataError
from paretocast.metrics.forecast import Forecast
from paretocast.metrics.quantile_curve import OUTERMOST_READING, level_bounds, reading_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FEWEST_DAYS = 28  # with fewer joint errors the outermost levels say nothing
MEMORY_WINDOWS = 365


def total_forecast(forecasts: Sequence[Forecast]) -> Forecast:
    """Walk-forward forecast of the sum of series.

    Each window is made from the joint errors of the windows that were known whole at its issue. The
    first windows, which have fewer than `FEWEST_DAYS` of them before, are left out.

    Parameters
    ----------
    forecasts : sequence of Forecast
        One for each series, of the same levels and unit. Windows that not all of them have, by
        their issues, are left out.

    Returns
    -------
    Forecast
        Of the total. An hour is observed where all series are.

    Raises
    ------
    DataError
        If fewer than two series or windows are left, or levels or horizons differ.
    """
    alike = _aligned(forecasts)
    first = alike[0]
    levels, issues, horizon = first.levels, first.issues, first.observed.shape[1]
    observed = np.sum([forecast.observed for forecast in alike], axis=0)
    known_after = max(forecast.known_after for forecast in alike)
    readings = [_readings(forecast) for forecast in alike]
    n_joint = np.cumsum((~np.isnan(observed)).any(axis=1))
    windows, quantiles = [], []
    for i in range(len(issues)):
        n_past = n_past_windows(issues, known_after, int(issues[i]))
        if not n_past or n_joint[n_past - 1] < FEWEST_DAYS:
            continue
        past = slice(max(0, n_past - MEMORY_WINDOWS), n_past)
        sums = np.zeros((past.stop - past.start, horizon))
        for forecast, reading in zip(alike, readings, strict=True):
            sums += np.einsum("hq,nhq->nh", forecast.quantiles[i], reading[past])
        windows.append(i)
        quantiles.append(np.nanquantile(sums, levels, axis=0, method="weibull").T)
    if not windows:
        raise DataError(
            f"{len(issues)} windows are shared by the series, expected more than {FEWEST_DAYS}: "
            "the errors of so many are needed before the first forecast of a total"
        )
    bounds = [forecast.lower_bound for forecast in alike]
    return Forecast(
        np.stack(quantiles),
        levels,
        observed[windows],
        issues[windows],
        {name: members[windows] for name, members in first.groups.items()},
        lower_bound=None if None in bounds else float(sum(b for b in bounds if b is not None)),
        delay_steps=known_after - horizon,
    )


def hourly_forecast(forecast: Forecast, steps_per_hour: int) -> Forecast:
    """Walk-forward forecast of the means of the hours of a forecast of shorter steps.

    The steps of an hour take the place of the series of `total_forecast`: how they err together
    comes from past windows, as the mean of their quantiles is no quantile of their mean. Of values
    that add up, such as energies, the hours are `steps_per_hour` times as much.

    Parameters
    ----------
    forecast : Forecast
        Its windows begin with an hour and have whole ones.
    steps_per_hour : int
        At least 2.

    Returns
    -------
    Forecast
        Of H / `steps_per_hour` hours, issues counted in hours. An hour is observed where all its
        steps are.

    Raises
    ------
    DataError
        If windows have no whole hours, or fewer than `FEWEST_DAYS` of them are past.
    """
    n_steps = forecast.observed.shape[1]
    if steps_per_hour < 2 or n_steps % steps_per_hour:
        raise DataError(
            f"windows of {n_steps} steps are no whole hours of {steps_per_hour} steps; expected "
            "two steps an hour or more, and a horizon of whole hours"
        )
    starts = range(steps_per_hour)
    total = total_forecast([_every(forecast, steps_per_hour, start) for start in starts])
    bound = total.lower_bound
    return Forecast(
        total.quantiles / steps_per_hour,
        total.levels,
        total.observed / steps_per_hour,
        total.issues,
        total.groups,
        lower_bound=None if bound is None else bound / steps_per_hour,
    )


def _every(forecast: Forecast, n_steps: int, start: int) -> Forecast:
    """Every so many-th step of a forecast from one on, issues counted in as many."""
    return Forecast(
        forecast.quantiles[:, start::n_steps],
        forecast.levels,
        forecast.observed[:, start::n_steps],
        forecast.issues // n_steps,
        {name: members[:, start::n_steps] for name, members in forecast.groups.items()},
        lower_bound=forecast.lower_bound,
    )


def sum_of_quantiles(forecasts: Sequence[Forecast], issues: NDArray[np.integer]) -> Forecast:
    """Quantiles added up level by level, which is no forecast of the total; to show what it does.

    Parameters
    ----------
    forecasts : sequence of Forecast
        As of `total_forecast`.
    issues : ndarray of int
        Of its windows.
    """
    alike = [forecast.take(np.isin(forecast.issues, issues)) for forecast in forecasts]
    return Forecast(
        np.sum([forecast.quantiles for forecast in alike], axis=0),
        alike[0].levels,
        np.sum([forecast.observed for forecast in alike], axis=0),
        alike[0].issues,
    )


def _aligned(forecasts: Sequence[Forecast]) -> list[Forecast]:
    """Forecasts of the windows that all series have."""
    if len(forecasts) < 2:
        raise DataError(f"{len(forecasts)} series have a forecast, expected two or more")
    first = forecasts[0]
    for other in forecasts[1:]:
        if other.levels != first.levels or other.observed.shape[1] != first.observed.shape[1]:
            raise DataError("forecasts of a total have different levels or horizons")
    shared = first.issues
    for other in forecasts[1:]:
        shared = np.intersect1d(shared, other.issues)
    return [forecast.take(np.isin(forecast.issues, shared)) for forecast in forecasts]


def _readings(forecast: Forecast) -> Floats:
    """Weights, (N, H, Q), that read the level of each observation from another forecast.

    NaN where nothing was observed.
    """
    lowest, highest = level_bounds(forecast.observed, forecast.quantiles, forecast.levels)
    levels = np.clip((lowest + highest) / 2.0, OUTERMOST_READING, 1.0 - OUTERMOST_READING)
    there = ~np.isnan(levels)
    weights = np.full((*levels.shape, len(forecast.levels)), np.nan)
    weights[there] = reading_weights(forecast.levels, levels[there]).T
    return weights
