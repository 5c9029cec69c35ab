"""Evidence, day by day, that the coverage of issued intervals is not what was promised.

A day's share of hours outside (or inside) the interval is one bet against the promise, however
its hours hang together. A bettor starts with a capital of 1 on every day, stakes a fixed fraction
of it each day and cannot expect to gain while the promise holds [1]_. *Evidence* is the capital of
all bettors so far, divided by the days of a year: with those who have yet to start, a martingale
that begins at 1. By Ville's inequality it reaches 20 in at most 5 % of years in which the promise
holds, although it is looked at every day; a loss that comes late is seen as soon as an early one,
because somebody has just started [2]_.

The inequality is exact where the share expected of a day is as `excess_evidence` computes it from
the day before. `experiments/monitor_alarms.py` measures what is left of it where it is not.

References
----------
.. [1] Waudby-Smith & Ramdas (2024), Estimating means of bounded random variables by betting,
   Journal of the Royal Statistical Society B 86(1), 1-27, section 4.
.. [2] Shin, Ramdas & Rinaldo (2024), E-detectors, New England Journal of Statistics in Data
   Science 2(2), 229-260: the e-detector of Shiryaev and Roberts.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from paretocast.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

DAYS_A_YEAR = 365
STAKES = (0.6, 0.8)
"""Fractions of the capital at stake; chosen by the delays in `docs/decisions/monitoring.md`."""

PERSISTENCE_BEFORE = 0.1
"""Correlation of a day's share with that of the day before, as long as nothing is known."""

PERSISTENCE_WEIGHT = 50
"""Pairs of days that `PERSISTENCE_BEFORE` is worth."""

MOST_PERSISTENCE = 0.5
MOST_CAPITAL = 1e12  # of a bettor; keeps years of wrong intervals finite


def excess_evidence(shares: Floats, follows: Bools, *, most: float, persistence: Floats) -> Floats:
    """Evidence that the mean of daily shares lies above `most`.

    Parameters
    ----------
    shares : ndarray of shape (N,)
        In time order, within 0 to 1. NaN where nothing was observed: nobody bets on such a day.
    follows : ndarray of bool of shape (N,)
        True where a row is the day after the row above; the first row follows none.
    most : float
        Largest mean that is no reason for an alarm, inside (0, 1).
    persistence : ndarray of shape (N,)
        Part of yesterday's distance from `most` that is expected today, from 0 to 0.5, known
        before the day.

    Returns
    -------
    ndarray of shape (N,)
        Unitless, from 0; the higher, the less credible a mean of `most` or less.

    Notes
    -----
    Expected of day t is ``most + persistence * (share of day t - 1 - most)``. A bettor who stakes
    the fraction b multiplies the capital by ``1 + b * (share / expected - 1)``, which is
    ``1 + lambda * (share - expected)`` of Waudby-Smith & Ramdas with ``lambda = b / expected``: the
    capital stays positive.

    Examples
    --------
    Every hour of two days counts where one in two may. With 0.6 at stake the first bettor has 1.6,
    then 1.6 * 1.6, and the second 1.6; with 0.8 at stake it is 1.8, 1.8 * 1.8 and 1.8.

    >>> path = excess_evidence(
    ...     np.ones(2), np.array([False, True]), most=0.5, persistence=np.zeros(2)
    ... )
    >>> (path * 365).round(2)
    array([1.7, 4.6])
    """
    if not 0.0 < most < 1.0:
        raise DataError(f"most is {most}, expected inside (0, 1)")
    capitals = [0.0] * len(STAKES)
    evidence = np.empty(shares.size)
    expected = (most + _carried(shares, follows, most=most, persistence=persistence)).tolist()
    for day, share in enumerate(shares.tolist()):
        if not math.isnan(share):
            gain = share / expected[day] - 1.0
            capitals = [
                min((capital + 1.0) * (1.0 + stake * gain), MOST_CAPITAL)
                for capital, stake in zip(capitals, STAKES, strict=True)
            ]
        evidence[day] = sum(capitals) / len(STAKES) / DAYS_A_YEAR
    return evidence


def learned_persistence(shares: Floats, follows: Bools) -> Floats:
    """Correlation of a day's share with that of the day before, learned from earlier days only.

    Parameters
    ----------
    shares, follows
        As of `excess_evidence`.

    Returns
    -------
    ndarray of shape (N,)
        From 0 to `MOST_PERSISTENCE`. The first is `PERSISTENCE_BEFORE`, which counts as
        `PERSISTENCE_WEIGHT` pairs of days in all of them.
    """
    known = ~np.isnan(shares)
    value = np.where(known, shares, 0.0)
    before = np.concatenate(([0.0], value[:-1]))[: value.size]
    paired = follows & known & np.concatenate(([False], known[:-1]))[: known.size]
    n, total, squares = (_sum_before(terms) for terms in (known, value, value**2))
    n_pairs, products, sums = (
        _sum_before(np.where(paired, terms, 0.0))
        for terms in (np.ones(value.size), before * value, before + value)
    )
    mean = total / np.maximum(n, 1.0)
    variance = squares / np.maximum(n, 1.0) - mean**2
    covariance = (products - mean * sums) / np.maximum(n_pairs, 1.0) + mean**2
    varies = (variance > 1e-9) & (n_pairs > 0.0)
    correlation = np.where(varies, covariance / np.where(varies, variance, 1.0), 0.0)
    weighed = n_pairs * correlation + PERSISTENCE_WEIGHT * PERSISTENCE_BEFORE
    return np.clip(weighed / (n_pairs + PERSISTENCE_WEIGHT), 0.0, MOST_PERSISTENCE)


def _carried(shares: Floats, follows: Bools, *, most: float, persistence: Floats) -> Floats:
    """Addition of yesterday to the share expected today; 0 where yesterday is not known."""
    yesterday = np.concatenate(([np.nan], shares[:-1]))[: shares.size]
    known = follows & ~np.isnan(yesterday)
    carried: Floats = np.where(known, persistence * (yesterday - most), 0.0)
    return carried


def _sum_before(terms: NDArray[np.float64] | Bools) -> Floats:
    """Sum of the terms above each row, without its own."""
    sums: Floats = np.concatenate(([0.0], np.cumsum(terms, dtype=np.float64)[:-1]))[: terms.size]
    return sums
