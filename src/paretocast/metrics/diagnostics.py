"""Where a forecast keeps its promise and where it does not.

A *grouping* divides target times by something known when a forecast is issued: the step ahead, the
local hour, the size of the forecast itself. A *slab* is one group of a grouping. Coverages are in
percent and come with intervals from resampled windows, as in `stats.picp_interval`; widths are in
target units.

Slabs are not made from the observations: of the days with the highest demand too many would lie
above their interval however good the forecast, because that is how they were found.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from paretocast.errors import DataError
from paretocast.metrics.quantile_curve import level_bounds, quantiles_at
from paretocast.metrics.scores import winkler
from paretocast.metrics.uncertainty import picp_interval, probability_within

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from paretocast.metrics.forecast import Forecast

    Floats = NDArray[np.float64]

CONFIDENCE = 0.95
N_RESAMPLES = 1000
N_BINS = 10  # of the PIT histogram
N_DECILES = 10
FEWEST_WINDOWS = 5  # a slab of fewer is listed and is not the worst


@dataclass(frozen=True)
class Grouping:
    """Target times divided into slabs.

    Attributes
    ----------
    name : str
        What divides them, such as "local hour".
    members : ndarray of int of shape (N, H)
        Index of the slab of each target time; -1 for none.
    labels : tuple of str
        Of the slabs, in the order in which they are shown.
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
    """A grouping with what was measured in each of its slabs; empty slabs are left out."""

    name: str
    slabs: tuple[GroupCoverage, ...]


@dataclass(frozen=True)
class WorstGroup:
    """The slab farthest from the target, measured in its own uncertainty.

    Attributes
    ----------
    low, high : float
        Interval of its coverage, percent, so wide that those of all slabs looked at hold together
        with the probability `CONFIDENCE` (Bonferroni).
    n_looked_at : int
        Slabs of all groupings.
    """

    grouping: str
    slab: GroupCoverage
    low: float
    high: float
    n_looked_at: int

    def differs_from(self, target: float) -> bool:
        """Whether chance among so many slabs does not explain its coverage."""
        return not self.low <= target <= self.high


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
    """What can be said about the honesty of a forecast.

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
    """Coverage of the target interval by slab, reliability of the levels, PIT histogram.

    Parameters
    ----------
    target : float
        Coverage of the interval, percent.
    seed : int
        Of the resampling; the same for every slab.
    """
    observed = forecast.observed
    lower, upper = forecast.interval(target)
    seen = ~np.isnan(observed)
    if not seen.any():
        raise DataError("observed holds no value to diagnose a forecast with")
    everything = np.zeros(observed.shape, dtype=np.int64)

    def slab(label: str, inside: NDArray[np.bool_]) -> GroupCoverage:
        own = np.where(inside, observed, np.nan)
        low, high = _coverage_interval(own, lower, upper, level=CONFIDENCE, seed=seed)
        kept = inside & seen
        hit = (lower <= observed) & (observed <= upper)
        return GroupCoverage(
            label=label,
            picp=float(100.0 * hit[kept].mean()),
            low=low,
            high=high,
            mean_width=float((upper - lower)[kept].mean()),
            winkler=winkler(own, lower, upper, coverage=target),
            n=int(kept.sum()),
            n_windows=int(kept.any(axis=1).sum()),
        )

    breakdowns = tuple(
        CoverageByGroup(
            grouping.name,
            tuple(
                slab(label, inside)
                for i, label in enumerate(grouping.labels)
                if (inside := (grouping.members == i) & seen).any()
            ),
        )
        for grouping in groupings
    )
    return Diagnosis(
        target=target,
        overall=slab("all", everything == 0),
        breakdowns=breakdowns,
        worst=_worst(groupings, breakdowns, observed, lower, upper, target=target, seed=seed),
        reliability=_reliability(forecast, seed=seed),
        pit=_pit(forecast, seed=seed),
    )


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


def coverage_probability(
    observed: Floats,
    forecast: Floats,
    *,
    levels: Sequence[float],
    target: float,
    tolerance: float,
    rng: np.random.Generator,
) -> float:
    """Confidence, unitless, that the interval covers within `tolerance` points of the target.

    Examples
    --------
    Eight of ten hours are covered on every one of 200 days.

    >>> observed = np.tile(np.repeat([0.0, 9.0], [8, 2]), (200, 1))
    >>> forecast = np.broadcast_to(np.array([-1.0, 0.0, 1.0]), (200, 10, 3))
    >>> sure = coverage_probability(
    ...     observed,
    ...     forecast,
    ...     levels=(0.1, 0.5, 0.9),
    ...     target=80.0,
    ...     tolerance=5.0,
    ...     rng=np.random.default_rng(0),
    ... )
    >>> sure > 0.9
    True
    """
    lower, upper = _interval(forecast, levels, target)
    low, high = max(0.0, target - tolerance), min(100.0, target + tolerance)
    return probability_within(observed, lower, upper, low=low, high=high, rng=rng)


def _interval(forecast: Floats, levels: Sequence[float], target: float) -> tuple[Floats, Floats]:
    tail = (1.0 - target / 100.0) / 2.0
    bounds = quantiles_at(forecast, levels, [tail, 1.0 - tail])
    return bounds[..., 0], bounds[..., 1]


def _coverage_interval(
    observed: Floats, lower: Floats, upper: Floats, *, level: float, seed: int
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
        (grouping, slab)
        for grouping, breakdown in zip(groupings, breakdowns, strict=True)
        for slab in breakdown.slabs
        if slab.n_windows >= FEWEST_WINDOWS
    ]
    if not candidates:
        return None

    def distance(candidate: tuple[Grouping, GroupCoverage]) -> float:
        slab = candidate[1]
        side = slab.high - slab.picp if slab.picp < target else slab.picp - slab.low
        return abs(slab.picp - target) / max(side, 1e-9)

    grouping, slab = max(candidates, key=distance)
    n_looked_at = sum(len(breakdown.slabs) for breakdown in breakdowns)
    inside = grouping.members == grouping.labels.index(slab.label)
    low, high = _coverage_interval(
        np.where(inside, observed, np.nan),
        lower,
        upper,
        level=1.0 - (1.0 - CONFIDENCE) / n_looked_at,
        seed=seed,
    )
    return WorstGroup(grouping.name, slab, low, high, n_looked_at)


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
    low, high = _coverage_interval(values, lower, upper, level=CONFIDENCE, seed=seed)
    inside = ((lower <= values) & (values <= upper))[~np.isnan(values)]
    return Share(at, float(100.0 * inside.mean()), low, high)
