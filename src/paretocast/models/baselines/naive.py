"""Simple methods that every front is compared with: what they are called and how they are fitted.

The naive ones here are a point forecast from earlier hours plus the empirical quantiles of its own
errors over the trailing four weeks; they learn nothing ahead of time. A reference reads no target
at or after the issue position.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from paretocast.data.gaps import fill_from_past
from paretocast.data.series import STEPS_PER_DAY
from paretocast.errors import DataError, SettingsError
from paretocast.models.baselines.base import Baseline
from paretocast.models.baselines.lightgbm import fit_trees, trees_are_installed
from paretocast.models.baselines.ridge import fit_ridge
from paretocast.models.baselines.theta import fit_statistical, statistics_are_installed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from paretocast.data.task import Task

    Fit = Callable[[Task, int | None], Baseline]

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


NAIVE_BASELINES: dict[str, Callable[..., NDArray[np.float64]]] = {
    "seasonal_naive_24": lambda known, positions, steps: _seasonal_naive(
        known, positions, steps, season=STEPS_PER_DAY
    ),
    "seasonal_naive_168": lambda known, positions, steps: _seasonal_naive(
        known, positions, steps, season=STEPS_PER_WEEK
    ),
    "weekday_hour_mean": _weekday_hour_mean,
}

# What has to be fitted, by name; the last two need an extra.
FITTED_BASELINES: dict[str, Fit] = {
    "ridge": fit_ridge,
    "lightgbm": fit_trees,
    "theta": fit_statistical,
}
# Seconds at most, and nothing to install: every study is compared with these.
STUDY_BASELINES = (*NAIVE_BASELINES, "ridge")


@dataclass(frozen=True)
class NaiveBaseline(Baseline):
    """A method of `NAIVE_BASELINES`."""

    name: str

    def forecast(self, task: Task, positions: NDArray[np.intp]) -> NDArray[np.float64]:
        """Quantiles at issue positions, (N, H, Q)."""
        return forecast_naive(
            self.name,
            task.series.values,
            positions,
            horizon_steps=task.shape.horizon_steps,
            levels=task.shape.levels,
        )


def baseline_names() -> tuple[str, ...]:
    """References that can be fitted here, from the simplest on."""
    absent = {
        *(() if trees_are_installed() else ("lightgbm",)),
        *(() if statistics_are_installed() else ("theta",)),
    }
    return tuple(name for name in (*NAIVE_BASELINES, *FITTED_BASELINES) if name not in absent)


def fit_baseline(name: str, task: Task, *, until: int | None = None) -> Baseline:
    """A reference, fitted on the train split and, for its errors, on the stop split.

    Parameters
    ----------
    until : int, optional
        Position after the last hour to learn from, for a fit that is as late as the issue allows.
        What is known of its errors still comes from a fit on the train split.

    Raises
    ------
    SettingsError
        If there is no such reference, or the library it needs is not installed.
    DataError
        If there is too little to learn from.
    """
    if name in NAIVE_BASELINES:
        return NaiveBaseline(name)
    if name not in FITTED_BASELINES:
        raise SettingsError(
            f"reference {name!r} is unknown, expected one of "
            f"{', '.join((*NAIVE_BASELINES, *FITTED_BASELINES))}"
        )
    return FITTED_BASELINES[name](task, until)


def forecast_baselines(
    task: Task, split: str, names: Sequence[str] = STUDY_BASELINES
) -> dict[str, NDArray[np.float64]]:
    """Forecasts of a split by name, (N, H, Q); a reference that lacks history is left out."""
    forecasts = {}
    for name in names:
        try:
            forecasts[name] = fit_baseline(name, task).forecast(task, task.issues[split])
        except DataError:
            continue
    return forecasts


def forecast_naive(
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
    point_forecast = NAIVE_BASELINES[name]
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
    # NumPy's nanquantile goes window by window, which takes twenty times as long.
    quantile = np.nanquantile if np.isnan(pooled).any() else np.quantile
    spread = np.moveaxis(quantile(pooled, levels, axis=1), 0, -1)  # (N, H, Q)
    # A biased method has error quantiles on the wrong side of zero;
    # the point forecast stays the median.
    below = np.asarray(levels) < 0.5
    spread = np.where(below, np.minimum(spread, 0.0), np.maximum(spread, 0.0))
    spread[:, :, list(levels).index(0.5)] = 0.0
    forecast: NDArray[np.float64] = point[:, :, None] + spread
    return forecast
