"""Scores of issues one by one, for a monitor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from paretocast.deployment.health import IssueScores
from paretocast.metrics.score_table import per_window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def score_issues(
    issues: NDArray[np.integer],
    observed: Floats,
    quantiles: Floats,
    *,
    reference: Floats,
    interval: tuple[Floats, Floats],
    levels: Sequence[float],
) -> IssueScores:
    """Scores of N issues.

    Parameters
    ----------
    issues : ndarray of int of shape (N,)
        First target hour, in hours since 1970.
    observed : ndarray of shape (N, H)
        Target units; NaN where missing.
    quantiles, reference : ndarray of shape (N, H, Q)
        Of the forecast and of the ridge; NaN in `reference` where there was none.
    interval : tuple of ndarray of shape (N, H)
        Lower and upper bound.
    """
    there = ~np.isnan(observed)
    lower, upper = interval
    inside = there & (observed >= lower) & (observed <= upper)
    with_reference = np.where(np.isnan(reference).any(axis=-1), np.nan, observed)
    return IssueScores(
        issues=np.asarray(issues),
        n_observed=there.sum(axis=1).astype(np.float64),
        n_inside=inside.sum(axis=1).astype(np.float64),
        loss=mean_pinball(observed, quantiles, levels),
        reference_loss=mean_pinball(with_reference, np.nan_to_num(reference), levels),
        step_inside=inside.astype(np.float64),
        step_observed=there.astype(np.float64),
    )


def mean_pinball(observed: Floats, quantiles: Floats, levels: Sequence[float]) -> Floats:
    """Mean pinball loss of every issue, (N,); NaN where nothing was observed."""
    if not len(observed):
        return np.empty(0)
    return per_window(observed, quantiles, levels=levels)["pinball"]
