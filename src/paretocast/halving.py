"""Asynchronous successive halving for several objectives: which trials go on beyond a rung.

A rung is a number of gradient steps at which a trial is judged. A trial goes on if it is among the
best third, rounded up, of those that have reached the rung so far, by non-dominated rank and,
within a front, by how much of the front it alone holds: the stopping rule of MO-ASHA (Schmucker et
al. 2021, arXiv 2106.12639, algorithm 1) with crowding distance as its spread-keeping order. Every
objective is minimised. Where constraints are given, a trial that meets them goes before one that
does not, and of those that do not the one with the smaller total violation.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from paretocast.pareto import constrained_ranks, crowding_distance

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

ETA = 3


def plan_rungs(total_steps: int, *, n_rungs: int, eta: int = ETA) -> tuple[int, ...]:
    """Steps of the rungs, ascending; the last one is the whole budget.

    >>> plan_rungs(900, n_rungs=3)
    (100, 300, 900)
    """
    steps = {max(1, round(total_steps / eta**down)) for down in range(n_rungs)}
    return tuple(sorted(steps))


def order_by_merit(
    values: NDArray[np.float64], *, violations: ArrayLike | None = None
) -> NDArray[np.intp]:
    """Indices of the points from best to worst.

    Parameters
    ----------
    values : ndarray of shape (n, m)
        One row per trial at the same rung.
    violations : array_like of shape (n,), optional
        Total violation of the constraints, 0 where all are met; none without it.

    Returns
    -------
    ndarray of shape (n,)
        An ordering: by front, then by crowding distance inside the front, then by age.
    """
    total = np.zeros(len(values)) if violations is None else np.asarray(violations, np.float64)
    ranks = constrained_ranks(values, total)
    crowding = np.zeros(len(values))
    for rank in range(int(ranks.max()) + 1):
        members = np.flatnonzero(ranks == rank)
        crowding[members] = crowding_distance(values[members])
    return np.lexsort((np.arange(len(values)), -crowding, ranks))


def survives(
    values: NDArray[np.float64],
    newcomer: NDArray[np.float64],
    *,
    violations: ArrayLike | None = None,
    eta: int = ETA,
) -> bool:
    """Whether a trial goes on beyond a rung.

    Parameters
    ----------
    values : ndarray of shape (n, m)
        Objectives of the trials that reached the rung before, stopped or not.
    newcomer : ndarray of shape (m,)
        Objectives of the trial that asks.
    violations : array_like of shape (n + 1,), optional
        Total violation of the constraints, that of the newcomer last.

    Examples
    --------
    The first trial always goes on; the second one if it is better than the first.

    >>> survives(np.array([[1.0, 1.0]]), np.array([9.0, 9.0]))
    False
    """
    everybody = np.vstack([values, newcomer])
    n_places = math.ceil(len(everybody) / eta)
    return len(everybody) - 1 in order_by_merit(everybody, violations=violations)[:n_places]
