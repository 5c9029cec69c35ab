"""Simple methods that every front is compared with.

A reference is a point forecast from earlier hours plus the empirical quantiles of its own errors
over the trailing four weeks. It reads nothing at or after the issue position.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from paretocast.errors import DataError
from paretocast.gaps import fill_from_past
from paretocast.series import STEPS_PER_DAY

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

STEPS_PER_WEEK = 7 * STEPS_PER_DAY
WEEKS_OF_MEAN = 4
TRAILING_DAYS = 28
# Errors of the hours beside the one asked for are pooled with its own:
# 28 days alone are coarse tails.
POOLED_HOURS = (-1, 0, 1)


def _seasonal_naive(
    known: NDArray[np.float64], positions: NDArray[np.intp], steps: NDArray[np.intp], *, season: int
) -> NDArray[np.float64]:
    """The value of the last complete season at the same phase, (N, H)."""
    back = season * (steps // season + 1)
    values: NDArray[np.float64] = known[positions[:, None] + steps - back]
    return values


def _weekday_hour_mean(
    known: NDArray[np.float64], positions: NDArray[np.intp], steps: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Mean of the last four values at the same hour of the week, (N, H)."""
    back = STEPS_PER_WEEK * (steps // STEPS_PER_WEEK + 1)
    weeks = [
        known[positions[:, None] + steps - back - STEPS_PER_WEEK * week]
        for week in range(WEEKS_OF_MEAN)
    ]
    mean: NDArray[np.float64] = np.mean(weeks, axis=0)
    return mean


REFERENCES: dict[str, Callable[..., NDArray[np.float64]]] = {
    "seasonal_naive_24": lambda known, positions, steps: _seasonal_naive(
        known, positions, steps, season=STEPS_PER_DAY
    ),
    "seasonal_naive_168": lambda known, positions, steps: _seasonal_naive(
        known, positions, steps, season=STEPS_PER_WEEK
    ),
    "weekday_hour_mean": _weekday_hour_mean,
}


def forecast_reference(
    name: str,
    values: NDArray[np.float64],
    positions: NDArray[np.intp],
    *,
    horizon_steps: int,
    levels: Sequence[float],
) -> NDArray[np.float64]:
    """Quantile forecasts of a reference at issue positions.

    Parameters
    ----------
    values : ndarray of shape (T,)
        Target, in target units; NaN where missing. Gaps of any length are filled from the past.
    positions : ndarray of shape (N,)
        Indices of first horizon hours.

    Returns
    -------
    ndarray of shape (N, H, Q)
        In target units, ascending. The level 0.5 is the point forecast itself; the other levels add
        the quantiles of the errors of the last 28 daily forecasts that had ended at the issue time.

    Raises
    ------
    DataError
        If the history before the first issue is too short.
    """
    point_forecast = REFERENCES[name]
    steps: NDArray[np.intp] = np.arange(horizon_steps)
    days_ended = -(-horizon_steps // STEPS_PER_DAY)  # the latest issue whose horizon is over
    days = np.arange(days_ended, days_ended + TRAILING_DAYS)
    horizon_weeks = -(-horizon_steps // STEPS_PER_WEEK)
    needed = STEPS_PER_DAY * int(days[-1]) + STEPS_PER_WEEK * (horizon_weeks + WEEKS_OF_MEAN)
    if positions.min() < needed:
        raise DataError(
            f"reference {name} needs {needed} hours of history, "
            f"the first issue has {positions.min()}"
        )
    known, _ = fill_from_past(values, longest_steps=len(values))
    point = point_forecast(known, positions, steps)
    past_issues = (positions[:, None] - STEPS_PER_DAY * days).ravel()  # (N * D,)
    errors = values[past_issues[:, None] + steps] - point_forecast(known, past_issues, steps)
    errors = errors.reshape(len(positions), len(days), horizon_steps)
    pooled = np.concatenate([np.roll(errors, shift, axis=2) for shift in POOLED_HOURS], axis=1)
    pooled = np.where(np.isnan(pooled).all(axis=1, keepdims=True), 0.0, pooled)
    spread = np.moveaxis(np.nanquantile(pooled, levels, axis=1), 0, -1)  # (N, H, Q)
    # A biased method has error quantiles on the wrong side of zero;
    # the point forecast stays the median.
    below = np.asarray(levels) < 0.5
    spread = np.where(below, np.minimum(spread, 0.0), np.maximum(spread, 0.0))
    spread[:, :, list(levels).index(0.5)] = 0.0
    forecast: NDArray[np.float64] = point[:, :, None] + spread
    return forecast
