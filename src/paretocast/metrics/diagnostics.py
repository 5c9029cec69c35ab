"""Calibration diagnostics of a forecast: coverage by group, reliability, PIT histogram.

A *grouping* divides target times into groups by something known when a forecast is issued: the step
ahead, the local hour, the size of the forecast itself. Coverages are in percent and come with
intervals from resampled windows, as in `uncertainty.picp_interval`; widths are in target units.

Groups are not made from the observations: of the days with the highest demand too many would lie
above their interval however good the forecast, because they were picked for that.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from paretocast.errors import DataError
from paretocast.metrics.quantile_curve import level_bounds
from paretocast.metrics.scores import winkler
from paretocast.metrics.uncertainty import picp_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from paretocast.metrics.forecast import Forecast

    Floats = NDArray[np.float64]

CONFIDENCE = 0.95
N_RESAMPLES = 1000
N_BINS = 10  # of the PIT histogram
N_DECILES = 10
FEWEST_WINDOWS = 5  # a group of fewer is listed and is not the worst
ERROR_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)  # of errors by lead time


@dataclass(frozen=True)
class Grouping:
    """Target times divided into groups.

    Attributes
    ----------
    name : str
        The property that divides them, such as "local hour".
    members : ndarray of int of shape (N, H)
        Index of the group of each target time; -1 for none.
    labels : tuple of str
        Of the groups, in the order in which they are shown.
    """

    name: str
    members: NDArray[np.integer]
    labels: tuple[str, ...]


@dataclass(frozen=True)
class GroupCoverage:
    """Coverage of one group of target times.

    Attributes
    ----------
    picp, low, high : float
        Measured coverage and its interval at `CONFIDENCE`, percent.
    mean_width, winkler : float
        Target units.
    n, n_windows : int
        Observed points, and windows they belong to.
    """

    label: str
    picp: float
    low: float
    high: float
    mean_width: float
    winkler: float
    n: int
    n_windows: int


@dataclass(frozen=True)
class CoverageByGroup:
    """Coverage of each group of a grouping; empty groups are left out."""

    name: str
    groups: tuple[GroupCoverage, ...]


@dataclass(frozen=True)
class WorstGroup:
    """The group farthest from the target, measured in its own uncertainty.

    Attributes
    ----------
    low, high : float
        Interval of its coverage, percent, so wide that those of all groups hold together with the
        probability `CONFIDENCE` (Bonferroni).
    n_looked_at : int
        Groups of all groupings.
    """

    grouping: str
    group: GroupCoverage
    low: float
    high: float
    n_looked_at: int

    def differs_from(self, target: float) -> bool:
        """True if chance among so many groups does not explain its coverage."""
        return not self.low <= target <= self.high


@dataclass(frozen=True, eq=False)
class CoverageGrid:
    """Coverage by two groupings at once, such as local hour and month.

    Attributes
    ----------
    rows, columns : tuple of str
        Labels of the R and C groups, those in which nothing was observed left out.
    picp : ndarray of shape (R, C)
        Percent; NaN where nothing was observed.
    n, n_windows : ndarray of int of shape (R, C)
        Observed points, and windows they belong to.
    """

    row_name: str
    column_name: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    picp: Floats
    n: NDArray[np.integer]
    n_windows: NDArray[np.integer]


@dataclass(frozen=True)
class Share:
    """A share of the observations with its interval, all in percent.

    Attributes
    ----------
    at : float
        Quantile level that they lie below, or lower edge of the bin they lie in; percent.
    """

    at: float
    observed: float
    low: float
    high: float


@dataclass(frozen=True)
class Diagnosis:
    """Calibration of a forecast: coverage, reliability and PIT histogram.

    Attributes
    ----------
    overall : GroupCoverage
        All target times.
    reliability : tuple of Share
        For each level, the observations at or below its quantile.
    pit : tuple of Share
        Of the levels at which the observations lie on their forecasts' curves, in equal bins.
    """

    target: float
    overall: GroupCoverage
    breakdowns: tuple[CoverageByGroup, ...]
    worst: WorstGroup | None
    reliability: tuple[Share, ...]
    pit: tuple[Share, ...]


def diagnose(
    forecast: Forecast, groupings: Sequence[Grouping], *, target: float, seed: int = 0
) -> Diagnosis:
    """Coverage of the target interval by group, reliability of the levels, PIT histogram.

    Parameters
    ----------
    target : float
        Coverage of the interval, percent.
    seed : int
        Of the resampling; the same for every group.
    """
    observed = forecast.observed
    lower, upper = forecast.interval(target)
    is_observed = ~np.isnan(observed)
    if not is_observed.any():
        raise DataError("observed holds no value to diagnose a forecast with")

    def measure(label: str, members: NDArray[np.bool_]) -> GroupCoverage:
        members_observed = np.where(members, observed, np.nan)
        low, high = _coverage_interval(members_observed, lower, upper, seed=seed)
        counted = members & is_observed
        hit = (lower <= observed) & (observed <= upper)
        return GroupCoverage(
            label=label,
            picp=float(100.0 * hit[counted].mean()),
            low=low,
            high=high,
            mean_width=float((upper - lower)[counted].mean()),
            winkler=winkler(members_observed, lower, upper, coverage=target),
            n=int(counted.sum()),
            n_windows=int(counted.any(axis=1).sum()),
        )

    breakdowns = tuple(
        CoverageByGroup(
            grouping.name,
            tuple(
                measure(label, members)
                for i, label in enumerate(grouping.labels)
                if (members := (grouping.members == i) & is_observed).any()
            ),
        )
        for grouping in groupings
    )
    return Diagnosis(
        target=target,
        overall=measure("all", is_observed),
        breakdowns=breakdowns,
        worst=_worst(groupings, breakdowns, observed, lower, upper, target=target, seed=seed),
        reliability=_reliability(forecast, seed=seed),
        pit=_pit(forecast, seed=seed),
    )


def coverage_grid(
    forecast: Forecast, rows: Grouping, columns: Grouping, *, target: float
) -> CoverageGrid:
    """Coverage of the target interval in every pair of groups.

    Parameters
    ----------
    target : float
        Coverage of the interval, percent.
    """
    observed = forecast.observed
    lower, upper = forecast.interval(target)
    hit = (lower <= observed) & (observed <= upper)
    counted = ~np.isnan(observed) & (rows.members >= 0) & (columns.members >= 0)
    n_columns = len(columns.labels)
    cells = rows.members * n_columns + columns.members  # (N, H)

    def count_in(points: NDArray[np.integer]) -> NDArray[np.integer]:
        counts = np.bincount(points, minlength=len(rows.labels) * n_columns)
        return counts.reshape(len(rows.labels), n_columns)

    n, hits = count_in(cells[counted]), count_in(cells[counted & hit])
    in_windows = [np.unique(cells[i, inside]) for i, inside in enumerate(counted)]
    n_windows = count_in(np.concatenate(in_windows))
    seen_rows, seen_columns = n.sum(axis=1) > 0, n.sum(axis=0) > 0
    seen = np.ix_(seen_rows, seen_columns)
    picp = np.divide(100.0 * hits, n, out=np.full(n.shape, np.nan), where=n > 0)
    return CoverageGrid(
        rows.name,
        columns.name,
        _seen_labels(rows, seen_rows),
        _seen_labels(columns, seen_columns),
        picp[seen],
        n[seen],
        n_windows[seen],
    )


def error_quantiles(forecast: Forecast, levels: Sequence[float]) -> Floats:
    """Quantiles (H, L) of the observation minus the median forecast by step, target units.

    A step that was never observed is NaN.
    """
    errors = forecast.observed - forecast.median
    quantiles = np.full((errors.shape[1], len(levels)), np.nan)
    for step, column in enumerate(errors.T):
        known = column[~np.isnan(column)]
        if known.size:
            quantiles[step] = np.quantile(known, levels)
    return quantiles


def windows_by_error(forecast: Forecast) -> tuple[NDArray[np.intp], Floats]:
    """Fully observed windows by the mean absolute error of their median, the easiest first.

    Returns
    -------
    windows : ndarray of shape (M,)
        Their positions; M is at most N.
    errors : ndarray of shape (M,)
        In the same order, target units.
    """
    whole = np.flatnonzero(~np.isnan(forecast.observed).any(axis=1))
    errors = np.abs(forecast.observed - forecast.median)[whole].mean(axis=1)
    order = np.argsort(errors, kind="stable")
    return whole[order], errors[order]


def lead_grouping(n_windows: int, horizon_steps: int) -> Grouping:
    """Target times by how many steps ahead they are."""
    members = np.broadcast_to(np.arange(horizon_steps), (n_windows, horizon_steps))
    return Grouping("lead time", members, tuple(str(step + 1) for step in range(horizon_steps)))


def demand_grouping(forecast: Forecast) -> Grouping:
    """Target times by decile of the median forecast."""
    median = forecast.median
    edges = np.quantile(median, np.arange(1, N_DECILES) / N_DECILES)
    members = np.searchsorted(edges, median, side="right")
    return Grouping("demand decile", members, tuple(str(i + 1) for i in range(N_DECILES)))


def _seen_labels(grouping: Grouping, seen: NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(label for label, is_seen in zip(grouping.labels, seen, strict=True) if is_seen)


def _coverage_interval(
    observed: Floats, lower: Floats, upper: Floats, *, level: float = CONFIDENCE, seed: int
) -> tuple[float, float]:
    return picp_interval(
        observed,
        lower,
        upper,
        level=level,
        n_resamples=N_RESAMPLES,
        rng=np.random.default_rng(seed),
    )


def _worst(
    groupings: Sequence[Grouping],
    breakdowns: Sequence[CoverageByGroup],
    observed: Floats,
    lower: Floats,
    upper: Floats,
    *,
    target: float,
    seed: int,
) -> WorstGroup | None:
    candidates = [
        (grouping, group)
        for grouping, breakdown in zip(groupings, breakdowns, strict=True)
        for group in breakdown.groups
        if group.n_windows >= FEWEST_WINDOWS
    ]
    if not candidates:
        return None

    def distance(candidate: tuple[Grouping, GroupCoverage]) -> float:
        _, group = candidate
        side = group.high - group.picp if group.picp < target else group.picp - group.low
        return abs(group.picp - target) / max(side, 1e-9)

    grouping, group = max(candidates, key=distance)
    n_looked_at = sum(len(breakdown.groups) for breakdown in breakdowns)
    members = grouping.members == grouping.labels.index(group.label)
    low, high = _coverage_interval(
        np.where(members, observed, np.nan),
        lower,
        upper,
        level=1.0 - (1.0 - CONFIDENCE) / n_looked_at,
        seed=seed,
    )
    return WorstGroup(grouping.name, group, low, high, n_looked_at)


def _reliability(forecast: Forecast, *, seed: int) -> tuple[Share, ...]:
    observed = forecast.observed
    shares = []
    for i, level in enumerate(forecast.levels):
        quantile = forecast.quantiles[..., i]
        below = np.fmin(quantile, observed) - 1.0
        shares.append(_share(100.0 * level, observed, below, quantile, seed=seed))
    return tuple(shares)


def _pit(forecast: Forecast, *, seed: int) -> tuple[Share, ...]:
    observed = forecast.observed
    lowest, highest = level_bounds(observed, forecast.quantiles, forecast.levels)
    on_curve = (lowest + highest) / 2.0
    edges = np.linspace(0.0, 1.0, N_BINS + 1)
    shares = []
    for low, high in pairwise(edges):
        last = high if high == 1.0 else np.nextafter(high, 0.0)
        shares.append(
            _share(
                100.0 * low,
                on_curve,
                np.full(observed.shape, low),
                np.full(observed.shape, last),
                seed=seed,
            )
        )
    return tuple(shares)


def _share(at: float, values: Floats, lower: Floats, upper: Floats, *, seed: int) -> Share:
    low, high = _coverage_interval(values, lower, upper, seed=seed)
    inside = ((lower <= values) & (values <= upper))[~np.isnan(values)]
    return Share(at, float(100.0 * inside.mean()), low, high)
