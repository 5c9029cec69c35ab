"""A statistical forecaster that learns nothing ahead of time: fitted anew at every issue.

Needs the extra `statistics` (statsforecast). The dynamic optimised theta method (Fiorucci et al.
2016, International Journal of Forecasting 32(4), 1151-1161) on two weeks with a daily pattern. It
does not know the week; a decomposition that does (MSTL with exponential smoothing, on six weeks)
took forty times as long and had the larger error on a dozen days of the tune split of heat.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from paretocast.errors import SettingsError
from paretocast.models.baselines.base import (
    Baseline,
    ErrorSpread,
    check_history,
    measure_spread,
    train_scaling,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from paretocast.data.scaling import TargetScaling
    from paretocast.data.task import Task

    Floats = NDArray[np.float64]
    Positions = NDArray[np.intp]

HISTORY_DAYS = 14
# A daily series has a weekly pattern and no daily one.
DAILY_SEASON, DAILY_HISTORY = 7, 56


@dataclass(frozen=True)
class Statistical(Baseline):
    """The theta method with the spread of its errors."""

    errors: ErrorSpread

    def forecast(self, task: Task, positions: Positions) -> Floats:
        """Quantiles at issue positions, (N, H, Q)."""
        return self.errors.around(_point(task, positions, self.errors.scaling))


def fit_statistical(task: Task, until: int | None = None) -> Statistical:
    """The method, its errors measured on the stop split; it has nothing else to learn.

    Raises
    ------
    SettingsError
        If statsforecast is not installed.
    """
    del until  # every forecast is fitted on what lies before it
    if importlib.util.find_spec("statsforecast") is None:
        raise SettingsError(
            "statsforecast is not installed; install the extra: "
            "pip install 'paretocast[statistics]'"
        )
    scaling = train_scaling(task)
    errors = measure_spread(
        _point(task, task.issues["stop"], scaling),
        scaling.scale(task.observed("stop")),
        scaling=scaling,
        levels=task.shape.levels,
    )
    return Statistical(errors)


def _point(task: Task, positions: Positions, scaling: TargetScaling) -> Floats:
    """Forecasts in scaled units, (N, H)."""
    per_day = task.shape.steps_per_day
    season, n_history = per_day, HISTORY_DAYS * per_day
    if per_day == 1:
        season, n_history = DAILY_SEASON, DAILY_HISTORY
    check_history(positions, needed=n_history, name="theta")
    model = _model(season)
    hours = positions[:, None] + np.arange(-n_history, 0)
    histories = np.nan_to_num(task.seen_whole.scaled(scaling.scale_inputs).at(positions, hours))
    points = [
        model.forecast(y=history, h=task.shape.horizon_steps)["mean"] for history in histories
    ]
    return np.stack(points).astype(np.float64)


def _model(season: int) -> Any:  # noqa: ANN401  (statsforecast has no types)
    from statsforecast.models import DynamicOptimizedTheta

    return DynamicOptimizedTheta(season_length=season)
