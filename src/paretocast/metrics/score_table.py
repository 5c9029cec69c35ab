"""The table of scores, and the scores of a forecast by that table.

A `Score` names quantities that exist at each point (a window and a step) and says how it follows
from their means over the observed points. From that one entry a forecast is scored as it is
(`score_forecast`) and on resampled days (`resampling.draw_scores`), so that any score can be
searched for. `register_score` adds one.

Axes: N windows, H steps ahead, Q quantile levels; conventions of arrays as in `scores`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from paretocast.errors import DataError, SettingsError
from paretocast.metrics.scores import (
    MAPE_FLOOR_SHARE,
    REPORTED_LEVELS,
    ascending_levels,
    check_order,
    check_scale,
    coverage_error,
    crps,
    crps_weights,
    interval,
    mape,
    observed_points,
    picp,
    pinball,
    pinball_losses,
    quantile_at,
    r2,
    winkler_losses,
)
from paretocast.registry import Registry

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

TARGET, PERCENT, UNITLESS = "target", "%", ""  # kinds of unit
MINIMIZE, MAXIMIZE, NEITHER = "minimize", "maximize", ""  # directions in which a score is better
_NAME = re.compile(r"[A-Za-z0-9_]+")


@dataclass(frozen=True)
class Points:
    """Observations and their forecast, from which quantities are computed.

    Attributes
    ----------
    observed : ndarray of shape (N, H)
        Target units; NaN where missing.
    forecast : ndarray of shape (N, H, Q)
        Target units, ascending along `levels`.
    levels : ndarray of shape (Q,)
        Strictly ascending.
    coverage : float
        Percent of the central interval.
    seasonal_scale : float
        Target units; NaN where none is known.
    """

    observed: Floats
    forecast: Floats
    levels: Floats
    coverage: float
    seasonal_scale: float = float("nan")

    @cached_property
    def is_observed(self) -> NDArray[np.bool_]:
        """True where something was observed, (N, H)."""
        return ~np.isnan(self.observed)

    @cached_property
    def median(self) -> Floats:
        """The point forecast, (N, H): level 0.5."""
        return quantile_at(self.forecast, self.levels, 0.5)

    @cached_property
    def interval(self) -> tuple[Floats, Floats]:
        """Lower and upper bound of the central interval, each (N, H)."""
        return interval(self.forecast, self.levels, self.coverage)

    @cached_property
    def reported(self) -> Floats:
        """The forecast at `scores.REPORTED_LEVELS`, (N, H, 3)."""
        columns = [quantile_at(self.forecast, self.levels, level) for level in REPORTED_LEVELS]
        return np.stack(columns, axis=-1)


Quantity = Callable[[Points], "Floats"]
Means = Sequence["Floats"]


def only_mean(means: Means, _: Points) -> Floats:
    """The mean of a score's only quantity: the score itself."""
    (mean,) = means
    return mean


@dataclass(frozen=True)
class Score:
    """A number that says how good a forecast is.

    Attributes
    ----------
    name : str
        Its key in JSON, CSV and options: letters, digits and underscores.
    label : str
        For tables and axes.
    unit : str
        "target" for target units, "%" for percent or percentage points, "" for unitless.
    quantities : tuple of callable
        Each gives an array of shape (N, H) from `Points`, whatever it likes where nothing was
        observed.
    from_means : callable
        The score from the means of the quantities over the observed points, in their order, and
        from the points. Means are arrays of one shape: () for the sample, (R,) for R resamples.
        By default the mean of the only quantity.
    direction : str
        "minimize" or "maximize"; "" for a score without a good side, which is no objective.
    published : bool
        Whether it is among the validation metrics of `best_params_*.json`.
    compute : callable, optional
        The score of the sample, where `from_means` rounds too much for it: r2 from means of
        squares loses digits.

    Examples
    --------
    The mean error, whose ideal is 0:

    >>> bias = Score(
    ...     "bias",
    ...     "|mean error|",
    ...     TARGET,
    ...     (lambda points: points.median - points.observed,),
    ...     from_means=lambda means, points: abs(means[0]),
    ... )
    >>> levels = np.array([0.1, 0.5, 0.9])
    >>> forecast = np.array([[[1.0, 3.0, 4.0], [1.0, 2.0, 3.0]]])
    >>> bias.of(Points(np.array([[5.0, 3.0]]), forecast, levels, coverage=80.0))
    1.5
    """

    name: str
    label: str
    unit: str
    quantities: tuple[Quantity, ...]
    from_means: Callable[[Means, Points], Floats] = only_mean
    direction: str = MINIMIZE
    published: bool = True
    compute: Callable[[Points], float] | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise SettingsError(f"score {self.name!r} has a name not of letters, digits and _")
        for field, value, valid in (
            ("unit", self.unit, (TARGET, PERCENT, UNITLESS)),
            ("direction", self.direction, (MINIMIZE, MAXIMIZE, NEITHER)),
        ):
            if value not in valid:
                raise SettingsError(
                    f"score {self.name!r} has the {field} {value!r}, expected one of {valid}"
                )

    def of(self, points: Points) -> float:
        """The score of a forecast."""
        if self.compute is not None:
            return self.compute(points)
        means = [np.asarray(each(points)[points.is_observed].mean()) for each in self.quantities]
        return float(self.from_means(means, points))


SCORES: Registry[Score] = Registry("score")
# Scores of the calibrated forecast, by the name that objectives and records use.
CALIBRATED_SCORES = {
    "calibrated_winkler": "winkler",
    "calibrated_width": "mean_width",
    "calibrated_pinball": "pinball",
    "calibrated_picp": "picp",
}


def register_score(score: Score) -> None:
    """Add a score: it is computed, resampled and published as those of this module are.

    Raises
    ------
    SettingsError
        If its name is taken.
    """
    if score.name in ("n", *CALIBRATED_SCORES):
        raise SettingsError(f"score {score.name!r} exists already, expected another name")
    SCORES.add(score.name, score)


def score_forecast(
    observed: Floats,
    forecast: Floats,
    *,
    levels: ArrayLike,
    coverage: float = 80.0,
    seasonal_scale: float | None = None,
) -> dict[str, float]:
    """Every score of a forecast, under the name it has in each JSON and CSV.

    Parameters
    ----------
    forecast : ndarray of shape (N, H, Q)
        Sorted along the levels. The point forecast is its level 0.5.
    levels : array_like of shape (Q,)
        Strictly ascending, from at most 0.1 to at least 0.9 and over the interval's two levels.
    coverage : float
        Percent of the central interval behind picp, mean_width, winkler and coverage_error.
    seasonal_scale : float, optional
        From the function of that name, in target units; without it mase is NaN.

    Returns
    -------
    dict of str to float
        mae, rmse, mape, mase, r2, pinball (mean of the levels 0.1, 0.5, 0.9), crps, picp,
        mean_width (over the points that were observed), winkler, coverage_error, those added by
        `register_score`, and n, the number of observed points. mape and r2 may be NaN, as their
        functions say.
    """
    tau = ascending_levels(levels)
    is_observed = observed_points(observed, forecast, tau)
    scale = float("nan") if seasonal_scale is None else check_scale(seasonal_scale)
    points = Points(observed, forecast, tau, coverage, scale)
    check_order(*points.interval)
    return {
        **{name: score.of(points) for name, score in SCORES.items()},
        "n": float(is_observed.sum()),
    }


def per_window(
    observed: Floats, forecast: Floats, *, levels: ArrayLike, coverage: float = 80.0
) -> dict[str, Floats]:
    """Scores by window: mae, pinball, picp, mean_width, winkler and n, each of shape (N,).

    Arguments as of `score_forecast`. A window without an observation has n 0 and NaN scores.
    For `uncertainty`, score times n is a window's numerator and n its denominator.
    """
    windows = np.broadcast_to(np.arange(len(observed))[:, None], observed.shape)
    return per_group(observed, forecast, windows, levels=levels, coverage=coverage)[1]


def per_group(
    observed: Floats,
    forecast: Floats,
    groups: NDArray[np.integer],
    *,
    levels: ArrayLike,
    coverage: float = 80.0,
) -> tuple[NDArray[np.integer], dict[str, Floats]]:
    """Scores by group of points, such as the local hour; other arguments as of `score_forecast`.

    Parameters
    ----------
    groups : ndarray of int of shape (N, H)
        The group of each target time.

    Returns
    -------
    labels : ndarray of shape (G,)
        The distinct groups, ascending.
    scores : dict of str to ndarray of shape (G,)
        mae, pinball, picp, mean_width, winkler, and n, the number of observed points. Entry `g`
        belongs to `labels[g]`; a group in which nothing was observed has n 0 and NaN scores.
    """
    tau = ascending_levels(levels)
    is_observed = observed_points(observed, forecast, tau)
    if groups.shape != observed.shape or not np.issubdtype(groups.dtype, np.integer):
        raise DataError(
            f"groups has shape {groups.shape} and type {groups.dtype}, "
            f"expected integers of shape {observed.shape} from observed"
        )
    points = Points(observed, forecast, tau, coverage)
    check_order(*points.interval)
    labels, member = np.unique(groups, return_inverse=True)
    member = member.reshape(groups.shape)[is_observed]
    n = np.bincount(member, minlength=labels.size).astype(np.float64)
    scores: dict[str, Floats] = {}
    for name, quantity in _GROUP_MEANS.items():
        total = np.bincount(member, weights=quantity(points)[is_observed], minlength=labels.size)
        scores[name] = np.divide(total, n, out=np.full(labels.size, np.nan), where=n > 0)
    return labels, {**scores, "n": n}


def absolute_error(points: Points) -> Floats:
    """Distance of the observation from the median."""
    return np.abs(points.observed - points.median)


def square_error(points: Points) -> Floats:
    """Square of the distance of the observation from the median."""
    return np.square(points.observed - points.median)


def above_floor(points: Points) -> Floats:
    """1 where the observation is large enough for a percentage error, else 0."""
    size = np.abs(points.observed)
    above: Floats = (size > MAPE_FLOOR_SHARE * size[points.is_observed].mean()).astype(np.float64)
    return above


def relative_error(points: Points) -> Floats:
    """Absolute error over the size of the observation; 0 where that is too small."""
    size = np.abs(points.observed)
    counted = above_floor(points) > 0.0
    return np.divide(absolute_error(points), size, out=np.zeros_like(size), where=counted)


def reported_pinball(points: Points) -> Floats:
    """Pinball loss, mean of the levels 0.1, 0.5 and 0.9."""
    losses = pinball_losses(points.observed, points.reported, np.array(REPORTED_LEVELS))
    mean: Floats = losses.mean(axis=-1)
    return mean


def crps_loss(points: Points) -> Floats:
    """CRPS of each point, see `scores.crps`."""
    losses = pinball_losses(points.observed, points.forecast, points.levels)
    return losses @ crps_weights(points.levels)


def inside(points: Points) -> Floats:
    """1 where the observation lies in the interval, bounds included, else 0."""
    lower, upper = points.interval
    return ((lower <= points.observed) & (points.observed <= upper)).astype(np.float64)


def width(points: Points) -> Floats:
    """Width of the interval."""
    lower, upper = points.interval
    return upper - lower


def winkler_loss(points: Points) -> Floats:
    """Winkler score of each point, see `scores.winkler`."""
    return winkler_losses(points.observed, *points.interval, coverage=points.coverage)


_GROUP_MEANS: dict[str, Quantity] = {
    "mae": absolute_error,
    "pinball": reported_pinball,
    "picp": lambda points: 100.0 * inside(points),
    "mean_width": width,
    "winkler": winkler_loss,
}


def _mape(means: Means, _: Points) -> Floats:
    relative, counted = means
    with np.errstate(divide="ignore", invalid="ignore"):
        return _finite(100.0 * relative / counted)


def _r2(means: Means, _: Points) -> Floats:
    square, observed, observed_square = means
    spread = observed_square - np.square(observed)
    with np.errstate(divide="ignore", invalid="ignore"):
        return _finite(1.0 - square / spread)


def _picp(means: Means, _: Points) -> Floats:
    return np.clip(100.0 * means[0], 0.0, 100.0)


def _finite(values: Floats) -> Floats:
    return np.where(np.isfinite(values), values, np.nan)


def _picp_of(points: Points) -> float:
    return picp(points.observed, *points.interval)


for _score in (
    Score("mae", "MAE", TARGET, (absolute_error,)),
    Score(
        "rmse", "RMSE", TARGET, (square_error,), lambda means, _: np.sqrt(np.maximum(means[0], 0.0))
    ),
    Score(
        "mape",
        "MAPE",
        PERCENT,
        (relative_error, above_floor),
        _mape,
        compute=lambda points: mape(points.observed, points.median),
    ),
    Score(
        "mase",
        "MASE",
        UNITLESS,
        (absolute_error,),
        lambda means, points: means[0] / points.seasonal_scale,
        published=False,
    ),
    Score(
        "r2",
        "R²",
        UNITLESS,
        (square_error, lambda points: points.observed, lambda points: np.square(points.observed)),
        _r2,
        direction=MAXIMIZE,
        published=False,
        compute=lambda points: r2(points.observed, points.median),
    ),
    Score(
        "pinball",
        "mean pinball loss",
        TARGET,
        (reported_pinball,),
        compute=lambda points: float(
            pinball(points.observed, points.reported, levels=REPORTED_LEVELS).mean()
        ),
    ),
    Score(
        "crps",
        "CRPS",
        TARGET,
        (crps_loss,),
        compute=lambda points: crps(points.observed, points.forecast, levels=points.levels),
    ),
    Score("picp", "PICP", PERCENT, (inside,), _picp, direction=NEITHER, compute=_picp_of),
    Score("mean_width", "mean width", TARGET, (width,)),
    Score("winkler", "Winkler score", TARGET, (winkler_loss,)),
    Score(
        "coverage_error",
        "|PICP − target|",
        PERCENT,
        (inside,),
        lambda means, points: np.abs(_picp(means, points) - points.coverage),
        published=False,
        compute=lambda points: coverage_error(_picp_of(points), points.coverage),
    ),
):
    register_score(_score)
