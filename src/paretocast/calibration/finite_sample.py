"""Finite-sample quantiles of conformity scores.

Split conformal prediction counts the observation still to come as one more score that lies beyond
all others: the rank ``ceil((n + 1)(1 - alpha))`` of Romano, Patterson & Candès (2019), equation 8.
That holds for scores that could be exchanged with each other. The hours of a window stand or fall
together; if wholly, a day of 24 scores is one observation, and it is 24 scores that may lie beyond
(hierarchical conformal prediction, Lee, Barber & Willett 2023, arXiv:2306.06342). In between, the
rank is ``ceil((n + d)(1 - alpha))`` with the design effect d of Kish (1965): how many times the
variance of a coverage exceeds that of independent hours, from 1 to the hours of a window.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

ROUNDING = 1e-9  # 0.8 * 5 is not quite 4 in binary
PRIOR_WINDOWS = 5.0  # weight of the belief that hours stand or fall together, against the data


def conformal_rank(share: float, *, n_points: int, design_effect: float = 1.0) -> int:
    """Points a bound must hold so that it holds `share` of new ones; may exceed all of them.

    Examples
    --------
    Nine points reach a promise of 90 %, not of 91 %.

    >>> conformal_rank(0.9, n_points=9), conformal_rank(0.91, n_points=9)
    (9, 10)

    Nine windows of 24 hours that stand or fall together reach no more.

    >>> conformal_rank(0.9, n_points=216, design_effect=24)
    216
    """
    return math.ceil(share * (n_points + design_effect) - ROUNDING)


def points_needed(share: float) -> int:
    """Fewest exchangeable points whose largest score promises `share`.

    >>> points_needed(0.9), points_needed(0.99)
    (9, 99)
    """
    return math.ceil(share / (1.0 - share) - ROUNDING)


def design_effect(scores: Floats, bound: float) -> float:
    """Design effect: how much hours of a window stay within a bound together, unitless.

    Parameters
    ----------
    scores : ndarray of shape (N, H)
        NaN where nothing was observed; at least one is a number.

    Returns
    -------
    float
        From 1 to the mean number of observed points per window. A few windows tell little, so the
        largest value possible weighs as much as five windows do.

    Examples
    --------
    Of 95 windows of two hours, both hours of 19 lie beyond.

    >>> scores = np.repeat((np.arange(95.0) % 5 == 0)[:, None], 2, axis=1)
    >>> design_effect(scores, 0.5)
    2.0
    """
    return float(_design_effects(scores[None], np.array([bound]))[0])


def _design_effects(scores: Floats, bounds: Floats) -> Floats:
    """`design_effect` of many sets of scores, (B, N, H), each with its bound, (B,)."""
    sizes = (~np.isnan(scores)).sum(axis=2)  # (B, N)
    n_points, n_windows = sizes.sum(axis=1), (sizes > 0).sum(axis=1)
    hits = (scores <= bounds[:, None, None]).sum(axis=2)
    most, share = n_points / n_windows, hits.sum(axis=1) / n_points
    measurable = (share > 0.0) & (share < 1.0) & (n_windows > 1)
    variance = np.square(hits - share[:, None] * sizes).sum(axis=1)
    variance = variance * n_windows / np.maximum(n_windows - 1.0, 1.0)
    independent = np.where(measurable, n_points * share * (1.0 - share), 1.0)
    measured = np.clip(variance / independent, 1.0, most)
    weighed = (PRIOR_WINDOWS * most + n_windows * measured) / (PRIOR_WINDOWS + n_windows)
    effects: Floats = np.where(measurable, weighed, most)
    return effects


def upper_quantiles(scores: Floats, shares: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Smallest scores that at least a share of new scores do not exceed, for sets of scores.

    Parameters
    ----------
    scores : ndarray of shape (B, N, H)
        B sets; NaN where nothing was observed, at least one of each set is a number.
    shares : ndarray of shape (B,)
        Of each set, inside (0, 1).

    Returns
    -------
    bounds : ndarray of shape (B,)
    reached : ndarray of bool of shape (B,)
        False if there are too few windows for the promise; the bound is then the largest score.

    Examples
    --------
    >>> scores = np.broadcast_to(np.arange(9.0)[:, None], (2, 9, 1))
    >>> bounds, reached = upper_quantiles(scores, np.array([0.8, 0.95]))
    >>> bounds.tolist(), reached.tolist()
    ([7.0, 8.0], [True, False])
    """
    ascending = np.sort(scores.reshape(len(scores), -1), axis=1)  # NaN last
    n_points = (~np.isnan(ascending)).sum(axis=1)
    sets = np.arange(len(scores))

    def ranked(design_effects: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        ranks = np.ceil(shares * (n_points + design_effects) - ROUNDING).astype(np.int64)
        return ascending[sets, np.clip(ranks, 1, n_points) - 1], ranks <= n_points

    first, _ = ranked(np.ones(len(scores)))
    return ranked(_design_effects(scores, first))


def sorted_quantile(scores: Floats, share: float) -> float:
    """`upper_quantiles` of one set of independent scores: ascending, without NaN, of shape (n,)."""
    rank = conformal_rank(share, n_points=scores.size)
    return float(scores[min(max(rank, 1), scores.size) - 1])


def level_quantiles(
    below: Floats, above: Floats, levels: Floats
) -> tuple[Floats, NDArray[np.bool_]]:
    """Quantiles of scores at levels, each on its safe side: outwards from the median.

    The median itself lies half way between its two sides.

    Parameters
    ----------
    below, above : ndarray of shape (B, N, H)
        Scores of a lower and of an upper bound; the same array unless scores have ties.
    levels : ndarray of shape (B,)
        Of each set of scores.

    Returns
    -------
    bounds, reached : ndarray of shape (B,)
        As of `upper_quantiles`.
    """
    lower, upper = np.flatnonzero(levels <= 0.5), np.flatnonzero(levels >= 0.5)
    bounds, reached = upper_quantiles(
        np.concatenate((-below[lower], above[upper])),
        np.concatenate((1.0 - levels[lower], levels[upper])),
    )
    n_sides, total = np.zeros(levels.size), np.zeros(levels.size)
    enough = np.ones(levels.size, dtype=bool)
    for sets, sign, part in (
        (lower, -1.0, slice(None, lower.size)),
        (upper, 1.0, slice(lower.size, None)),
    ):
        n_sides[sets] += 1.0
        total[sets] += sign * bounds[part]
        enough[sets] &= reached[part]
    return total / n_sides, enough


def shortfall_note(n_windows: int, share: float, what: str) -> str:
    """A sentence on a promise that the windows are too few for."""
    return (
        f"{n_windows} observed windows are too few to promise the {100.0 * share:.4g} % {what}: if "
        f"their hours stand or fall together it takes {points_needed(share)}; "
        "the largest error stands in"
    )
