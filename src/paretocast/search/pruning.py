"""Asynchronous successive halving for several objectives: pruning of trials at rungs.

A rung is a number of gradient steps at which a trial is scored. A trial is stopped there if more
than a third of those that have reached the rung so far dominate it: the rank of Fonseca and Fleming
(1993, Proceedings of the Fifth International Conference on Genetic Algorithms), one plus the number
of points that dominate, in place of the non-dominated rank of MO-ASHA (Schmucker et al. 2021, arXiv
2106.12639). So no trial on the front is ever stopped, and how many go on depends on how good they
are. Every objective is minimised. Where constraints are given, a trial that meets them dominates
one that does not, and of those that do not the one with the smaller total violation dominates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from paretocast.search.pareto import constrained_ranks, crowding_distance

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

ETA = 3
# The share of the others at a rung that may dominate a trial which goes on.
MOST_DOMINATING = 1.0 / 3.0


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
    """Indices of the points, the best first.

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


def promotes(
    values: NDArray[np.float64],
    newcomer: NDArray[np.float64],
    *,
    violations: ArrayLike | None = None,
    most_dominating: float = MOST_DOMINATING,
) -> bool:
    """Return whether a trial goes on beyond a rung.

    Parameters
    ----------
    values : ndarray of shape (n, m)
        Objectives of the trials that reached the rung before, stopped or not.
    newcomer : ndarray of shape (m,)
        Objectives of the trial that asks.
    violations : array_like of shape (n + 1,), optional
        Total violation of the constraints, that of the newcomer last; none without it.
    most_dominating : float
        The share of the n that may dominate it.

    Examples
    --------
    The first trial always goes on; the second one unless the first is better in every respect.

    >>> promotes(np.array([[1.0, 1.0]]), np.array([9.0, 9.0]))
    False
    >>> promotes(np.array([[1.0, 1.0]]), np.array([9.0, 0.5]))
    True
    """
    total = np.zeros(len(values) + 1) if violations is None else np.asarray(violations, np.float64)
    better = (values <= newcomer).all(axis=1) & (values < newcomer).any(axis=1)
    dominates = (total[:-1] < total[-1]) | ((total[:-1] == total[-1]) & better)
    return int(dominates.sum()) <= most_dominating * len(values)
