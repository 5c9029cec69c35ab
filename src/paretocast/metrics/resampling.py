"""How much the scores of trials owe to chance: days that were judged, seeds that were drawn.

All trials of a study are judged on the same days, and a good day for one is a good day for most.
So they are compared on the same resamples of those days: entry r of every array of draws belongs to
resample r. Axes: R resamples, n trials, m objectives; objectives are minimised.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from paretocast.metrics.scores import MAPE_FLOOR_SHARE, REPORTED_LEVELS, interval, quantile_at
from paretocast.metrics.uncertainty import BLOCK_DAYS, block_bootstrap, block_length

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

N_RESAMPLES = 500


def draw_scores(
    observed: Floats,
    forecast: Floats,
    *,
    levels: ArrayLike,
    coverage: float,
    seasonal_scale: float,
    rng: np.random.Generator,
    n_resamples: int = N_RESAMPLES,
) -> dict[str, Floats]:
    """Every score of a forecast on resampled days.

    Parameters
    ----------
    observed : ndarray of shape (N, H)
        Daily windows in time order, in target units. NaN marks a missing value and is left out.
    forecast : ndarray of shape (N, H, Q)
        Quantile forecasts, in target units, ascending along `levels`.
    levels, coverage, seasonal_scale
        As of `scores.score_forecast`.
    rng : Generator
        In the same state for all trials that are to be compared.

    Returns
    -------
    dict of str to ndarray of shape (R,)
        Under the names of `scores.score_forecast`, without n; empty if fewer than two windows hold
        an observation. Higher spread means less is known.

    Notes
    -----
    The circular block bootstrap of `stats.block_bootstrap` for the sums behind every score: a score
    is made from the resampled sums, so that those that are no means (rmse, r2, coverage_error) have
    their error too. Deviations from the sample are enlarged as `stats.standard_error` does.
    """
    sums, points = _window_sums(observed, forecast, np.asarray(levels, np.float64), coverage)
    n_windows = int((points > 0).sum())
    if n_windows < 2:
        return {}
    block = block_length(BLOCK_DAYS, n_windows)
    enlarged = 1.0 / math.sqrt(1.0 - block / n_windows)
    state = rng.bit_generator.state
    means: dict[str, Floats] = {}
    for name, sums_of in sums.items():
        rng.bit_generator.state = state  # the same days for every sum
        drawn = block_bootstrap(sums_of, points, block=block, n_resamples=n_resamples, rng=rng)
        middle = sums_of.sum() / points.sum()
        means[name] = middle + enlarged * (drawn - middle)
    return _scores_of_means(means, coverage=coverage, seasonal_scale=seasonal_scale)


def standard_errors(draws: Mapping[str, Floats]) -> dict[str, float]:
    """Standard error of each score, in its units, from its draws."""
    return {name: float(values.std(ddof=1)) for name, values in draws.items()}


def normal_draws(
    values: Floats,
    errors: Floats,
    *,
    rng: np.random.Generator,
    n_resamples: int = N_RESAMPLES,
) -> Floats:
    """Draws for trials of which only values and standard errors are known.

    Parameters
    ----------
    values, errors : ndarray of shape (n, m)
        Objectives and their standard errors.

    Returns
    -------
    ndarray of shape (R, n, m)
        Without what trials share, so differences look less sure than they are.
    """
    return values + errors * rng.standard_normal((n_resamples, *values.shape))


def _window_sums(
    observed: Floats, forecast: Floats, tau: Floats, coverage: float
) -> tuple[dict[str, Floats], Floats]:
    """Sums over the steps of each window, and the observed points there: (N,) each."""
    seen = ~np.isnan(observed)
    target = np.where(seen, observed, 0.0)
    lower, upper = interval(forecast, tau, coverage)
    miss = target - quantile_at(forecast, tau, 0.5)
    size = np.abs(target)
    counted = seen & (size > MAPE_FLOOR_SHARE * size[seen].mean())
    outside = np.maximum(lower - target, 0.0) + np.maximum(target - upper, 0.0)
    reported = np.stack([quantile_at(forecast, tau, at) for at in REPORTED_LEVELS], axis=-1)
    edges = np.concatenate(([0.0], tau, [1.0]))
    weights = edges[2:] - edges[:-2]  # as in `scores.crps`
    pointwise = {
        "absolute": np.abs(miss),
        "square": np.square(miss),
        "target": target,
        "target_square": np.square(target),
        "relative": np.divide(np.abs(miss), size, out=np.zeros_like(size), where=counted),
        "counted": counted.astype(np.float64),
        "pinball": _pinball(target, reported, np.array(REPORTED_LEVELS)).mean(axis=-1),
        "crps": _pinball(target, forecast, tau) @ weights,
        "inside": ((lower <= target) & (target <= upper)).astype(np.float64),
        "width": upper - lower,
        "winkler": upper - lower + 2.0 / (1.0 - coverage / 100.0) * outside,
    }
    return (
        {name: np.where(seen, losses, 0.0).sum(axis=1) for name, losses in pointwise.items()},
        seen.sum(axis=1).astype(np.float64),
    )


def _pinball(target: Floats, forecast: Floats, tau: Floats) -> Floats:
    miss = target[..., None] - forecast  # (N, H, Q)
    losses: Floats = np.maximum(tau * miss, (tau - 1.0) * miss)
    return losses


def _scores_of_means(
    means: Mapping[str, Floats], *, coverage: float, seasonal_scale: float
) -> dict[str, Floats]:
    """Scores from the means over all points that they are made of."""
    spread = means["target_square"] - np.square(means["target"])
    with np.errstate(divide="ignore", invalid="ignore"):
        mape = _finite(100.0 * means["relative"] / means["counted"])
        r2 = _finite(1.0 - means["square"] / spread)
    picp = np.clip(100.0 * means["inside"], 0.0, 100.0)
    return {
        "mae": means["absolute"],
        "rmse": np.sqrt(np.maximum(means["square"], 0.0)),
        "mape": mape,
        "mase": means["absolute"] / seasonal_scale,
        "r2": r2,
        "pinball": means["pinball"],
        "crps": means["crps"],
        "picp": picp,
        "mean_width": means["width"],
        "winkler": means["winkler"],
        "coverage_error": np.abs(picp - coverage),
    }


def _finite(values: Floats) -> Floats:
    return np.where(np.isfinite(values), values, np.nan)
