"""Gradient-boosted quantile trees: one model per level, the step ahead among its features.

Demand is divided by its mean over the last week, so that trees, which cannot extrapolate, meet the
same numbers at every level of demand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from paretocast.data.features import input_limits
from paretocast.data.task import DAYS_PER_WEEK
from paretocast.errors import DataError
from paretocast.models.baselines.base import (
    Baseline,
    check_history,
    learning_positions,
    same_hour_before,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from paretocast.data.task import Task

    Floats = NDArray[np.float64]
    Positions = NDArray[np.intp]
    Examples = tuple[Floats, Floats]

HISTORY_DAYS = 2 * DAYS_PER_WEEK
DAYS_BACK = 7
LATEST_STEPS = 3
MOST_ROUNDS = 600
PATIENCE_ROUNDS = 30
PARAMETERS = {
    "objective": "quantile",
    "learning_rate": 0.06,
    "num_leaves": 31,
    "min_data_in_leaf": 60,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "deterministic": True,
    "force_row_wise": True,
    "seed": 1,
    "verbosity": -1,
}
SMALLEST_SCALE = 1e-9  # a week of zeros


@dataclass(frozen=True)
class Trees(Baseline):
    """One booster for each level of the task, in the order of the levels."""

    boosters: tuple[Any, ...]  # lightgbm.Booster, which has no types
    limits: tuple[float, float]

    def forecast(self, task: Task, positions: Positions) -> Floats:
        """Quantiles at issue positions, (N, H, Q)."""
        check_history(positions, needed=_history_steps(task), name="lightgbm")
        rows, scale = _rows(task, positions, self.limits)
        levels = [np.asarray(booster.predict(rows)) for booster in self.boosters]
        shape = (len(positions), task.shape.horizon_steps, len(levels))
        quantiles = np.sort(np.stack(levels, axis=-1).reshape(shape), axis=-1)
        return quantiles * scale[:, None, None]


def fit_trees(task: Task, until: int | None = None) -> Trees:
    """Boosters on daily windows of the train period, each stopped by its loss on the stop split.

    Parameters
    ----------
    until : int, optional
        As of `learning_positions`; as many rounds are then boosted again on all windows up to it.

    Raises
    ------
    DataError
        If the target goes below 0: its level is no scale then.
    """
    if np.nanmin(task.series.values[: task.train_stop]) < 0.0:
        raise DataError("reference lightgbm needs a target that is never negative")
    observed = task.series.values[: task.train_stop]
    limits = input_limits(observed[~np.isnan(observed)])
    train = _examples(task, learning_positions(task, history_steps=_history_steps(task)), limits)
    stop = _examples(task, task.issues["stop"], limits)
    late = None
    if until is not None:
        positions = learning_positions(task, history_steps=_history_steps(task), until=until)
        late = _examples(task, positions, limits)
    boosters = boost_levels(
        task.shape.levels, PARAMETERS, train, stop, late, most_rounds=MOST_ROUNDS
    )
    return Trees(boosters, limits)


def boost_levels(
    levels: Sequence[float],
    parameters: Mapping[str, Any],
    train: Examples,
    stop: Examples,
    late: Examples | None,
    *,
    most_rounds: int,
) -> tuple[Any, ...]:
    """A booster for each level, stopped by its loss on the stop examples.

    Parameters
    ----------
    train, stop, late : tuple of (rows (M, F), targets (M,))
        With `late` as many rounds are boosted again on it.
    """
    import lightgbm

    quiet = {"verbosity": -1}
    learned = lightgbm.Dataset(*train, params=quiet)
    judged = lightgbm.Dataset(*stop, reference=learned)
    final = None if late is None else lightgbm.Dataset(*late, params=quiet)
    boosters = []
    for level in levels:
        settings = {**parameters, "alpha": level}
        booster = lightgbm.train(
            settings,
            learned,
            num_boost_round=most_rounds,
            valid_sets=[judged],
            callbacks=[lightgbm.early_stopping(PATIENCE_ROUNDS, verbose=False)],
        )
        if final is not None:
            rounds = max(1, booster.best_iteration)
            booster = lightgbm.train(settings, final, num_boost_round=rounds)
        boosters.append(booster)
    return tuple(boosters)


def _history_steps(task: Task) -> int:
    """Steps before an issue that the trees read."""
    return HISTORY_DAYS * task.shape.steps_per_day


def _examples(
    task: Task, positions: Positions, limits: tuple[float, float]
) -> tuple[Floats, Floats]:
    """Rows with an observed target, and these targets over the level of demand."""
    rows, scale = _rows(task, positions, limits)
    steps = np.arange(task.shape.horizon_steps)
    targets = (task.series.values[positions[:, None] + steps] / scale[:, None]).ravel()
    observed = ~np.isnan(targets)
    return rows[observed], targets[observed]


def _rows(task: Task, positions: Positions, limits: tuple[float, float]) -> tuple[Floats, Floats]:
    """A row per window and step (N * H, F), and the level of demand of each window (N,).

    Of the target nothing is read beyond the limits.
    """
    per_day, per_week = task.shape.steps_per_day, task.shape.steps_per_week
    seen = task.seen_whole

    def target(hours: Positions) -> Floats:
        return np.clip(np.nan_to_num(seen.at(positions, hours), nan=0.0), *limits)

    steps = np.arange(task.shape.horizon_steps)
    hours = positions[:, None] + steps  # (N, H)
    week = target(positions[:, None] - np.arange(1, per_week + 1))
    scale = np.maximum(np.abs(week).mean(axis=1), SMALLEST_SCALE)
    day = week[:, :per_day]
    of_window = [
        *(week[:, i] for i in range(LATEST_STEPS)),
        *(day.mean(axis=1), day.min(axis=1), day.max(axis=1)),
        *(week.min(axis=1), week.max(axis=1)),
    ]
    first_day = same_hour_before(steps, per_day)
    days_back = [first_day + per_day * day for day in range(DAYS_BACK)]
    weeks_back = same_hour_before(steps, per_week)
    of_hour = [target(hours - back) for back in (*days_back, weeks_back)]
    relative = [
        *(np.broadcast_to(values[:, None], hours.shape) for values in of_window),
        *of_hour,
    ]
    columns = [
        *(values / scale[:, None] for values in relative),
        np.broadcast_to(scale[:, None], hours.shape),
        np.broadcast_to(steps, hours.shape).astype(np.float64),
        *np.moveaxis(task.features.known.horizon(positions, len(steps)), -1, 0),
    ]
    return np.stack(columns, axis=-1).reshape(-1, len(columns)), scale
