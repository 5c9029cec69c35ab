"""Uncertainty of scores: block bootstrap over windows, and tests of two forecasts.

Windows are in time order, one per day unless the caller says otherwise. A score is a ratio of sums
over windows (hits over points, absolute errors over points), so that a window with missing
values weighs less. Days resemble their neighbours, so whole blocks of windows are resampled;
a window in which nothing was observed is left out before blocks are cut.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from paretocast.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

BLOCK_DAYS = 10
"""Default block length in windows; `picp_interval` says how it was chosen."""

N_RESAMPLES = 2000


@dataclass(frozen=True)
class PairedDifference:
    """Mean of loss A minus loss B, in units of the loss; below 0 where A is better.

    Attributes
    ----------
    low, high : float
        Bounds of its confidence interval.
    """

    mean: float
    low: float
    high: float


def block_bootstrap(
    numerators: Floats,
    denominators: Floats,
    *,
    block: int,
    n_resamples: int,
    rng: np.random.Generator,
    n_drawn: int | None = None,
) -> Floats:
    """Ratios of sums over windows, resampled in circular blocks.

    Parameters
    ----------
    numerators : ndarray of shape (N,)
        Sum of the losses, or of the hits, of each window, in time order. NaN where nothing was
        observed.
    denominators : ndarray of shape (N,)
        Number of observed points of each window; where 0, the window is left out.
    block : int
        Windows that are drawn together, from 1 to the number of windows that are left.
    n_drawn : int, optional
        Windows of a resample, at least `block`; without it as many as are left.

    Returns
    -------
    ndarray of shape (n_resamples,)
        ``sum(numerators) / sum(denominators)`` of each resample.

    Notes
    -----
    The circular block bootstrap [1]_: blocks start anywhere and wrap around the end, the last
    one is cut so that a resample has as many windows as the original, or `n_drawn`.

    References
    ----------
    .. [1] Politis & Romano (1992), in Exploring the Limits of Bootstrap, Wiley, 263-270.

    Examples
    --------
    One block of all windows is the original, wherever it starts.

    >>> rng = np.random.default_rng(0)
    >>> tens, ones = np.array([10.0, 20.0, 60.0]), np.ones(3)
    >>> block_bootstrap(tens, ones, block=3, n_resamples=2, rng=rng)
    array([30., 30.])
    """
    numerators, denominators = _observed_windows(numerators, denominators)
    n = numerators.size
    if not 1 <= block <= n:
        raise DataError(f"block is {block} windows, expected 1 to {n}, the windows observed")
    if n_resamples < 2:
        raise DataError(f"n_resamples is {n_resamples}, expected at least 2")
    n_drawn = n if n_drawn is None else n_drawn
    if n_drawn < block:
        raise DataError(f"n_drawn is {n_drawn} windows, expected at least a block of {block}")
    n_blocks = -(-n_drawn // block)
    last = n_drawn - (n_blocks - 1) * block
    starts = rng.integers(n, size=(n_resamples, n_blocks))
    whole, cut = starts[:, :-1], starts[:, -1]
    above, below = (
        _circular_sums(values, block)[whole].sum(axis=1) + _circular_sums(values, last)[cut]
        for values in (numerators, denominators)
    )
    ratios: Floats = above / below
    return ratios


def standard_error(
    numerators: Floats,
    denominators: Floats,
    *,
    block: int = BLOCK_DAYS,
    n_resamples: int = N_RESAMPLES,
    rng: np.random.Generator,
) -> float:
    """Standard error of a ratio of sums over windows, in units of the ratio.

    Arguments as of `block_bootstrap`; blocks are shortened to a fifth of the windows. At least
    two windows must hold an observation.

    Notes
    -----
    A resample of blocks of length b out of n windows spreads around the sample's own mean, and
    so too little by about ``sqrt(1 - b / n)``; the result is divided by that.
    """
    numerators, denominators = _observed_windows(numerators, denominators)
    if numerators.size < 2:
        raise DataError("one window has no standard error; observe at least two")
    block = block_length(block, numerators.size)
    ratios = block_bootstrap(
        numerators, denominators, block=block, n_resamples=n_resamples, rng=rng
    )
    return float(ratios.std(ddof=1) / math.sqrt(1.0 - block / numerators.size))


def picp_interval(
    observed: Floats,
    lower: Floats,
    upper: Floats,
    *,
    block_days: int = BLOCK_DAYS,
    level: float = 0.95,
    n_resamples: int = N_RESAMPLES,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Confidence interval, in percent, of the coverage of prediction intervals.

    Parameters
    ----------
    observed, lower, upper : ndarray of shape (N, H)
        Windows in time order; NaN in `observed` is left out.
    block_days : int
        Windows drawn together; shortened to a fifth of the windows where they are few.
    level : float
        Confidence, unitless, inside (0, 1).

    Returns
    -------
    low, high : float
        Never of zero width, within 0 to 100.

    Notes
    -----
    The score interval of [1]_, with two changes for days that resemble each other. Its sample
    size is the number of independent points that would have the block-bootstrap standard error
    (at most the observed points; if all or none are covered, the number of blocks, since the
    bootstrap then knows nothing). Its quantile is Student's with one degree of freedom less than
    there are blocks.

    `experiments/picp_interval.py --series 200` simulates 105 days whose errors resemble those of
    the day before. With blocks of 10 this interval held the truth in 89.5 to 97.5 % of series up
    to a daily correlation of 0.6, and in 80 to 92 % at 0.8; with days taken as independent in 71.5
    to 97.5 %, and 58 to 71.5 %. On single weeks two weeks apart, as the tune split is laid out,
    blocks of 10 held it in 91.5 to 98.5 %, and 87.5 to 93.5 %.

    References
    ----------
    .. [1] Wilson (1927), Journal of the American Statistical Association 22(158), 209-212.

    Examples
    --------
    Every one of 2400 points is covered, on 100 days in blocks of 10.

    >>> inside, bound = np.zeros((100, 24)), np.ones((100, 24))
    >>> low, high = picp_interval(inside, -bound, bound, rng=np.random.default_rng(0))
    >>> round(low), round(high)
    (66, 100)
    """
    _check_level(level)
    sample = effective_sample(
        observed, lower, upper, block_days=block_days, n_resamples=n_resamples, rng=rng
    )
    t = float(_student().stdtrit(sample.df, (1.0 + level) / 2.0))
    spread = t * t / sample.size
    middle = (sample.share + spread / 2.0) / (1.0 + spread)
    variance = sample.share * (1.0 - sample.share) / sample.size
    half = t / (1.0 + spread) * math.sqrt(variance + spread / (4.0 * sample.size))
    return 100.0 * max(middle - half, 0.0), 100.0 * min(middle + half, 1.0)


def paired_difference(
    losses_a: Floats,
    losses_b: Floats,
    *,
    block: int = BLOCK_DAYS,
    level: float = 0.95,
    n_resamples: int = N_RESAMPLES,
    rng: np.random.Generator,
) -> PairedDifference:
    """Mean difference of two forecasts' losses on the same windows, with its interval.

    Parameters
    ----------
    losses_a, losses_b : ndarray of shape (N,)
        Mean loss of each window, in time order. A window that is NaN in either is left out.
    block, level
        As of `picp_interval`.

    Notes
    -----
    The mean plus and minus Student's quantile times `standard_error`, with one degree of freedom
    less than there are blocks: bootstrap percentiles are too narrow on a hundred days.
    Losses that never differ give an interval of zero width.
    """
    _check_level(level)
    difference = _paired(losses_a, losses_b)
    n = difference.size
    error = standard_error(difference, np.ones(n), block=block, n_resamples=n_resamples, rng=rng)
    df = _degrees_of_freedom(n, block_length(block, n))
    half = float(_student().stdtrit(df, (1.0 + level) / 2.0)) * error
    mean = float(difference.mean())
    return PairedDifference(mean=mean, low=mean - half, high=mean + half)


def preferred_or_better(losses: Sequence[Floats], preferred: int) -> int:
    """Index of the forecast with the lowest mean loss, or of a preferred one that it ties with.

    Parameters
    ----------
    losses : sequence of ndarray of shape (N,)
        Mean loss of each window, in time order, of forecasts of the same windows; NaN where nothing
        was observed.
    preferred : int
        Stays unless the best one is better beyond chance: above the 95 % bound of their paired
        difference.
    """
    best = min(range(len(losses)), key=lambda i: float(np.nanmean(losses[i])))
    gap = paired_difference(
        losses[best], losses[preferred], level=0.9, rng=np.random.default_rng(0)
    )
    return best if gap.high < 0.0 else preferred


def diebold_mariano(loss_a: Floats, loss_b: Floats, *, lags: int) -> tuple[float, float]:
    """Diebold-Mariano test that two forecasts are equally good.

    Parameters
    ----------
    loss_a, loss_b : ndarray of shape (N,)
        Loss of each window, in time order. A window that is NaN in either is left out.
    lags : int
        Autocovariances of the loss difference that are taken into account, at most N - 2; 6 for
        a week of daily windows.

    Returns
    -------
    statistic : float
        Unitless; below 0 where A is better.
    p_value : float
        Two-sided, from Student's t with N - 1 degrees of freedom.

    Notes
    -----
    The statistic of [1]_ with the small-sample factor of [2]_, eq. 9, for a horizon of
    ``lags + 1`` and with the variance of [3]_, whose Bartlett weights keep it above 0. Losses
    that never differ give 0 and 1.

    References
    ----------
    .. [1] Diebold & Mariano (1995), Journal of Business & Economic Statistics 13(3), 253-263.
    .. [2] Harvey, Leybourne & Newbold (1997), International Journal of Forecasting 13(2), 281-291.
    .. [3] Newey & West (1987), Econometrica 55(3), 703-708.

    Examples
    --------
    Differences 1 and 3: 2 / sqrt(1 / 2) for a mean of 2 and a variance of 1 over 2 windows, times
    sqrt(1 / 2) for so few.

    >>> statistic, p_value = diebold_mariano(np.array([2.0, 5.0]), np.array([1.0, 2.0]), lags=0)
    >>> round(statistic, 9), round(p_value, 4)
    (2.0, 0.2952)
    """
    difference = _paired(loss_a, loss_b)
    n = difference.size
    if not 0 <= lags <= n - 2:
        raise DataError(f"lags is {lags}, expected 0 to {n - 2} with {n} windows in both losses")
    if (difference == difference[0]).all():
        if difference[0] == 0.0:
            return 0.0, 1.0
        raise DataError(
            f"the losses differ by {difference[0]:g} in every window; there is no spread to test"
        )
    centred = difference - difference.mean()
    autocovariances = [centred[k:] @ centred[: n - k] / n for k in range(lags + 1)]
    variance = autocovariances[0] + 2.0 * sum(
        (1.0 - k / (lags + 1)) * autocovariances[k] for k in range(1, lags + 1)
    )
    ahead = lags + 1
    factor = (n + 1 - 2 * ahead + ahead * (ahead - 1) / n) / n
    statistic = float(difference.mean() / math.sqrt(variance / n) * math.sqrt(factor))
    return statistic, 2.0 * float(_student().stdtr(n - 1, -abs(statistic)))


@dataclass(frozen=True)
class EffectiveSample:
    """A measured coverage and the number of independent points that would be as informative.

    Attributes
    ----------
    share : float
        Observed points inside their interval, unitless.
    size : float
        Number of independent points with the same standard error.
    df : int
        Degrees of freedom of that number.
    """

    share: float
    size: float
    df: int


def effective_sample(
    observed: Floats,
    lower: Floats,
    upper: Floats,
    *,
    block_days: int = BLOCK_DAYS,
    n_resamples: int = N_RESAMPLES,
    rng: np.random.Generator,
) -> EffectiveSample:
    """Return the coverage of intervals with its effective sample size; see `picp_interval`."""
    if not observed.shape == lower.shape == upper.shape or observed.ndim != 2:
        raise DataError(
            f"observed, lower and upper have shapes {observed.shape}, {lower.shape} and "
            f"{upper.shape}, expected three times (N, H)"
        )
    if np.isinf(observed).any() or not (np.isfinite(lower) & np.isfinite(upper)).all():
        raise DataError("a bound is not finite or an observation is infinite")
    if (lower > upper).any():
        where = tuple(int(i) for i in np.argwhere(lower > upper)[0])
        raise DataError(f"lower lies above upper at (window, step) = {where}; sort the levels")
    points = (~np.isnan(observed)).sum(axis=1).astype(np.float64)  # (N,)
    hits = ((lower <= observed) & (observed <= upper)).sum(axis=1).astype(np.float64)
    hits, points = _observed_windows(hits, points)
    block = block_length(block_days, points.size)
    share = float(hits.sum() / points.sum())
    size = points.size / block
    if 0.0 < share < 1.0 and points.size > 1:
        error = standard_error(hits, points, block=block, n_resamples=n_resamples, rng=rng)
        most = float(points.sum())
        size = most if error == 0.0 else min(most, share * (1.0 - share) / error**2)
    return EffectiveSample(share, size, _degrees_of_freedom(points.size, block))


def _check_level(level: float) -> None:
    if not 0.0 < level < 1.0:
        raise DataError(f"level of the interval is {level}, expected inside (0, 1), such as 0.95")


def block_length(block: int, n_windows: int) -> int:
    """Windows to draw together: `block`, shortened to a fifth of the windows."""
    if block < 1:
        raise DataError(f"block is {block} windows, expected at least 1")
    return min(block, max(1, n_windows // 5))


def _degrees_of_freedom(n_windows: int, block: int) -> int:
    return max(1, round(n_windows / block) - 1)


def _observed_windows(numerators: Floats, denominators: Floats) -> tuple[Floats, Floats]:
    """The windows in which something was observed, checked."""
    if numerators.ndim != 1 or numerators.shape != denominators.shape:
        raise DataError(
            f"numerators and denominators have shapes {numerators.shape} and "
            f"{denominators.shape}, expected twice (N,)"
        )
    if not (np.isfinite(denominators) & (denominators >= 0.0)).all():
        raise DataError("a denominator is negative or not finite")
    observed = denominators > 0.0
    if not observed.any():
        raise DataError("no window holds an observation")
    if not np.isfinite(numerators[observed]).all():
        where = int(np.flatnonzero(observed & ~np.isfinite(numerators))[0])
        raise DataError(f"numerator of window {where} is not finite")
    return numerators[observed], denominators[observed]


def _circular_sums(values: Floats, length: int) -> Floats:
    """Sum of `length` values from each start on, wrapping around the end."""
    wrapped = np.concatenate((values, values[: length - 1]))
    sums: Floats = np.lib.stride_tricks.sliding_window_view(wrapped, length).sum(axis=1)
    return sums


def _paired(losses_a: Floats, losses_b: Floats) -> Floats:
    """Differences of the windows that both have."""
    if losses_a.ndim != 1 or losses_a.shape != losses_b.shape:
        raise DataError(
            f"losses have shapes {losses_a.shape} and {losses_b.shape}, expected twice (N,)"
        )
    difference: Floats = (losses_a - losses_b)[~np.isnan(losses_a) & ~np.isnan(losses_b)]
    if difference.size < 2:
        raise DataError(f"{difference.size} windows have both losses, expected at least 2")
    if not np.isfinite(difference).all():
        raise DataError("a loss is infinite")
    return difference


def _student() -> Any:  # noqa: ANN401  (scipy has no types)
    """Module with Student's distribution, half a second to import."""
    from scipy import special

    return special
