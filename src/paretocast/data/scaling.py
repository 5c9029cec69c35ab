"""Target and covariates in the units that models train in.

Every scaler is fitted on the train period and applied everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from paretocast.data.features import input_limits
from paretocast.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from paretocast.data.features import FeatureTable
    from paretocast.data.task import Task

# log1p(y / offset) is close to log(y) for usual demand and finite at zero.
LOG_OFFSET_SHARE = 0.1


class Transform(StrEnum):
    """Monotone change of the target before it is standardised.

    `auto` is `log1p` where no train value is negative: the noise of demand grows with demand.
    """

    AUTO = "auto"
    NONE = "none"
    LOG1P = "log1p"


@dataclass(frozen=True)
class TargetScaling:
    """Transform, then standardise.

    Attributes
    ----------
    offset : float
        In target units; `log1p` works on `y / offset`.
    center, spread : float
        Mean and standard deviation of the transformed train target, unitless for `log1p`.
    lower_bound : float or None
        0 in target units where no train value was negative, else None: demand that flows one way.
    limits : (float, float) or None
        In target units; what models read of the target is clipped to them. A model deployed by an
        earlier version has none.
    """

    transform: Transform  # never auto
    offset: float
    center: float
    spread: float
    lower_bound: float | None = None
    limits: tuple[float, float] | None = None

    def scale_inputs(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scaled units of what a model reads: clipped to `limits`; NaN stays NaN."""
        return self.scale(values if self.limits is None else np.clip(values, *self.limits))

    def scale(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scaled units from target units; NaN stays NaN."""
        if self.transform is Transform.LOG1P:
            # A negative value after a non-negative train period is clipped:
            # log1p has no answer for it.
            values = np.log1p(np.maximum(values, 0.0) / self.offset)
        return (values - self.center) / self.spread

    def unscale(self, scaled: NDArray[np.float64]) -> NDArray[np.float64]:
        """Target units from scaled units, any shape, not below `lower_bound`.

        Ascending quantiles stay ascending.
        """
        values = scaled * self.spread + self.center
        if self.transform is Transform.LOG1P:
            values = np.expm1(values) * self.offset
        return values if self.lower_bound is None else np.maximum(values, self.lower_bound)


def fit_target_scaling(train_values: NDArray[np.float64], transform: Transform) -> TargetScaling:
    """Scaling of a target from its train period.

    Raises
    ------
    DataError
        If nothing was observed, or if `log1p` meets a negative value.
    """
    observed = train_values[~np.isnan(train_values)]
    if not observed.size:
        raise DataError(
            "the train period holds no observed value, expected some to fit the scaling on"
        )
    if transform is Transform.AUTO:
        transform = Transform.NONE if observed.min() < 0.0 else Transform.LOG1P
    if transform is Transform.LOG1P and observed.min() < 0.0:
        raise DataError(
            "transform log1p needs a non-negative target, the train period goes down to "
            f"{observed.min():g}; use transform none"
        )
    positive = observed[observed > 0.0]
    offset = LOG_OFFSET_SHARE * float(np.median(positive)) if positive.size else 1.0
    raw = TargetScaling(transform, offset, center=0.0, spread=1.0).scale(observed)
    return TargetScaling(
        transform,
        offset,
        center=float(raw.mean()),
        spread=float(raw.std()) or 1.0,
        lower_bound=None if observed.min() < 0.0 else 0.0,
        limits=input_limits(observed),
    )


@dataclass(frozen=True)
class ScaledHorizon:
    """Columns of `ScaledArrays.known` as they were known at each issue, float32.

    Attributes
    ----------
    columns : ndarray of shape (A,)
        The columns of `known` that they take the place of.
    values : ndarray of shape (M, A)
    first : ndarray of shape (T,)
        Row of `values` for the first hour of the window issued at each position.
    """

    columns: NDArray[np.intp]
    values: NDArray[np.float32]
    first: NDArray[np.intp]


@dataclass(frozen=True)
class ScaledLastHours:
    """The last hours before each issue, of a target that comes late, float32.

    Attributes
    ----------
    history, history_mask : ndarray of shape (T, D)
        Row t is for the window issued at position t and takes the place of the D hours before it.
    """

    history: NDArray[np.float32]
    history_mask: NDArray[np.float32]


@dataclass(frozen=True)
class ScaledArrays:
    """The whole series as models see it, float32.

    Attributes
    ----------
    history : ndarray of shape (T,)
        Scaled target with short gaps filled from the past; 0 where `history_mask` is 0.
    history_mask, observed_mask : ndarray of shape (T,)
        1 where `history` may be read, and where a value was really observed and may enter the loss.
    past : ndarray of shape (T, P)
        Covariates and lags of role `past`.
    known : ndarray of shape (T, K)
        Features of roles `calendar` and `forecast`.
    ahead : ScaledHorizon or None
        What windows read over the horizon instead, where it depends on the issue.
    last_hours : ScaledLastHours or None
        What windows read of their last hours instead, where the target comes late.
    """

    history: NDArray[np.float32]
    history_mask: NDArray[np.float32]
    observed_mask: NDArray[np.float32]
    past: NDArray[np.float32]
    known: NDArray[np.float32]
    ahead: ScaledHorizon | None = None
    last_hours: ScaledLastHours | None = None


def scale_task(task: Task, transform: Transform) -> tuple[ScaledArrays, TargetScaling]:
    """Scaled arrays of a task with scalers fitted on its train period."""
    scaling = fit_target_scaling(task.series.values[: task.train_stop], transform)
    return scaled_arrays(task, scaling), scaling


def scaled_arrays(task: Task, scaling: TargetScaling) -> ScaledArrays:
    """Scaled arrays of a task in given units of the target."""
    history, usable = _scaled_history(task.seen.filled, scaling)
    table = task.standardised
    known = table.known
    return ScaledArrays(
        history=history,
        history_mask=usable,
        observed_mask=(~np.isnan(task.series.values)).astype(np.float32),
        past=table.past.values.astype(np.float32),
        known=known.values.astype(np.float32),
        ahead=None
        if known.ahead is None
        else ScaledHorizon(
            known.ahead.columns, known.ahead.values.astype(np.float32), known.ahead.first
        ),
        last_hours=_scaled_last_hours(task, scaling) if task.series.delay_steps else None,
    )


def _scaled_last_hours(task: Task, scaling: TargetScaling) -> ScaledLastHours:
    last = task.seen.last_hours(np.arange(len(task.series)))
    return ScaledLastHours(*_scaled_history(last, scaling))


def _scaled_history(
    filled: NDArray[np.float64], scaling: TargetScaling
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Scaled values, 0 where there are none, and 1 where there are; both of the same shape."""
    usable = ~np.isnan(filled)
    history = np.where(usable, scaling.scale_inputs(filled), 0.0)
    return history.astype(np.float32), usable.astype(np.float32)


def standardised(task: Task, table: FeatureTable) -> FeatureTable:
    """The table with columns of mean 0 and standard deviation 1, by the task's standards.

    Values beyond their limits are clipped to them first.
    """
    return table.scaled(task.standards_of(table))
