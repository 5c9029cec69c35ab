"""Patience: a study ends once the hypervolume of its front no longer grows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from paretocast.search.pareto import hypervolume

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def has_stalled(
    values: Sequence[tuple[float, ...] | None],
    *,
    patience: int,
    growth_percent: float,
    corner: Sequence[float],
) -> bool:
    """Return whether the last trials have moved the front too little to go on.

    Parameters
    ----------
    values : sequence
        Objectives of the ended trials in order of number, all minimised; None for one that was
        pruned or failed, which counts as a trial and adds nothing.
    patience : int
        Trials that may pass without growth.
    growth_percent : float
        Growth of the hypervolume, in percent, below which these trials count as none.
    corner : sequence of float
        The worst values that still count; fixed for a study.

    Examples
    --------
    The third trial adds nothing to an area of 4.

    >>> has_stalled([(1.0, 1.0), (2.0, 2.0)], patience=1, growth_percent=1.0, corner=(3.0, 3.0))
    True
    >>> has_stalled([(2.0, 2.0), (1.0, 1.0)], patience=1, growth_percent=1.0, corner=(3.0, 3.0))
    False
    """
    before = _volume(values[:-patience], corner) if len(values) > patience else 0.0
    if before <= 0.0:
        return False
    return _volume(values, corner) < before * (1.0 + growth_percent / 100.0)


def worst_corner(
    baselines: Sequence[Sequence[float]], values: Sequence[tuple[float, ...] | None]
) -> tuple[float, ...] | None:
    """The worst of the baselines and of the first complete trial, per objective.

    None while no trial is complete: later trials do not move it.
    """
    first = next((point for point in values if point is not None), None)
    if first is None:
        return None
    worst: NDArray[np.float64] = np.array([first, *baselines], dtype=np.float64).max(axis=0)
    # A front that touches the corner would have no volume at all.
    return tuple((worst + 0.01 * np.abs(worst)).tolist())


def _volume(values: Sequence[tuple[float, ...] | None], corner: Sequence[float]) -> float:
    points = [point for point in values if point is not None]
    shaped = np.reshape(np.array(points, dtype=np.float64), (len(points), len(corner)))
    return hypervolume(shaped, corner)
