"""The contract of every baseline: fitted once, then forecasts at any issue positions.

A baseline learns from the train split, and from the stop split how wrong it is on hours it has not
learned from. At an issue position it reads the target before it, and of the horizon only features
that are known ahead. N windows, H horizon steps, Q quantile levels; target units.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from paretocast.data.scaling import Transform, fit_target_scaling
from paretocast.data.task import daily_positions
from paretocast.errors import DataError
from paretocast.steps import STEPS_PER_DAY, hours_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from paretocast.data.scaling import TargetScaling
    from paretocast.data.task import Task

    Floats = NDArray[np.float64]
    Positions = NDArray[np.intp]

# Errors of the hours beside the one asked for are pooled with its own: a stop split of some dozens
# of days has coarse tails.
POOLED_STEPS = 1


class Baseline(ABC):
    """A simple method, ready to forecast."""

    @abstractmethod
    def forecast(self, task: Task, positions: Positions) -> Floats:
        """Quantiles at issue positions of a task, (N, H, Q), ascending along its levels.

        Raises
        ------
        DataError
            If the history before the first issue is too short.
        """


@dataclass(frozen=True)
class ErrorSpread:
    """Quantiles of a point forecast's errors by step ahead, in scaled units.

    Attributes
    ----------
    scaling : TargetScaling
        The units in which errors are about equally large at every level of demand.
    quantiles : ndarray of shape (H, Q)
        0 at the median: the point forecast stays the median.
    """

    scaling: TargetScaling
    quantiles: Floats

    def around(self, point: Floats) -> Floats:
        """Quantile forecasts (N, H, Q), target units, around point forecasts in scaled units."""
        return self.scaling.unscale(point[:, :, None] + self.quantiles)


def measure_spread(
    point: Floats, observed: Floats, *, scaling: TargetScaling, levels: Sequence[float]
) -> ErrorSpread:
    """The spread of a point forecast on windows that it was not fitted on.

    Parameters
    ----------
    point, observed : ndarray of shape (N, H)
        In scaled units; NaN in `observed` where missing.
    """
    errors = observed - point
    n_steps = errors.shape[1]
    quantiles = np.zeros((n_steps, len(levels)))
    for step in range(n_steps):
        pooled = errors[:, max(0, step - POOLED_STEPS) : step + POOLED_STEPS + 1]
        observed_errors = pooled[~np.isnan(pooled)]
        if observed_errors.size:
            quantiles[step] = np.quantile(observed_errors, levels)
    return ErrorSpread(scaling, with_median_zero(quantiles, levels))


def with_median_zero(quantiles: Floats, levels: Sequence[float]) -> Floats:
    """Error quantiles (..., Q), those of a biased method moved to zero from the wrong side of it.

    The point forecast stays the median: its level is 0.
    """
    below = np.asarray(levels) < 0.5
    quantiles = np.where(below, np.minimum(quantiles, 0.0), np.maximum(quantiles, 0.0))
    quantiles[..., list(levels).index(0.5)] = 0.0
    return quantiles


def train_scaling(task: Task, transform: Transform = Transform.AUTO) -> TargetScaling:
    """Scaling on the train period."""
    train = task.series.values[: task.train_stop]
    return fit_target_scaling(train, transform)


def learning_positions(
    task: Task, *, history_steps: int, until: int | None = None, beside: int = 0
) -> Positions:
    """Issue positions of windows that may be learned from, ascending.

    Parameters
    ----------
    until : int, optional
        Position after the last hour that may be learned from; the end of the train period
        without it.
    beside : int
        Windows so many hours before and after the issue hour are learned from too.
    """
    stop = task.train_stop if until is None else until
    daily = daily_positions(task.series.index, task.shape)
    shifts = np.arange(-beside, beside + 1)
    positions = np.unique((daily[:, None] + shifts).ravel())
    fits = (positions >= history_steps) & (positions + task.shape.horizon_steps <= stop)
    if not fits.any():
        hours = hours_in(history_steps, task.shape.steps_per_day)
        raise DataError(
            f"no window with {hours:g} hours of history lies before {task.dates.train_to}, "
            "nothing to learn from"
        )
    usable: Positions = positions[fits]
    return usable


def check_history(positions: Positions, *, needed: int, name: str) -> None:
    """Refuse issues that lack history.

    Raises
    ------
    DataError
        If the first issue has fewer hours before it than needed.
    """
    if positions.min() < needed:
        raise DataError(
            f"reference {name} needs {needed} hours of history, "
            f"the first issue has {positions.min()}"
        )


def same_hour_before(steps: NDArray[np.intp], season: int = STEPS_PER_DAY) -> NDArray[np.intp]:
    """Steps back from each step to the same phase of the last complete season, (H,).

    Examples
    --------
    >>> same_hour_before(np.array([0, 23, 24])).tolist()
    [24, 24, 48]
    """
    back: NDArray[np.intp] = season * (steps // season + 1)
    return back
