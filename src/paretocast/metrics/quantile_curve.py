"""The quantile curve of a forecast: quantiles at any level, and the level of any value.

A forecast holds quantiles at a few levels. Between them the curve is linear in the level, as in
`scores.quantile_at`. Beyond the outermost level it is linear in the logit of the level,
``log(p / (1 - p))``, with the slope between the outermost level and the one nearest to the median:
tails that fall off exponentially, drawn from quantiles far enough apart not to be noise.

N windows, H steps, Q stored levels, K new levels; values in target units.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from paretocast.errors import DataError
from paretocast.metrics.scores import SAME_LEVEL

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

OUTERMOST_READING = 1e-9  # nearer to 0 or 1 no level is read: a curve has no end


def logit(level: Floats) -> Floats:
    """``log(p / (1 - p))`` of levels inside (0, 1).

    Examples
    --------
    >>> logit(np.array([0.5])).tolist()
    [0.0]
    """
    odds: Floats = np.log(level) - np.log1p(-level)
    return odds


def checked_levels(levels: ArrayLike) -> Floats:
    """Levels as an array, at least two, strictly ascending inside (0, 1)."""
    tau = np.atleast_1d(np.asarray(levels, dtype=np.float64))
    inside = ((tau > 0.0) & (tau < 1.0)).all()
    if tau.size < 2 or not inside or (np.diff(tau) <= SAME_LEVEL).any():
        raise DataError(
            f"levels are {tau.tolist()}, expected at least two that strictly ascend inside (0, 1)"
        )
    return tau


def quantiles_at(forecast: Floats, levels: ArrayLike, new_levels: ArrayLike) -> Floats:
    """Quantiles at other levels, of shape (N, H, K).

    Parameters
    ----------
    forecast : ndarray of shape (N, H, Q)
        Sorted along the levels.
    levels : array_like of shape (Q,)
        Strictly ascending.
    new_levels : array_like of shape (K,)
        Levels inside (0, 1) in any order.

    Examples
    --------
    Half way between two levels, and one step of the logit beyond the lowest.

    >>> quantiles_at(np.array([[[2.0, 4.0, 6.0]]]), [0.2, 0.5, 0.8], [0.35, 0.2**2 / 0.68])
    array([[[3., 0.]]])
    """
    asked = np.atleast_1d(np.asarray(new_levels, dtype=np.float64))
    stored = np.atleast_1d(np.asarray(levels, dtype=np.float64))
    read: Floats = forecast @ _weights_kept(tuple(stored.tolist()), tuple(asked.tolist()))
    return read


@lru_cache(maxsize=256)
def _weights_kept(levels: tuple[float, ...], new_levels: tuple[float, ...]) -> Floats:
    """The weights of a few levels, which every forecast asks for again; read only."""
    weights = reading_weights(levels, new_levels)
    weights.flags.writeable = False
    return weights


def reading_weights(levels: ArrayLike, new_levels: ArrayLike) -> Floats:
    """Weights, of shape (Q, K), of the stored quantiles in those at other levels.

    A curve is linear in its quantiles, so the mean curve of many forecasts is the curve of their
    mean.
    """
    tau = checked_levels(levels)
    asked = np.atleast_1d(np.asarray(new_levels, dtype=np.float64))
    if not ((asked > 0.0) & (asked < 1.0)).all():
        raise DataError(f"wanted levels must lie strictly inside (0, 1), got {asked.tolist()}")
    near, far = _neighbours(tau, asked)
    between = (asked >= tau[0]) & (asked <= tau[-1])
    share = np.where(
        between,
        (asked - tau[near]) / (tau[far] - tau[near]),
        (logit(asked) - logit(tau)[near]) / (logit(tau)[far] - logit(tau)[near]),
    )
    weights = np.zeros((tau.size, asked.size))
    columns = np.arange(asked.size)
    weights[near, columns] += 1.0 - share
    weights[far, columns] += share
    return weights


def level_bounds(observed: Floats, forecast: Floats, levels: ArrayLike) -> tuple[Floats, Floats]:
    """Level of the observation on the curve: its probability integral transform.

    Parameters
    ----------
    observed : ndarray of shape (N, H)
        NaN where missing.
    forecast : ndarray of shape (N, H, Q)
        Sorted along the levels.

    Returns
    -------
    lowest, highest : ndarray of shape (N, H)
        The lowest level whose quantile is not below the observation, and the highest whose quantile
        is not above it. They differ only where levels share one quantile. From 0 to 1, NaN where
        nothing was observed.

    Examples
    --------
    Half way between two quantiles; on a quantile that two levels share.

    >>> quantiles = np.array([[[2.0, 4.0, 4.0, 6.0]] * 2])
    >>> lowest, highest = level_bounds(np.array([[3.0, 4.0]]), quantiles, [0.2, 0.4, 0.6, 0.8])
    >>> lowest.round(2).tolist(), highest.round(2).tolist()
    ([[0.3, 0.4]], [[0.3, 0.6]])
    """
    tau = checked_levels(levels)
    if forecast.shape != (*observed.shape, tau.size):
        raise DataError(
            f"forecast has shape {forecast.shape}, expected (N, H, Q) = "
            f"{(*observed.shape, tau.size)} from observed and levels"
        )
    value = observed[..., None]
    n_below = (forecast < value).sum(axis=-1)
    n_not_above = (forecast <= value).sum(axis=-1)
    lowest = _level_after(observed, forecast, tau, n_below)
    tied = (n_below != n_not_above).any()
    highest = _level_after(observed, forecast, tau, n_not_above) if tied else lowest
    missing = np.isnan(observed)
    return np.where(missing, np.nan, lowest), np.where(missing, np.nan, highest)


def _neighbours(tau: Floats, asked: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Two stored levels that each new one is read from, as indices; the nearer first in a tail.

    >>> _neighbours(np.array([0.1, 0.4, 0.5, 0.9]), np.array([0.05, 0.2, 0.95]))
    (array([0, 0, 3]), array([2, 1, 2]))
    """
    above = np.clip(np.searchsorted(tau, asked), 1, tau.size - 1)
    low_anchor, high_anchor = _anchors(tau)
    near = np.where(asked > tau[-1], tau.size - 1, np.where(asked < tau[0], 0, above - 1))
    far = np.where(asked > tau[-1], high_anchor, np.where(asked < tau[0], low_anchor, above))
    return near, far


def _anchors(tau: Floats) -> tuple[int, int]:
    """Index of the level that gives each tail its slope: the one nearest to the median."""
    middle = int(np.argmin(np.abs(tau - 0.5)))
    return max(middle, 1), min(middle, tau.size - 2)


def _level_after(
    observed: Floats, forecast: Floats, tau: Floats, n_before: NDArray[np.intp]
) -> Floats:
    """Level of each observation that lies after its first `n_before` quantiles."""
    above = np.clip(n_before, 1, tau.size - 1)
    left = np.take_along_axis(forecast, above[..., None] - 1, axis=-1)[..., 0]
    right = np.take_along_axis(forecast, above[..., None], axis=-1)[..., 0]
    gap = right - left
    share = np.divide(observed - left, gap, out=np.zeros_like(gap), where=gap > 0.0)
    level = tau[above - 1] + share * (tau[above] - tau[above - 1])
    low_anchor, high_anchor = _anchors(tau)
    for edge, anchor, beyond in (
        (0, low_anchor, n_before == 0),
        (tau.size - 1, high_anchor, n_before == tau.size),
    ):
        spread = (forecast[..., anchor] - forecast[..., edge])[beyond]
        step = logit(tau)[anchor] - logit(tau)[edge]
        away = (observed - forecast[..., edge])[beyond]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            odds = logit(tau)[edge] + step * away / spread
            beyond_edge = 1.0 / (1.0 + np.exp(-odds))
        reached = np.where(away == 0.0, tau[edge], beyond_edge)  # not a rounding beside it
        flat = 0.0 if edge == 0 else 1.0  # the tail of levels that share one quantile
        level[beyond] = np.where(spread == 0.0, flat, reached)
    return level
