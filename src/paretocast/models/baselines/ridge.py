"""The reference ridge: the regression of `linear` in a form that no series has a say in.

A week of history, what is known of the horizon, and the means of the forecast covariates over the
last day, with a penalty of 3: of 3, 30 and 100 it had the lowest MAE, or one within 1 % of it, on
the tune splits of heat and water_centrum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from paretocast.models.baselines.base import (
    Baseline,
    ErrorSpread,
    check_history,
    measure_spread,
    train_scaling,
)
from paretocast.models.linear import LinearModel, fit_form
from paretocast.models.linear_table import LinearTable, reference_form

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from paretocast.data.task import Task

    Floats = NDArray[np.float64]
    Positions = NDArray[np.intp]


@dataclass(frozen=True)
class Ridge(Baseline):
    """The fitted regression with the spread of its errors."""

    model: LinearModel
    errors: ErrorSpread

    def forecast(self, task: Task, positions: Positions) -> Floats:
        """Quantiles at issue positions, (N, H, Q)."""
        check_history(positions, needed=self.model.form.history_steps, name="ridge")
        table = LinearTable.of_week(task, self.errors.scaling)
        return self.errors.around(self.model.points(table, positions))


def fit_ridge(task: Task, until: int | None = None) -> Ridge:
    """The reference ridge, fitted on the train split, its errors measured on the stop split.

    Parameters
    ----------
    until : int, optional
        Position after the last hour to learn from: fitted again on all windows up to there. The
        errors stay those of the fit on the train split.

    Raises
    ------
    DataError
        If there are too few windows.
    """
    scaling = train_scaling(task)
    table = LinearTable.of_week(task, scaling)
    form = reference_form(task.shape.steps_per_day)
    model = fit_form(table, form)
    errors = measure_spread(
        model.points(table, task.issues["stop"]),
        scaling.scale(task.observed("stop")),
        scaling=scaling,
        levels=task.shape.levels,
    )
    return Ridge(model if until is None else fit_form(table, form, until=until), errors)
