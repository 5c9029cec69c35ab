"""The anchor: a linear forecast of every window, which a model then has only to correct.

It is a ridge regression on the window's own history, the same hours of the weeks before and
what is known of the horizon, one for each hour of issue. It works on distances from the mean of the
last week: on a demand that has grown beyond anything in the train split it is as right as on any.
Most of what a day-ahead forecast can know is linear, and a network takes thousands of steps to find
what the normal equations give in seconds; what it adds is the rest, and the spread. (Residual
learning, as in Zhang 2003, Neurocomputing 50, 159-175.)

The forecast of a train window comes from a regression that has not learned from that part of the
train period: otherwise its errors would be smaller there than later, and intervals learned from
them too narrow.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from paretocast.data.series import STEPS_PER_DAY
from paretocast.errors import DataError
from paretocast.models.baselines.ridge import FEWEST_WINDOWS, HOURS_BESIDE, MOST_MISSING_SHARE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from paretocast.data.scaling import ScaledArrays
    from paretocast.data.task import Task

    Floats = NDArray[np.float64]
    Positions = NDArray[np.intp]

STEPS_PER_WEEK, MONTHS = 7 * STEPS_PER_DAY, 12
PENALTIES = (10.0, 100.0, 1000.0)
N_WEEKS = 4  # whose same hours are averaged
N_FOLDS = 5
INFLATIONS = 0.5, 4.0  # beyond them the stop split is another series
FEWEST_DAYS = 180  # of a train split, for an anchor that the settings leave to `auto`
# What is known of a long horizon is averaged over so many hours: thousands of columns otherwise.
LONG_HORIZON, LONG_BLOCK = 48, 6


def is_long_enough(task: Task) -> bool:
    """Return True if a train split has the observed hours for an anchor that helps."""
    observed = ~np.isnan(task.series.values[task.issues["train"]])
    return int(observed.sum()) >= FEWEST_DAYS * STEPS_PER_DAY


@dataclass(frozen=True)
class Anchor:
    """Linear forecasts at every level, scaled units.

    Attributes
    ----------
    points : ndarray of shape (T, H)
        Row t is for the window issued at position t; 0 where there is no whole window.
    spread : ndarray of shape (288, H, Q)
        What is added for each level, by month and hour of issue: quantiles of the errors at that
        hour and time of the year, on the windows it was learned from, times `inflation`.
    group : ndarray of shape (T,)
        Row of `spread` that belongs to the window issued at each position.
    inflation : float
        Mean absolute error on the stop split over that on the train split at the same hours and
        times of the year.
    """

    points: NDArray[np.float32]
    spread: NDArray[np.float32]
    group: Positions
    inflation: float


def fit_anchor(task: Task, arrays: ScaledArrays) -> Anchor:
    """The anchor of a task, fitted on its train split.

    Parameters
    ----------
    arrays : ScaledArrays
        Of the task.

    Raises
    ------
    DataError
        If an hour of issue has too few windows to learn from.
    """
    learned, group = task.issues["train"], _groups(task)
    points = _fit_points(task, arrays, learned)
    spread, size = _spread_by_group(task, _errors(arrays, points, learned), group[learned])
    inflation = _inflation(_errors(arrays, points, task.issues["stop"]), size, group, task)
    return Anchor(points, (inflation * spread).astype(np.float32), group, inflation)


def refit_anchor(anchor: Anchor, task: Task, arrays: ScaledArrays) -> Anchor:
    """The anchor with points learned from the train windows of a task that has more of them.

    The spread stays: nothing is held back to measure it on.
    """
    return replace(anchor, points=_fit_points(task, arrays, task.issues["train"]))


def _groups(task: Task) -> Positions:
    """Month and hour of issue of every position as one number, (T,)."""
    months = task.series.index.month.to_numpy().astype(np.intp) - 1
    return months * STEPS_PER_DAY + np.arange(len(months)) % STEPS_PER_DAY


def _inflation(stop_errors: Floats, size: Floats, group: Positions, task: Task) -> float:
    """Ratio of errors (N, H) of the stop split to the usual ones; 1 if there is none to compare."""
    usual = np.broadcast_to(size[group[task.issues["stop"]]][:, None], stop_errors.shape)
    observed = ~np.isnan(stop_errors)
    if not observed.any() or not usual[observed].mean() > 0.0:
        return 1.0
    low, high = INFLATIONS
    ratio = np.abs(stop_errors[observed]).mean() / usual[observed].mean()
    return float(np.clip(ratio, low, high))


def _spread_by_group(task: Task, errors: Floats, group: Positions) -> tuple[Floats, Floats]:
    """Quantiles (288, H, Q) and mean size (288,) of errors, by month and hour of issue.

    A month takes its neighbours along, and all months where these have too few windows; an hour
    without any takes all hours.
    """
    usable = np.isnan(errors).mean(axis=1) <= MOST_MISSING_SHARE
    errors, group = errors[usable], group[usable]
    months, hours = group // STEPS_PER_DAY, group % STEPS_PER_DAY
    spread = np.empty((MONTHS * STEPS_PER_DAY, errors.shape[1], len(task.shape.levels)))
    size = np.empty(len(spread))
    for hour in range(STEPS_PER_DAY):
        at_hour = hours == hour
        if not at_hour.any():
            at_hour = np.ones(len(hours), dtype=np.bool_)
        for month in range(MONTHS):
            in_season = at_hour & np.isin(months, [(month + i) % MONTHS for i in (-1, 0, 1)])
            pooled = errors[in_season if in_season.sum() >= FEWEST_WINDOWS else at_hour]
            row = month * STEPS_PER_DAY + hour
            spread[row] = _quantiles(pooled, task.shape.levels)
            size[row] = np.nanmean(np.abs(pooled))
    return spread, size


def _quantiles(errors: Floats, levels: Sequence[float]) -> Floats:
    """Quantiles of errors (N, H) by step, (H, Q); those of all steps where one has no error."""
    missing = np.isnan(errors)
    if not missing.any():
        return np.asarray(np.quantile(errors, levels, axis=0).T)
    empty = missing.all(axis=0)
    quantiles = np.empty((errors.shape[1], len(levels)))
    quantiles[~empty] = np.nanquantile(errors[:, ~empty], levels, axis=0).T
    quantiles[empty] = np.nanquantile(errors, levels)
    return quantiles


def _errors(arrays: ScaledArrays, points: NDArray[np.float32], positions: Positions) -> Floats:
    """Observations minus forecasts, (N, H); NaN where nothing was observed."""
    hours = positions[:, None] + np.arange(points.shape[1])
    errors = arrays.history[hours].astype(np.float64) - points[positions]
    return np.where(arrays.observed_mask[hours] > 0.0, errors, np.nan)


def _fit_points(task: Task, arrays: ScaledArrays, learned: Positions) -> NDArray[np.float32]:
    """Forecasts (T, H) of regressions learned from the windows at `learned`."""
    steps = task.shape.horizon_steps
    n_hours = len(arrays.history)
    points = np.zeros((n_hours, steps), dtype=np.float32)
    positions = np.arange(task.shape.input_steps, n_hours - steps + 1)
    table = _Table(task, arrays, learned)
    penalty = _choose_penalty(table, int(task.issues["tune"][0]) % STEPS_PER_DAY)
    for hour in range(STEPS_PER_DAY):
        issued = positions[positions % STEPS_PER_DAY == hour]
        points[issued] = table.forecasts(issued, hour, penalty) + table.level(issued)
    return points


def _choose_penalty(table: _Table, hour: int) -> float:
    """The penalty with the lowest cross-validated error at an hour of issue."""
    windows = table.windows_at(hour)
    targets = table.targets(windows)
    errors = {
        penalty: np.abs(table.forecasts(windows, hour, penalty) - targets).mean()
        for penalty in PENALTIES
    }
    return min(errors, key=lambda penalty: errors[penalty])


class _Table:
    """Rows of the regressions, and their sums of products by hour of issue and fold.

    The sums of the hours around the last one asked for are cached.
    """

    def __init__(self, task: Task, arrays: ScaledArrays, learned: Positions) -> None:
        self.task = task
        self.arrays = arrays
        self.learned = learned
        # By hour of issue: X'X (folds, F, F), X'Y (folds, F, H), number of windows.
        self._sums: dict[int, tuple[Floats, Floats, int]] = {}

    def fold_of(self, positions: Positions) -> Positions:
        """Number of the fold of the learned windows that each position lies in; -1 outside."""
        first, last = int(self.learned[0]), int(self.learned[-1])
        folds = (positions - first) * N_FOLDS // (last + 1 - first)
        folds[(positions < first) | (positions > last)] = -1
        return folds

    def forecasts(self, positions: Positions, hour: int, penalty: float) -> Floats:
        """Distances from the level that the regressions of an hour of issue expect, (N, H)."""
        columns, folds = self.columns(positions), self.fold_of(positions)
        squares, products = self.sums_around(hour)
        all_squares, all_products = squares.sum(axis=0), products.sum(axis=0)
        forecasts = np.empty((len(positions), products.shape[2]))
        if (outside := folds < 0).any():
            forecasts[outside] = columns[outside] @ _solve(all_squares, all_products, penalty)
        for fold in range(N_FOLDS):
            if (inside := folds == fold).any():
                others = all_squares - squares[fold], all_products - products[fold]
                forecasts[inside] = columns[inside] @ _solve(*others, penalty)
        return forecasts

    def windows_at(self, hour: int) -> Positions:
        """Windows to learn from that are issued at an hour, mostly observed, the rest filled."""
        positions = self.learned[self.learned % STEPS_PER_DAY == hour]
        hours = positions[:, None] + np.arange(self.task.shape.horizon_steps)
        observed = self.arrays.observed_mask[hours].mean(axis=1) >= 1.0 - MOST_MISSING_SHARE
        usable = self.arrays.history_mask[hours].all(axis=1)
        selected: Positions = positions[observed & usable]
        return selected

    def targets(self, positions: Positions) -> Floats:
        """Distances of the horizon from the level, (N, H)."""
        hours = positions[:, None] + np.arange(self.task.shape.horizon_steps)
        return np.asarray(self.arrays.history[hours] - self.level(positions))

    def level(self, positions: Positions) -> Floats:
        """Mean of the last week, or of the window if that is shorter, (N, 1); 0 in a long gap."""
        steps = np.arange(1, min(self.task.shape.input_steps, STEPS_PER_WEEK) + 1)
        history, mask = self._past(positions[:, None] - steps)
        n_hours = np.maximum(mask.sum(axis=1, keepdims=True), 1.0)
        return np.asarray(history.sum(axis=1, keepdims=True) / n_hours)

    def weeks_before(self, positions: Positions) -> Floats:
        """Means of the horizon's hours in the last weeks that lie before the issue, (N, H).

        The level where none of these weeks is there.
        """
        steps = np.arange(self.task.shape.horizon_steps)
        first = -(-self.task.shape.horizon_steps // STEPS_PER_WEEK)
        back = STEPS_PER_WEEK * np.arange(first, first + N_WEEKS)
        hours = positions[:, None, None] - back[:, None] + steps  # (N, weeks, H)
        history, mask = self._past(np.maximum(hours, 0))
        mask = mask * (hours >= 0)
        means = (history * mask).sum(axis=1) / np.maximum(mask.sum(axis=1), 1.0)
        return np.where(mask.any(axis=1), means, self.level(positions))

    def _past(self, hours: Positions) -> tuple[Floats, Floats]:
        """Target and mask at given hours; both 0 inside long gaps."""
        history = self.arrays.history[hours].astype(np.float64)
        return history, self.arrays.history_mask[hours].astype(np.float64)

    def columns(self, positions: Positions) -> Floats:
        """Lags from the latest to the oldest, weeks before, what is known, and a 1, (N, F)."""
        shape = self.task.shape
        level = self.level(positions)
        history, mask = self._past(positions[:, None] - np.arange(1, shape.input_steps + 1))
        lags = np.hstack([(history - level) * mask, self.weeks_before(positions) - level])
        known = self.arrays.known[positions[:, None] + np.arange(shape.horizon_steps)]
        block = LONG_BLOCK if shape.horizon_steps > LONG_HORIZON else 1
        starts = np.arange(0, shape.horizon_steps, block)
        sizes = np.diff(np.append(starts, shape.horizon_steps))
        ahead = np.add.reduceat(known.astype(np.float64), starts, axis=1) / sizes[:, None]
        ones = np.ones((len(positions), 1))
        return np.hstack([lags, ahead.reshape(len(positions), -1), ones])

    def sums_around(self, hour: int) -> tuple[Floats, Floats]:
        """X'X (folds, F, F) and X'Y (folds, F, H) over the hours of issue around this one."""
        offsets = range(-HOURS_BESIDE, HOURS_BESIDE + 1)
        around = [(hour + offset) % STEPS_PER_DAY for offset in offsets]
        for passed in set(self._sums) - set(around):  # as large as they are many
            del self._sums[passed]
        for missing in set(around) - set(self._sums):
            self._sums[missing] = self._sums_of(missing)
        if (n_windows := sum(self._sums[near][2] for near in around)) < FEWEST_WINDOWS:
            raise DataError(
                f"anchor ridge has {n_windows} windows to learn from around hour {hour}, expected "
                f"{FEWEST_WINDOWS}; bring a longer train period or use --anchor none"
            )
        squares, products, _ = self._sums[around[0]]
        for near in around[1:]:
            squares, products = squares + self._sums[near][0], products + self._sums[near][1]
        return squares, products

    def _sums_of(self, hour: int) -> tuple[Floats, Floats, int]:
        positions = self.windows_at(hour)
        columns, folds = self.columns(positions), self.fold_of(positions)
        targets = self.targets(positions)
        parts = [(columns[folds == fold], targets[folds == fold]) for fold in range(N_FOLDS)]
        squares = np.array([x.T @ x for x, _ in parts])
        return squares, np.array([x.T @ y for x, y in parts]), len(positions)


def _solve(squares: Floats, products: Floats, penalty: float) -> Floats:
    """Weights of shape (F, H); the last column is the intercept, which is not penalised."""
    diagonal = np.full(len(squares), penalty)
    diagonal[-1] = 1e-9
    return np.asarray(np.linalg.solve(squares + np.diag(diagonal), products), dtype=np.float64)
