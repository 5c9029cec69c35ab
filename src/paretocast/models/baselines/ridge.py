"""Ridge regression on a week of history and what is known of the horizon.

One linear model for all steps ahead. It learns from windows issued within a few hours of the issue
hour: there a lag is nearly always the same hour of the day, so the coefficients know its shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from paretocast.data.series import STEPS_PER_DAY, Role
from paretocast.errors import DataError
from paretocast.models.baselines.base import (
    Baseline,
    ErrorSpread,
    check_history,
    learning_positions,
    measure_spread,
    scaled_target,
    train_scaling,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from paretocast.data.task import Task

    Floats = NDArray[np.float64]
    Positions = NDArray[np.intp]

LAGS = 168
# Hours around the issue hour, and the penalty: of 3, 6, 12 hours and 3, 30, 100 these had the
# lowest MAE, or one within 1 % of it, on the tune splits of heat and water_centrum.
HOURS_BESIDE = 3
PENALTY = 3.0
MOST_MISSING_SHARE = 0.125  # of a window's horizon; the rest of it is filled from the past
FEWEST_WINDOWS = 50


@dataclass(frozen=True)
class Ridge(Baseline):
    """The fitted model.

    Attributes
    ----------
    weights : ndarray of shape (H, F)
        Of the columns of `_columns`, by step ahead; scaled units.
    intercepts : ndarray of shape (H,)
        Scaled units.
    center, spread : ndarray of shape (K,)
        Of the features known ahead, over the train period.
    """

    errors: ErrorSpread
    weights: Floats
    intercepts: Floats
    center: Floats
    spread: Floats

    def forecast(self, task: Task, positions: Positions) -> Floats:
        """Quantiles at issue positions, (N, H, Q)."""
        check_history(positions, needed=LAGS, name="ridge")
        target = scaled_target(task, self.errors.scaling)
        return self.errors.around(self.point(task, target, positions))

    def point(self, task: Task, target: Floats, positions: Positions) -> Floats:
        """The regression itself, (N, H), in scaled units."""
        known = (task.features.known.values - self.center) / self.spread
        point: Floats = _columns(task, target, known, positions) @ self.weights.T + self.intercepts
        return point


def fit_ridge(task: Task, until: int | None = None) -> Ridge:
    """The ridge, fitted on the train split, its errors measured on the stop split.

    Parameters
    ----------
    until : int, optional
        As of `learning_positions`: fitted again on all windows up to there. The errors stay those
        of the fit on the train split.

    Raises
    ------
    DataError
        If there are too few windows.
    """
    scaling = train_scaling(task)
    target = scaled_target(task, scaling)
    known = task.features.known.values[: task.train_stop]
    spread = known.std(axis=0)
    center, spread = known.mean(axis=0), np.where(spread > 0.0, spread, 1.0)
    unknown = ErrorSpread(scaling, np.zeros((task.shape.horizon_steps, len(task.shape.levels))))

    def fitted(errors: ErrorSpread, stop: int | None) -> Ridge:
        table = (task.features.known.values - center) / spread
        weights, intercepts = _fit(task, target, table, until=stop)
        return Ridge(errors, weights, intercepts, center, spread)

    trained = fitted(unknown, None)
    errors = measure_spread(
        trained.point(task, target, task.issues["stop"]),
        scaling.scale(task.observed("stop")),
        scaling=scaling,
        levels=task.shape.levels,
    )
    if until is not None:
        return fitted(errors, until)
    return Ridge(errors, trained.weights, trained.intercepts, center, spread)


def _columns(task: Task, target: Floats, known: Floats, positions: Positions) -> Floats:
    """Lags from the latest to the oldest, then every known feature at every step, (N, F).

    What was forecast for a day counts beside what it was on the last one: their means over the
    24 hours before the issue are columns too.
    """
    steps = np.arange(task.shape.horizon_steps)
    lags = target[positions[:, None] - np.arange(1, LAGS + 1)]
    ahead = known[positions[:, None] + steps].reshape(len(positions), -1)
    forecast = [role is Role.FORECAST for role in task.features.known.roles]
    day = positions[:, None] - np.arange(1, STEPS_PER_DAY + 1)
    before = known[:, forecast][day].mean(axis=1)
    return np.hstack([lags, ahead, before])


def _fit(task: Task, target: Floats, known: Floats, *, until: int | None) -> tuple[Floats, Floats]:
    """Weights (H, F) and intercepts (H,) of the regression, learned from windows up to `until`."""
    from sklearn.linear_model import Ridge as LinearRidge  # a second to import

    positions = learning_positions(task, history_steps=LAGS, until=until, beside=HOURS_BESIDE)
    hours = positions[:, None] + np.arange(task.shape.horizon_steps)
    missing = np.isnan(task.series.values[hours]).mean(axis=1)
    usable = missing <= MOST_MISSING_SHARE
    if usable.sum() < FEWEST_WINDOWS:
        raise DataError(
            f"{usable.sum()} of {len(usable)} windows were observed, "
            f"the ridge needs {FEWEST_WINDOWS}"
        )
    columns = _columns(task, target, known, positions[usable])
    model = LinearRidge(PENALTY, copy_X=False).fit(columns, target[hours[usable]])
    return np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_)
