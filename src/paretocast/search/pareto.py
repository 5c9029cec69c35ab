"""Dominance between objective vectors.

Every objective is minimised; `objectives.py` negates the ones that are not. Values are an array of
n points by m objectives, all finite: a failed trial has no point.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

import numpy as np

from paretocast.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

TIED_FROM = 0.05
"""A trial whose chance to be on the front is below this is beaten significantly."""


def front_ranks(values: Floats) -> NDArray[np.intp]:
    """Rank of each point's non-dominated front, 0 for the Pareto front.

    Parameters
    ----------
    values : ndarray of shape (n, m)
        One row per point, one column per objective.

    Returns
    -------
    ndarray of shape (n,)
        `ranks[i]` belongs to `values[i]`: ranks, not an ordering of the points.
    """
    _check_points(values)
    if values.shape[1] <= 2:
        return _ranks_by_sweep(values)
    return _ranks_by_peeling(values)


def front(values: Floats) -> NDArray[np.intp]:
    """Indices of the non-dominated points, ascending; copies of a point are all in or all out.

    Examples
    --------
    >>> front(np.array([[1.0, 3.0], [2.0, 4.0], [2.0, 1.0]])).tolist()
    [0, 2]
    """
    return np.flatnonzero(front_ranks(values) == 0)


def constrained_ranks(values: Floats, violations: Floats) -> NDArray[np.intp]:
    """Rank of each point where constraints come before objectives, 0 for the best.

    Parameters
    ----------
    values : ndarray of shape (n, m)
        One row per point, one column per objective.
    violations : ndarray of shape (n,)
        Total violation of the constraints, 0 where all are met.

    Returns
    -------
    ndarray of shape (n,)
        Points that meet all constraints by their front, the others behind them by their violation.
        Points of equal violation are ranked by their front.

    Notes
    -----
    The constrained domination of Deb, Pratap, Agarwal & Meyarivan (2002), IEEE Transactions on
    Evolutionary Computation 6(2), 182-197, definition 1.

    Examples
    --------
    The last point is best in both objectives and meets the constraint least.

    >>> points = np.array([[1.0, 2.0], [2.0, 3.0], [0.0, 0.0]])
    >>> constrained_ranks(points, np.array([0.0, 0.0, 0.3])).tolist()
    [0, 1, 2]
    """
    ranks = np.zeros(len(values), dtype=np.intp)
    first = 0
    for violation in np.unique(violations):
        members = np.flatnonzero(violations == violation)
        ranks[members] = first + front_ranks(values[members])
        first = int(ranks[members].max()) + 1
    return ranks


def hypervolume(values: Floats, reference: ArrayLike) -> float:
    """Volume between the points and a reference that they are better than; higher is better.

    Parameters
    ----------
    values : ndarray of shape (n, m)
        m is 1, 2 or 3. Dominated points add nothing, nor does a point that is not better than
        the reference in every objective.
    reference : array_like of shape (m,)
        The worst values that still count.

    Returns
    -------
    float
        Exact, in the product of the objectives' units; 0 without points.

    Examples
    --------
    Two boxes of 1 x 2 and 2 x 1 that share a unit square.

    >>> hypervolume(np.array([[1.0, 2.0], [2.0, 1.0]]), [3.0, 3.0])
    3.0
    """
    corner = np.asarray(reference, dtype=np.float64)
    _check_points(values)
    if corner.shape != values.shape[1:] or not np.isfinite(corner).all():
        raise DataError(
            f"reference is {corner.tolist()}, expected {values.shape[1]} finite numbers from values"
        )
    gains = (corner - values)[(values < corner).all(axis=1)]  # (k, m), all above 0
    if values.shape[1] == 1:
        return float(gains.max(initial=0.0))
    if values.shape[1] == 2:
        return _area(gains)
    if values.shape[1] == 3:
        return _volume(gains)
    raise DataError(f"hypervolume of {values.shape[1]} objectives; 1, 2 and 3 are supported")


def knee(values: Floats) -> int:
    """Index of the front's best compromise: the point farthest below the line between its ends.

    Parameters
    ----------
    values : ndarray of shape (n, m)
        Dominated points may be among them; they are neither chosen nor used for scaling.

    Returns
    -------
    int
        Row of `values`.

    Notes
    -----
    Each objective is scaled to [0, 1] over the front; the point with the smallest sum is
    farthest below the line through (0, 1) and (1, 0), and with three objectives farthest below
    the plane of sum 1 (after [1]_). Where points tie, as on a straight front, the one whose
    worst objective is best wins, then the one that is best in the first objective, the second
    and so on, then the lower index. On a front that bulges outwards no point lies below the
    line and an end is chosen. An objective in which the front does not vary is ignored.

    References
    ----------
    .. [1] Das (1999), Structural Optimization 18, 107-115.

    Examples
    --------
    >>> knee(np.array([[0.0, 10.0], [1.0, 2.0], [10.0, 0.0]]))
    1
    """
    _check_points(values)
    if len(values) == 0:
        raise DataError("no point to choose a knee from")
    members = front(values)
    low, high = values[members].min(axis=0), values[members].max(axis=0)
    varies = high > low
    if not varies.any():
        return int(members[0])
    # Rounding noise must not break a tie.
    scaled = ((values[members] - low)[:, varies] / (high - low)[varies]).round(12)
    total, worst = scaled.sum(axis=1).round(12), scaled.max(axis=1)
    order = np.lexsort((*scaled.T[::-1], worst, total))  # the last key counts most
    return int(members[order[0]])


def crowding_distance(values: Floats) -> Floats:
    """Crowding distance of each point of a front, unitless; higher is lonelier.

    Parameters
    ----------
    values : ndarray of shape (n, m)
        Points of one front.

    Returns
    -------
    ndarray of shape (n,)
        The sum over objectives of the gap between a point's two neighbours, relative to the
        range of the front; infinite for the ends. `distances[i]` belongs to `values[i]`. The
        first copy of a point has the distance it would have alone, every further copy 0.

    Notes
    -----
    Section III-B of [1]_, which leaves copies open.

    References
    ----------
    .. [1] Deb, Pratap, Agarwal & Meyarivan (2002), IEEE Transactions on Evolutionary
       Computation 6(2), 182-197.

    Examples
    --------
    The middle's neighbours span the whole range of both objectives.

    >>> crowding_distance(np.array([[0.0, 4.0], [1.0, 1.0], [4.0, 0.0]])).tolist()
    [inf, 2.0, inf]
    """
    _check_points(values)
    distances = np.zeros(len(values))
    if len(values) == 0:
        return distances
    distinct, first = np.unique(values, axis=0, return_index=True)
    if len(distinct) <= 2:
        distances[first] = np.inf
        return distances
    room = np.zeros(len(distinct))
    for column in distinct.T:
        if (span := column.max() - column.min()) == 0.0:
            continue
        order = np.argsort(column, kind="stable")
        room[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / span
        room[order[[0, -1]]] = np.inf
    distances[first] = room
    return distances


def front_probabilities(draws: Floats) -> Floats:
    """Chance of each trial to be non-dominated under other days and seeds.

    Parameters
    ----------
    draws : ndarray of shape (R, n, m)
        Objectives of n trials on R resamples.

    Returns
    -------
    ndarray of shape (n,)
        Share of the resamples in which no other trial is as good in all objectives and better in
        one.

    Examples
    --------
    The second trial is dominated on the first resample only.

    >>> front_probabilities(np.array([[[1.0, 1.0], [2.0, 2.0]], [[1.0, 2.0], [2.0, 1.0]]]))
    array([1. , 0.5])
    """
    columns = np.ascontiguousarray(draws.transpose(2, 1, 0))  # (m, n, R)
    dominated = np.zeros(columns.shape[1:], dtype=bool)  # (n, R)
    for i in range(columns.shape[1]):
        no_worse, better = columns[0, i] <= columns[0], columns[0, i] < columns[0]
        for column in columns[1:]:
            no_worse &= column[i] <= column
            better |= column[i] < column
        dominated |= no_worse & better
    share: Floats = 1.0 - dominated.mean(axis=1)
    return share


def tied_front(values: Floats, draws: Floats) -> NDArray[np.intp]:
    """Indices of the trials that no others beat significantly: the front and its ties.

    Parameters
    ----------
    values : ndarray of shape (n, m)
        Objectives as measured.
    draws : ndarray of shape (R, n, m)
        Objectives on resamples, see `front_probabilities`.
    """
    tied = front_probabilities(draws) >= TIED_FROM
    tied[front(values)] = True
    return np.flatnonzero(tied)


def _ranks_by_sweep(values: Floats) -> NDArray[np.intp]:
    """Ranks for one or two objectives, in n log n.

    In order of the first objective, then the second, a point is dominated by a member of a front
    exactly if the lowest second objective of that front so far is not above its own. Those lowest
    values ascend from front to front, so the first front that is free is found by bisection.
    """
    distinct, inverse = np.unique(values, axis=0, return_inverse=True)  # copies share a rank
    lowest: list[float] = []
    ranks = np.empty(len(distinct), dtype=np.intp)
    for i, second in enumerate(distinct[:, -1].tolist()):
        ranks[i] = rank = bisect_right(lowest, second)
        lowest[rank : rank + 1] = [second]
    return ranks[inverse]


def _ranks_by_peeling(values: Floats) -> NDArray[np.intp]:
    """Ranks for any number of objectives: front after front is taken off, in n x n steps."""
    no_worse: NDArray[np.bool_] = np.all(
        values[:, None, :] <= values[None, :, :], axis=-1
    )  # [i, j]: i no worse than j
    dominates = no_worse & ~no_worse.T
    n_dominators = dominates.sum(axis=0)
    ranks = np.full(len(values), -1, dtype=np.intp)
    rank = 0
    while (front_members := np.flatnonzero((n_dominators == 0) & (ranks < 0))).size:
        ranks[front_members] = rank
        n_dominators -= dominates[front_members].sum(axis=0)
        rank += 1
    return ranks


def _area(gains: Floats) -> float:
    """Area of the union of boxes [0, a] x [0, b]."""
    wide_first = gains[np.argsort(-gains[:, 0], kind="stable")]
    height = np.maximum.accumulate(wide_first[:, 1])
    rise = np.diff(height, prepend=0.0)
    return float(wide_first[:, 0] @ rise)


def _volume(gains: Floats) -> float:
    """Volume of the union of boxes [0, a] x [0, b] x [0, c], by slabs of the third side."""
    tall_first = gains[np.argsort(-gains[:, 2], kind="stable")]
    depths = tall_first[:, 2] - np.append(tall_first[1:, 2], 0.0)
    return float(
        sum(_area(tall_first[: i + 1, :2]) * depth for i, depth in enumerate(depths) if depth > 0)
    )


def _check_points(values: Floats) -> None:
    if values.ndim != 2 or values.shape[1] == 0:
        raise DataError(f"values have shape {values.shape}, expected (points, objectives)")
    broken = np.argwhere(~np.isfinite(values))
    if len(broken):
        raise DataError(
            f"values are not finite at (point, objective) = {tuple(int(i) for i in broken[0])}; "
            "leave failed trials out"
        )
