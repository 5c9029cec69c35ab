"""Naive baselines: a point forecast from earlier hours plus quantiles of its own recent errors.

The errors are those of the trailing four weeks; nothing is learned ahead of time. No target at or
after the issue position is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from paretocast.data.gaps import SeenTarget
from paretocast.data.series import STEPS_PER_DAY
from paretocast.models.baselines.base import (
    Baseline,
    check_history,
    same_hour_before,
    with_median_zero,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from paretocast.data.task import Task
    from paretocast.models.baselines.base import Floats, Positions

STEPS_PER_WEEK = 7 * STEPS_PER_DAY
WEEKS_OF_MEAN = 4
TRAILING_DAYS = 28
# Errors of the hours beside the one asked for are pooled with its own:
# 28 days alone are coarse tails.
POOLED_HOURS = (-1, 0, 1)


def _seasonal_naive(
    seen: SeenTarget, positions: Positions, steps: Positions, *, season: int
) -> Floats:
    """The value of the last complete season at the same phase, (N, H)."""
    return seen.at(positions, positions[:, None] + steps - same_hour_before(steps, season))


def _weekday_hour_mean(seen: SeenTarget, positions: Positions, steps: Positions) -> Floats:
    """Mean of the last four values at the same hour of the week, (N, H)."""
    last_week = positions[:, None] + steps - same_hour_before(steps, STEPS_PER_WEEK)
    weeks = [seen.at(positions, last_week - STEPS_PER_WEEK * week) for week in range(WEEKS_OF_MEAN)]
    mean: Floats = np.mean(weeks, axis=0)
    return mean


# From the target, issue positions (N,) and steps ahead (H,) to points (N, H).
POINT_FORECASTS: dict[str, Callable[[SeenTarget, Positions, Positions], Floats]] = {
    "seasonal_naive_24": partial(_seasonal_naive, season=STEPS_PER_DAY),
    "seasonal_naive_168": partial(_seasonal_naive, season=STEPS_PER_WEEK),
    "weekday_hour_mean": _weekday_hour_mean,
}


@dataclass(frozen=True)
class NaiveBaseline(Baseline):
    """A method of `POINT_FORECASTS`."""

    name: str

    def forecast(self, task: Task, positions: Positions) -> Floats:
        """Quantiles at issue positions, (N, H, Q)."""
        return forecast_naive(
            self.name,
            task.series.values,
            positions,
            horizon_steps=task.shape.horizon_steps,
            levels=task.shape.levels,
            delay_hours=task.series.delay_hours,
        )


def forecast_naive(
    name: str,
    values: Floats,
    positions: Positions,
    *,
    horizon_steps: int,
    levels: Sequence[float],
    delay_hours: int = 0,
) -> Floats:
    """Quantile forecasts of a naive method at issue positions.

    Parameters
    ----------
    values : ndarray of shape (T,)
        Target, in target units; NaN where missing. Gaps of any length are filled from the past.
    positions : ndarray of shape (N,)
        Indices of first horizon hours.
    delay_hours : int
        Hours before an issue whose values are not there yet.

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
    point_forecast = POINT_FORECASTS[name]
    steps: Positions = np.arange(horizon_steps)
    days_ended = -(-horizon_steps // STEPS_PER_DAY)  # the latest issue whose horizon is over
    days = np.arange(days_ended, days_ended + TRAILING_DAYS)
    horizon_weeks = -(-horizon_steps // STEPS_PER_WEEK)
    needed = STEPS_PER_DAY * int(days[-1]) + STEPS_PER_WEEK * (horizon_weeks + WEEKS_OF_MEAN)
    check_history(positions, needed=needed, name=name)
    seen = SeenTarget.of(values, delay_hours=delay_hours)
    point = point_forecast(seen, positions, steps)
    past_issues = (positions[:, None] - STEPS_PER_DAY * days).ravel()  # (N * D,)
    hours = past_issues[:, None] + steps
    there = hours < np.repeat(positions - delay_hours, len(days))[:, None]
    errors = np.where(there, values[hours], np.nan) - point_forecast(seen, past_issues, steps)
    errors = errors.reshape(len(positions), len(days), horizon_steps)
    pooled = np.concatenate([np.roll(errors, shift, axis=2) for shift in POOLED_HOURS], axis=1)
    pooled = np.where(np.isnan(pooled).all(axis=1, keepdims=True), 0.0, pooled)
    # NumPy's nanquantile goes window by window, which takes twenty times as long.
    quantile = np.nanquantile if np.isnan(pooled).any() else np.quantile
    spread = np.moveaxis(quantile(pooled, levels, axis=1), 0, -1)  # (N, H, Q)
    forecast: Floats = point[:, :, None] + with_median_zero(spread, levels)
    return forecast
