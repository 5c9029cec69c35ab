"""The anchor: a linear forecast of every window, which a model then has only to correct.

It is the regression of `linear`, in forms that suit the series, with the spread of its errors.
Most of what a day-ahead forecast can know is linear, and a network takes thousands of steps to find
what the normal equations give in a second; what it adds is the rest, and the spread. (Residual
learning, as in Zhang 2003, Neurocomputing 50, 159-175.)

The forecast of a train window comes from a regression that has not learned from that part of the
train period: otherwise its errors would be smaller there than later, and intervals learned from
them too narrow.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from paretocast.models.baselines.base import POOLED_STEPS
from paretocast.models.linear import (
    FEWEST_WINDOWS,
    MOST_MISSING_SHARE,
    LinearMean,
    choose_forms,
    fit_form,
    positions_near_issue,
    weigh,
)
from paretocast.models.linear_table import FULL, WEATHER_BLOCKS, LinearTable, reference_form

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from paretocast.data.scaling import TargetScaling
    from paretocast.data.task import Task

    Floats = NDArray[np.float64]
    Positions = NDArray[np.intp]

MONTHS = 12
INFLATIONS = 0.5, 4.0  # beyond them the stop split is another series
COMPARED_SHARE = 0.8  # of the errors: the largest ones say little about an 80 % interval
FEWEST_DAYS = 180  # of a train split, for an anchor that the settings leave to `auto`


def is_long_enough(task: Task) -> bool:
    """Return True if a train split has the observed hours for an anchor that helps."""
    observed = ~np.isnan(task.series.values[task.issues["train"]])
    return int(observed.sum()) >= FEWEST_DAYS * task.shape.steps_per_day


@dataclass(frozen=True)
class LinearOptions:
    """Limits of the choice of a form.

    Attributes
    ----------
    weather : bool
        Whether covariates may be among the columns.
    lags : int or None
        Steps of history among the columns; those of a week for None.
    share : float
        Share of the train period to learn from, the newest, 0 to 1.
    penalty_factor : float
        The penalty that cross-validation finds is multiplied by it.
    """

    weather: bool = True
    lags: int | None = None
    share: float = 1.0
    penalty_factor: float = 1.0

    @property
    def blocks(self) -> tuple[str, ...]:
        """Blocks of columns to choose from."""
        return tuple(name for name in FULL if self.weather or name not in WEATHER_BLOCKS)


@dataclass(frozen=True)
class Anchor:
    """Linear forecasts at every level, scaled units.

    Attributes
    ----------
    model : LinearMean
        The regressions.
    positions : ndarray of shape (P,)
        Issue positions that it forecasts, ascending: those near the daily issue.
    points : ndarray of shape (T, H)
        Row t is for the window issued at position t; 0 where it is not among `positions`.
    spread : ndarray of shape (12, H, Q)
        What is added for each level, by month of issue: quantiles of the errors at that time of
        the year, on the windows it was learned from, times `inflation`.
    group : ndarray of shape (T,)
        Row of `spread` that belongs to the window issued at each position.
    inflation : float
        Size of the errors on the stop split over that on the train split at the same times of the
        year.
    """

    model: LinearMean
    positions: Positions
    points: NDArray[np.float32]
    spread: NDArray[np.float32]
    group: Positions
    inflation: float

    def quantiles(self, positions: Positions) -> Floats:
        """Forecasts at issue positions, (N, H, Q), ascending, scaled units."""
        spread = self.spread[self.group[positions]]
        return np.sort(self.points[positions][:, :, None] + spread, axis=-1).astype(np.float64)


def fit_anchor(task: Task, scaling: TargetScaling, options: LinearOptions | None = None) -> Anchor:
    """The anchor of a task, fitted on its train split.

    It is a weighted mean of the two regressions that suit the series and the reference ridge. Where
    it is worse on the stop split than that ridge, it is that ridge.

    Parameters
    ----------
    scaling : TargetScaling
        The units in which it is fitted and forecasts.

    Raises
    ------
    DataError
        If there are too few windows to learn from.
    """
    options = options or LinearOptions()
    if options.lags == task.shape.steps_per_week:
        options = replace(options, lags=None)
    table = LinearTable(task, scaling, options.lags or task.shape.steps_per_week)
    models = choose_forms(
        table, options.blocks, share=options.share, penalty_factor=options.penalty_factor
    )
    if options == LinearOptions():
        reference = fit_form(table, reference_form(task.shape.steps_per_day))
        mean = weigh(table, (*models, reference))
        return _with_spread(table, _better_on_stop(table, mean, LinearMean((reference,))))
    return _with_spread(table, weigh(table, models))


def refit_anchor(
    anchor: Anchor, task: Task, scaling: TargetScaling, *, until: int, share: float = 1.0
) -> Anchor:
    """The anchor in the same forms with weights learned from every window before a position.

    The spread stays: nothing is held back to measure it on.
    """
    table = LinearTable(task, scaling, anchor.model.lags)
    model = anchor.model.refitted(lambda form: fit_form(table, form, until=until, share=share))
    return replace(anchor, model=model, points=_points(table, model, anchor.positions))


def repoint_anchor(
    anchor: Anchor, task: Task, scaling: TargetScaling, *, positions: Positions
) -> Anchor:
    """The anchor with forecasts of some windows made anew, from what a task says of them."""
    points = anchor.points.copy()
    table = LinearTable(task, scaling, anchor.model.lags)
    points[positions] = anchor.model.cross_fitted(table, positions)
    return replace(anchor, points=points)


def _better_on_stop(table: LinearTable, model: LinearMean, reference: LinearMean) -> LinearMean:
    """The model, or the reference where that has the lower error on the stop split."""
    stop = table.task.issues["stop"]
    observed = table.scaling.scale(table.task.observed("stop"))
    errors = [np.abs(m.points(table, stop) - observed) for m in (model, reference)]
    if np.isnan(observed).all() or np.nanmean(errors[0]) <= np.nanmean(errors[1]):
        return model
    return reference


def _with_spread(table: LinearTable, model: LinearMean) -> Anchor:
    """Regressions with their forecasts and the spread of their errors on the train split."""
    task = table.task
    positions = positions_near_issue(task, model.history_steps)
    points = _points(table, model, positions)
    months, stop = months_of(task), task.issues["stop"]
    learned = model.learned(positions)
    errors = _errors(table, points, learned)
    spread, size = _spread_by_month(task, errors, months[learned])
    stop_errors = _errors(table, points, stop)
    inflation = _inflation(stop_errors, size[months[stop]], errors, size[months[learned]])
    scaled = (inflation * spread).astype(np.float32)
    return Anchor(model, positions, points, scaled, months, inflation)


def _points(table: LinearTable, model: LinearMean, positions: Positions) -> NDArray[np.float32]:
    """Forecasts (T, H): of windows it has learned from by the regression without their fold."""
    points = np.zeros((len(table.task.series), table.task.shape.horizon_steps), dtype=np.float32)
    points[positions] = model.cross_fitted(table, positions)
    return points


def _errors(table: LinearTable, points: NDArray[np.float32], positions: Positions) -> Floats:
    """Observations minus forecasts, (N, H), scaled units; NaN where nothing was observed."""
    hours = positions[:, None] + np.arange(points.shape[1])
    return np.asarray(table.scaling.scale(table.task.series.values[hours]) - points[positions])


def months_of(task: Task) -> Positions:
    """Month of every position, 0 to 11, (T,)."""
    return np.asarray(task.series.index.month, dtype=np.intp) - 1


def _inflation(stop_errors: Floats, usual: Floats, errors: Floats, sizes: Floats) -> float:
    """Size of the errors on the stop split over that on the train split.

    Parameters
    ----------
    stop_errors, errors : ndarray of shape (N, H)
        Of both splits; NaN where nothing was observed.
    usual, sizes : ndarray of shape (N,)
        Mean absolute error at the time of the year of each window.

    Returns
    -------
    float
        Ratio of the sizes that four fifths of the errors do not exceed; 1 if there is none.
    """
    relative = [
        np.abs(e / np.where(size > 0.0, size, np.nan)[:, None])
        for e, size in ((stop_errors, usual), (errors, sizes))
    ]
    if any(np.isnan(part).all() for part in relative):
        return 1.0
    of_stop, of_train = (np.nanquantile(part, COMPARED_SHARE) for part in relative)
    low, high = INFLATIONS
    return float(np.clip(of_stop / of_train, low, high)) if of_train > 0.0 else 1.0


def _spread_by_month(task: Task, errors: Floats, months: Positions) -> tuple[Floats, Floats]:
    """Quantiles (12, H, Q) and mean size (12,) of errors.

    A month takes its neighbours along, and all months where these have too few windows.
    """
    usable = np.isnan(errors).mean(axis=1) <= MOST_MISSING_SHARE
    errors, months = errors[usable], months[usable]
    spread = np.empty((MONTHS, errors.shape[1], len(task.shape.levels)))
    size = np.empty(MONTHS)
    for month in range(MONTHS):
        in_season = np.isin(months, [(month + i) % MONTHS for i in (-1, 0, 1)])
        pooled = errors[in_season] if in_season.sum() >= FEWEST_WINDOWS else errors
        spread[month] = _quantiles(pooled, task.shape.levels)
        size[month] = np.nanmean(np.abs(pooled))
    return spread, size


def _quantiles(errors: Floats, levels: Sequence[float]) -> Floats:
    """Quantiles of errors (N, H) by step, (H, Q); those of all steps where one has no error.

    The steps beside one are pooled with it: the outermost levels of a season are uncertain.
    """
    steps, last = np.arange(errors.shape[1]), errors.shape[1] - 1
    beside = range(-POOLED_STEPS, POOLED_STEPS + 1)
    errors = np.concatenate([errors[:, np.clip(steps + shift, 0, last)] for shift in beside])
    missing = np.isnan(errors)
    if not missing.any():
        return np.asarray(np.quantile(errors, levels, axis=0).T)
    empty = missing.all(axis=0)
    quantiles = np.empty((len(steps), len(levels)))
    quantiles[~empty] = np.nanquantile(errors[:, ~empty], levels, axis=0).T
    quantiles[empty] = np.nanquantile(errors, levels)
    return quantiles
