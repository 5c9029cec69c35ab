"""Scores of a forecast on resampled days, and their standard errors.

All trials of a study are scored on the same days, and a good day for one is a good day for most.
So they are compared on the same resamples of those days: entry r of every array of draws belongs to
resample r. Axes: N windows, H steps ahead, Q quantile levels, R resamples.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from paretocast.metrics.score_table import SCORES, Points
from paretocast.metrics.uncertainty import BLOCK_DAYS, block_bootstrap, block_length

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

    from paretocast.metrics.score_table import Quantity

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
        As of `score_table.score_forecast`.
    rng : Generator
        In the same state for all trials that are to be compared.

    Returns
    -------
    dict of str to ndarray of shape (R,)
        Under the names of `score_table.score_forecast`, without n; empty if fewer than two windows
        hold an observation.

    Notes
    -----
    The circular block bootstrap of `uncertainty.block_bootstrap` for the means behind every score:
    a score follows from the resampled means, so that those that are no means themselves (rmse, r2,
    coverage_error) have their error too. Deviations from the sample are enlarged as
    `uncertainty.standard_error` does.
    """
    points = Points(observed, forecast, np.asarray(levels, np.float64), coverage, seasonal_scale)
    n_points = points.is_observed.sum(axis=1).astype(np.float64)  # (N,)
    n_windows = int((n_points > 0).sum())
    if n_windows < 2:
        return {}
    block = block_length(BLOCK_DAYS, n_windows)
    enlarged = 1.0 / math.sqrt(1.0 - block / n_windows)
    state = rng.bit_generator.state
    means: dict[Quantity, Floats] = {}
    for quantity in dict.fromkeys(q for score in SCORES.values() for q in score.quantities):
        rng.bit_generator.state = state  # the same days for every quantity
        sums = np.where(points.is_observed, quantity(points), 0.0).sum(axis=1)  # (N,)
        drawn = block_bootstrap(sums, n_points, block=block, n_resamples=n_resamples, rng=rng)
        middle = sums.sum() / n_points.sum()
        means[quantity] = middle + enlarged * (drawn - middle)
    return {
        name: score.from_means([means[quantity] for quantity in score.quantities], points)
        for name, score in SCORES.items()
    }


def standard_errors(draws: Mapping[str, Floats]) -> dict[str, float]:
    """Standard error of each score, in its units, from its draws."""
    return {name: float(values.std(ddof=1)) for name, values in draws.items()}
