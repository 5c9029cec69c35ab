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
    """How many of the points a bound must hold to hold `share` of new ones; may exceed them all.

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
    """How much the points of a window share in whether they stay within a bound, unitless.

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
    if scores.shape[1] == 1:
        return 1.0
    seen = ~np.isnan(scores)
    sizes = seen.sum(axis=1)
    hits = (scores <= bound).sum(axis=1)[sizes > 0].astype(np.float64)
    sizes = sizes[sizes > 0].astype(np.float64)
    most = float(sizes.mean())
    share = hits.sum() / sizes.sum()
    if not 0.0 < share < 1.0 or sizes.size < 2:
        return most
    variance = np.square(hits - share * sizes).sum() * sizes.size / (sizes.size - 1.0)
    measured = np.clip(variance / (sizes.sum() * share * (1.0 - share)), 1.0, most)
    return float((PRIOR_WINDOWS * most + sizes.size * measured) / (PRIOR_WINDOWS + sizes.size))


def upper_quantile(scores: Floats, share: float) -> tuple[float, bool]:
    """Smallest score that at least `share` of new scores do not exceed.

    Parameters
    ----------
    scores : ndarray of shape (N, H)
        NaN where nothing was observed; at least one is a number.

    Returns
    -------
    bound : float
    reached : bool
        False if there are too few windows for the promise; the bound is then the largest score.

    Examples
    --------
    >>> upper_quantile(np.arange(9.0)[:, None], 0.8)
    (7.0, True)
    >>> upper_quantile(np.arange(9.0)[:, None], 0.95)
    (8.0, False)
    """
    known = np.sort(scores[~np.isnan(scores)])
    first, _ = sorted_quantile(known, share)
    return sorted_quantile(known, share, design_effect=design_effect(scores, first))


def sorted_quantile(
    known: Floats, share: float, *, design_effect: float = 1.0
) -> tuple[float, bool]:
    """`upper_quantile` of ascending scores without NaN, of shape (n,)."""
    rank = conformal_rank(share, n_points=known.size, design_effect=design_effect)
    return float(known[min(max(rank, 1), known.size) - 1]), rank <= known.size


def lower_quantile(scores: Floats, share: float) -> tuple[float, bool]:
    """Largest score that at most `share` of new scores lie below; otherwise as `upper_quantile`."""
    bound, reached = upper_quantile(-scores, 1.0 - share)
    return -bound, reached


def level_quantile(below: Floats, above: Floats, level: float) -> tuple[float, bool]:
    """Quantile of scores at a level, on its safe side: outwards from the median.

    Parameters
    ----------
    below, above : ndarray of shape (N, H)
        Scores that judge a lower and an upper bound; the same array unless scores have ties.
    """
    if level < 0.5:
        return lower_quantile(below, level)
    if level > 0.5:
        return upper_quantile(above, level)
    low, low_reached = lower_quantile(below, level)
    high, high_reached = upper_quantile(above, level)
    return (low + high) / 2.0, low_reached and high_reached


def shortfall_note(n_windows: int, share: float, what: str) -> str:
    """A sentence on a promise that the windows are too few for."""
    return (
        f"{n_windows} observed windows are too few to promise the {100.0 * share:.4g} % {what}: if "
        f"their hours stand or fall together it takes {points_needed(share)}; "
        "the largest error stands in"
    )
