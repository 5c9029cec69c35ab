"""Conformalized quantile regression: quantiles moved outwards or inwards by their past errors.

The score of an observation is how far it lies beyond its interval, negative inside it [1]_. A
bound moves by a finite-sample quantile of the scores, so intervals that were too wide shrink.

- Scores belong to *pairs* of levels (symmetric: both bounds of an interval move by as much, the
  median stays) or to single *levels* (asymmetric: every quantile moves on its own, the median loses
  its bias). Either way every interval of the grid is corrected, not only the target one.
- Scores are in target units, or relative to the width of the forecast at hand [2]_: demand that
  varies more in winter gets a correction that does.
- A correction may belong to a group of target times. A group of n windows counts n / (n + k), the
  correction of all windows the rest; k is learned from how well two halves of the windows agree.

References
----------
.. [1] Romano, Patterson & Candès (2019), Conformalized quantile regression, NeurIPS 32, equations 6
   to 8 (symmetric) and theorem 2 (asymmetric).
.. [2] Sesia & Candès (2020), Stat 9(1), e261, the variant CQR-r.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from paretocast.calibration.base import Calibrator, check_observed, group_members
from paretocast.calibration.finite_sample import level_quantiles, shortfall_note, upper_quantiles
from paretocast.metrics.scores import SAME_LEVEL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from paretocast.metrics.forecast import Forecast

    Floats = NDArray[np.float64]
    Label = tuple[int, ...]

WEEK_WINDOWS = 7
SHRINKAGE_WINDOWS = 40.0  # where there are not two groups to learn it from
LEAST_SHRINKAGE_WINDOWS, MOST_SHRINKAGE_WINDOWS = 10.0, 1e4
SPAN = (0.1, 0.9)  # levels nearest to these measure the width of a forecast
FLOOR_SHARE = 0.01  # of the mean width: a forecast narrower than that is not divided by its width


class Sides(StrEnum):
    """The unit that a score belongs to: both bounds of an interval, or one level."""

    PAIRS = "pairs"
    LEVELS = "levels"


class Unit(StrEnum):
    """The unit of a score: that of the target, or the width of the forecast at hand."""

    TARGET = "target"
    WIDTH = "width"


@dataclass(frozen=True)
class ShiftCalibrator(Calibrator):
    """Quantiles moved by fixed amounts, in target units or in widths of the forecast.

    Attributes
    ----------
    shifts : tuple of float
        For each level, added to the quantile; for groups that the fit did not see.
    floor : float or None
        Smallest width that counts as a unit, target units; None if the unit is the target's.
    group : tuple of str
        Names of the groups, empty if all windows share `shifts`.
    group_shifts : mapping of labels to tuple of float
        As `shifts`, by the labels of the groups.
    """

    kind = "shift"
    name: str
    levels: tuple[float, ...]
    shifts: tuple[float, ...]
    floor: float | None = None
    group: tuple[str, ...] = ()
    group_shifts: dict[Label, tuple[float, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> ShiftCalibrator:
        """The calibrator that `as_json` described."""
        return cls(
            name=stored["name"],
            levels=tuple(stored["levels"]),
            shifts=tuple(stored["shifts"]),
            floor=stored["floor"],
            group=tuple(stored["group"]),
            group_shifts={
                tuple(row["labels"]): tuple(row["shifts"]) for row in stored["group_shifts"]
            },
            notes=tuple(stored["notes"]),
        )

    def _state(self) -> dict[str, Any]:
        return {
            "shifts": list(self.shifts),
            "floor": self.floor,
            "group": list(self.group),
            "group_shifts": [
                {"labels": list(labels), "shifts": list(shifts)}
                for labels, shifts in self.group_shifts.items()
            ],
        }

    def _correct(self, forecast: Forecast) -> Floats:
        moves = np.asarray(self.shifts)  # (Q,)
        if self.group:
            moves = self._group_moves(group_members(self.group, forecast))
        return _closed(
            forecast.quantiles + moves * unit_of_shifts(forecast, self.floor), self.levels
        )

    def _group_moves(self, members: NDArray[np.int64]) -> Floats:
        flat = members.reshape(-1, members.shape[-1])
        labels, member = np.unique(flat, axis=0, return_inverse=True)
        rows = np.array([self.group_shifts.get(tuple(row), self.shifts) for row in labels.tolist()])
        moves: Floats = rows[member.reshape(members.shape[:2])]
        return moves


def identity(levels: Sequence[float]) -> ShiftCalibrator:
    """The calibrator that leaves a forecast as it is, but for crossing quantiles."""
    return ShiftCalibrator("none", tuple(levels), (0.0,) * len(levels))


def fit_conformal(
    forecast: Forecast,
    *,
    name: str,
    sides: Sides,
    unit: Unit = Unit.TARGET,
    group: tuple[str, ...] = (),
    shrinkage_windows: float | None = None,
) -> ShiftCalibrator:
    """Corrections of every quantile from the errors of a forecast.

    Parameters
    ----------
    group : tuple of str
        Groups with a correction of their own; several names mean their product.
    shrinkage_windows : float, optional
        Windows k at which a group's own correction counts as much as that of the whole; without it
        as `learned_shrinkage` finds.

    Raises
    ------
    DataError
        If nothing was observed, or a group is missing.
    """
    check_observed(forecast, name)
    floor = width_floor(forecast) if unit is Unit.WIDTH else None
    notes = []
    if unit is Unit.WIDTH and floor is None:
        notes.append("the forecasts have no width; corrections are in target units")
    levels = forecast.levels
    units = unit_of_shifts(forecast, floor)
    misses = (forecast.observed[..., None] - forecast.quantiles) / units  # (N, H, Q)
    (pooled,), (reached,) = _shifts(misses[None], levels, sides)
    notes += _shortfalls(forecast, reached, sides)
    group_shifts: dict[Label, tuple[float, ...]] = {}
    if group:
        members = group_members(group, forecast)
        k = shrinkage_windows
        if k is None:
            k = learned_shrinkage(misses, members, levels, sides)
        group_shifts, n_short = _group_shifts(misses, members, levels, sides, pooled=pooled, k=k)
        if n_short:
            notes.append(
                f"{n_short} of {len(group_shifts)} groups by {' and '.join(group)} hold too few "
                "windows for the outermost levels; the correction of all windows stands in there"
            )
    return ShiftCalibrator(
        name=name,
        levels=levels,
        shifts=tuple(pooled.tolist()),
        floor=floor,
        group=group,
        group_shifts=group_shifts,
        notes=tuple(notes),
    )


def learned_shrinkage(
    misses: Floats, members: NDArray[np.int64], levels: Sequence[float], sides: Sides
) -> float:
    """Windows k at which a group is worth as much as the whole: how alike two halves of it are.

    The corrections of all groups are computed on two halves, alternating weeks. What the halves
    share is taken for real, the rest for chance: with their correlation r, the reliability of the
    whole is 2r / (1 + r) (Spearman 1910, Brown 1910), and k follows from n / (n + k) at the mean
    group size n.

    Parameters
    ----------
    misses : ndarray of shape (N, H, Q)
        Observation minus quantile in units of the shifts; NaN where nothing was observed.
    members : ndarray of int of shape (N, H, D)
        Labels of the groups of every point.
    """
    labels, codes = _coded(members, misses)
    week = np.arange(len(misses)) // WEEK_WINDOWS % 2
    halves = [_by_group(misses[week == i], codes[week == i], len(labels)) for i in (0, 1)]
    shared_groups = (halves[0][1] > 0) & (halves[1][1] > 0)
    if shared_groups.sum() < 2:
        return SHRINKAGE_WINDOWS
    shifts = np.stack(
        [_shifts(part[shared_groups], levels, sides)[0] for part, _ in halves], axis=1
    )
    sizes = (halves[0][1] + halves[1][1])[shared_groups]
    centred = shifts - shifts.mean(axis=0)  # (groups, 2, Q)
    shared = float((centred[:, 0] * centred[:, 1]).sum())
    spread = float(np.square(centred).sum()) / 2.0
    if shared <= 0.0:
        return MOST_SHRINKAGE_WINDOWS
    reliability = 2.0 * shared / (spread + shared)
    k = float(np.mean(sizes)) * (1.0 - reliability) / reliability
    return float(np.clip(k, LEAST_SHRINKAGE_WINDOWS, MOST_SHRINKAGE_WINDOWS))


def _group_shifts(
    misses: Floats,
    members: NDArray[np.int64],
    levels: Sequence[float],
    sides: Sides,
    *,
    pooled: Floats,
    k: float,
) -> tuple[dict[Label, tuple[float, ...]], int]:
    """Shifts by labels, and how many groups were too small for the promise of every level."""
    labels, codes = _coded(members, misses)
    parts, n_windows = _by_group(misses, codes, len(labels))
    group_only, reached = _shifts(parts, levels, sides)
    weight = np.where(reached, (n_windows / (n_windows + k))[:, None], 0.0)
    shifts = weight * group_only + (1.0 - weight) * pooled
    by_label = {label: tuple(row) for label, row in zip(labels, shifts.tolist(), strict=True)}
    return by_label, int((~reached.all(axis=1)).sum())


def _coded(members: NDArray[np.int64], misses: Floats) -> tuple[list[Label], NDArray[np.int64]]:
    """Labels of the groups with an observation, and the index of that of every point, (N, H).

    The index is -1 where nothing was observed.
    """
    observed = ~np.isnan(misses[..., 0])
    labels, inverse = np.unique(members[observed], axis=0, return_inverse=True)
    codes = np.full(observed.shape, -1, dtype=np.int64)
    codes[observed] = inverse.reshape(-1)
    return [tuple(row) for row in labels.tolist()], codes


def _by_group(
    misses: Floats, codes: NDArray[np.int64], n_groups: int
) -> tuple[Floats, NDArray[np.int64]]:
    """Misses by group, (G, windows, points of a window, Q) filled with NaN; windows of each, (G,).

    Windows that a group has no observation in are left out, and points close up.
    """
    window, step = np.nonzero(codes >= 0)
    order = np.argsort(codes[window, step], kind="stable")
    window, step = window[order], step[order]
    group = codes[window, step]
    first = np.ones(group.size, dtype=bool)  # of a window of a group
    first[1:] = (np.diff(group) != 0) | (np.diff(window) != 0)
    starts = np.flatnonzero(first)
    run = np.cumsum(first) - 1
    n_windows = np.bincount(group[starts], minlength=n_groups)
    row = run - (np.cumsum(n_windows) - n_windows)[group]
    column = np.arange(group.size) - starts[run]
    shape = (n_groups, int(n_windows.max(initial=0)), int(column.max(initial=0)) + 1)
    parts = np.full((*shape, misses.shape[-1]), np.nan)
    parts[group, row, column] = misses[window, step]
    return parts, n_windows


def level_pairs(levels: Sequence[float]) -> list[tuple[int, int]]:
    """Indices of levels that add up to 1, the outermost pair first.

    >>> level_pairs([0.1, 0.3, 0.5, 0.9])
    [(0, 3)]
    """
    return [
        (low, high)
        for low in range(len(levels))
        for high in range(low + 1, len(levels))
        if abs(levels[low] + levels[high] - 1.0) <= SAME_LEVEL
    ]


def _shifts(
    misses: Floats, levels: Sequence[float], sides: Sides
) -> tuple[Floats, NDArray[np.bool_]]:
    """Shifts in units, and whether there were windows enough for each promise, both (G, Q).

    Parameters
    ----------
    misses : ndarray of shape (G, N, H, Q)
        Of G groups with an observation each; NaN where none is, and where a group has fewer points
        than the largest.
    """
    tau = np.asarray(levels)
    n_groups, n_levels = len(misses), tau.size
    shifts, reached = np.zeros((n_groups, n_levels)), np.ones((n_groups, n_levels), dtype=bool)
    alone = set(range(n_levels))
    if sides is Sides.PAIRS:
        alone -= {int(np.argmin(np.abs(tau - 0.5)))}  # the median is no side of an interval
        for low, high in level_pairs(levels):
            scores = np.maximum(-misses[..., low], misses[..., high])
            share = np.full(n_groups, tau[high] - tau[low])
            bounds, reached[:, high] = upper_quantiles(scores, share)
            reached[:, low] = reached[:, high]
            shifts[:, low], shifts[:, high] = -bounds, bounds
            alone -= {low, high}
    if alone:
        columns = sorted(alone)
        scores = np.moveaxis(misses[..., columns], -1, 0).reshape(-1, *misses.shape[1:3])
        bounds, enough = level_quantiles(scores, scores, np.repeat(tau[columns], n_groups))
        shifts[:, columns] = bounds.reshape(-1, n_groups).T
        reached[:, columns] = enough.reshape(-1, n_groups).T
    return shifts, reached


def _shortfalls(forecast: Forecast, reached: NDArray[np.bool_], sides: Sides) -> list[str]:
    if reached.all():
        return []
    outermost = float(np.abs(np.asarray(forecast.levels)[~reached] - 0.5).max())
    share, what = (
        (2.0 * outermost, "interval") if sides is Sides.PAIRS else (0.5 + outermost, "bound")
    )
    return [shortfall_note(forecast.n_observed_windows, share, what)]


def width_floor(forecast: Forecast) -> float | None:
    """Smallest width that counts as a unit, in target units; None if all widths are 0."""
    mean_width = float(_widths(forecast).mean())
    return FLOOR_SHARE * mean_width if mean_width > 0.0 else None


def unit_of_shifts(forecast: Forecast, floor: float | None) -> Floats:
    """One unit of a shift for each window and step, (N, H, 1), in target units."""
    if floor is None:
        return np.ones((*forecast.observed.shape, 1))
    return np.maximum(_widths(forecast), floor)[..., None]


def _widths(forecast: Forecast) -> Floats:
    low, high = (forecast.nearest(level) for level in SPAN)
    return high - low


def _closed(moved: Floats, levels: Sequence[float]) -> Floats:
    """Intervals whose bounds have passed each other, closed at their middle: they hold nothing."""
    closed = moved.copy()
    for low, high in level_pairs(levels):
        middle = (moved[..., low] + moved[..., high]) / 2.0
        closed[..., low] = np.minimum(moved[..., low], middle)
        closed[..., high] = np.maximum(moved[..., high], middle)
    return closed
