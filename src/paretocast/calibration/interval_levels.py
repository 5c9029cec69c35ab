"""Which two levels make the interval: the second stage of the two-stage strategy, as a replay.

A trained model can be asked for quantiles at levels other than the nominal ones, such as 0.06 and
0.94 in place of 0.1 and 0.9. The forecasts of the whole grid of levels are kept, and any level is
read from their `quantile_curve`, so a candidate costs a count and a product, not a training.

A choice of levels costs its distance from the target coverage in points, plus a tenth of its width
in percent of the width of the nominal interval (`Replay.cost`). As a function of the levels the
coverage is piecewise constant, with a step at the level of every observation, and the width shrinks
as the levels move inwards. Within a step the innermost levels are best, so the optimum lies at the
level of an observation: those levels are all that has to be compared.

Both terms are in percent. The width is relative to the nominal interval, not to the mean demand,
because a series whose mean is near zero has widths all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from paretocast.errors import DataError
from paretocast.metrics.quantile_curve import checked_levels, level_bounds, reading_weights
from paretocast.metrics.scores import central_levels
from paretocast.metrics.uncertainty import picp_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

WIDTH_WEIGHT = 0.1
LOW_BOUNDS, HIGH_BOUNDS = (0.01, 0.25), (0.75, 0.99)
SAFETY = 1e-9  # a level at the very step of an observation is moved outwards by so much
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class LevelCoverage:
    """What stored forecasts say about any two levels.

    Attributes
    ----------
    below, above : ndarray of shape (n,)
        The highest lower level, and the lowest upper level, whose interval holds a point; of all
        observed points, each ascending.
    target : float
        Wanted coverage, percent.
    levels : ndarray of shape (Q,)
        Of the stored forecasts.
    mean_quantiles : ndarray of shape (Q,)
        Mean of the stored forecasts over the observed points, target units.
    nominal_width : float
        Mean width of the interval at the nominal levels of the target, target units.
    """

    below: Floats
    above: Floats
    target: float
    levels: Floats
    mean_quantiles: Floats
    nominal_width: float

    def coverage(self, low: float, high: float) -> float:
        """Coverage, in percent, of the interval between two levels."""
        return 100.0 - float(self.missed_below(low) + self.missed_above(high))

    def width(self, low: float, high: float) -> float:
        """Mean width of the interval between two levels, target units."""
        lower, upper = self.mean_quantiles_at(np.array([low, high]))
        return float(upper - lower)

    def cost(self, low: float, high: float) -> float:
        """What a choice of levels costs, in percent; lower is better."""
        relative = 100.0 * self.width(low, high) / self.nominal_width
        return abs(self.coverage(low, high) - self.target) + WIDTH_WEIGHT * relative

    def missed_below(self, low: float | Floats) -> Floats:
        """Points, in percent of all, below the quantile at a level."""
        missed: Floats = 100.0 * np.searchsorted(self.below, low, side="left") / self.below.size
        return missed

    def missed_above(self, high: float | Floats) -> Floats:
        """Points, in percent of all, above the quantile at a level."""
        n_held = np.searchsorted(self.above, high, side="right")
        missed: Floats = 100.0 * (self.above.size - n_held) / self.above.size
        return missed

    def mean_quantiles_at(self, wanted: Floats) -> Floats:
        """Mean of the quantiles at levels: a curve is linear in what it is drawn through."""
        mean: Floats = self.mean_quantiles @ reading_weights(self.levels, wanted)
        return mean


@dataclass(frozen=True)
class IntervalLevels:
    """Two levels and what they cost where they were fitted.

    Attributes
    ----------
    low, high : float
        Levels of the bounds.
    cost, coverage, width : float
        On the windows of the fit: percent, percent, target units.
    """

    low: float
    high: float
    cost: float
    coverage: float
    width: float


def prepare_replay(
    observed: Floats, forecast: Floats, *, levels: Sequence[float] | Floats, target: float = 80.0
) -> LevelCoverage:
    """What the stored forecasts of a trial say about levels; everything later is a look-up.

    Parameters
    ----------
    observed : ndarray of shape (N, H)
        NaN where missing; left out.
    forecast : ndarray of shape (N, H, Q)
        Sorted along the levels.
    target : float
        Wanted coverage, percent.

    Raises
    ------
    DataError
        If nothing was observed, or the nominal intervals have no width to compare with.
    """
    tau = checked_levels(levels)
    if not 1.0 < target < 100.0:
        raise DataError(f"target coverage is {target}, expected percent between 1 and 100")
    lowest, highest = level_bounds(observed, forecast, tau)
    seen = ~np.isnan(observed)
    if not seen.any():
        raise DataError("observed holds no value to replay")
    mean_quantiles: Floats = forecast[seen].mean(axis=0)
    lower, upper = mean_quantiles @ reading_weights(tau, central_levels(target))
    if not upper > lower:
        raise DataError("the nominal intervals have no width; levels cannot be compared by it")
    return LevelCoverage(
        below=np.sort(highest[seen]),
        above=np.sort(lowest[seen]),
        target=target,
        levels=tau,
        mean_quantiles=mean_quantiles,
        nominal_width=float(upper - lower),
    )


def best_symmetric_levels(
    replay: LevelCoverage, *, low_bounds: tuple[float, float] = LOW_BOUNDS
) -> IntervalLevels:
    """The levels q and 1 - q of least cost, exactly; q lies within the bounds."""
    first, last = low_bounds
    steps = np.concatenate((replay.below, 1.0 - replay.above)) - SAFETY
    lows = np.append(steps[(steps >= first) & (steps <= last)], last)
    missed = replay.missed_below(lows) + replay.missed_above(1.0 - lows)
    costs = _costs(
        replay, missed, replay.mean_quantiles_at(1.0 - lows) - replay.mean_quantiles_at(lows)
    )
    low = float(lows[int(np.argmin(costs))])
    return _described(replay, low, 1.0 - low)


def best_levels(
    replay: LevelCoverage,
    *,
    low_bounds: tuple[float, float] = LOW_BOUNDS,
    high_bounds: tuple[float, float] = HIGH_BOUNDS,
) -> IntervalLevels:
    """The two levels of least cost, exactly; each lies within its bounds.

    Notes
    -----
    An observation below the lower bound is not above the upper one, so the misses of the two sides
    add up, and so do the parts of the width. Every pair of steps is compared, one lower level with
    all upper ones at a time.
    """
    lows = _innermost(replay.below, low_bounds, outwards=-1.0)
    highs = _innermost(replay.above, high_bounds, outwards=1.0)
    missed_below, missed_above = replay.missed_below(lows), replay.missed_above(highs)
    lower, upper = replay.mean_quantiles_at(lows), replay.mean_quantiles_at(highs)
    best, pair = np.inf, (0, 0)
    for i in range(lows.size):
        costs = _costs(replay, missed_below[i] + missed_above, upper - lower[i])
        j = int(np.argmin(costs))
        if costs[j] < best:
            best, pair = float(costs[j]), (i, j)
    return _described(replay, float(lows[pair[0]]), float(highs[pair[1]]))


def calibrated_quantiles(
    chosen: IntervalLevels,
    *,
    fitted: tuple[Floats, Floats],
    judged: tuple[Floats, Floats],
    splits: tuple[str, str],
    levels: Sequence[float] | Floats,
    target: float,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """The content of `calibrated_quantiles.json`, without what names the study.

    Parameters
    ----------
    fitted, judged : tuple of (observed, forecast)
        The windows the levels were chosen on, and others in time order.
    splits : tuple of str
        Names of the two.

    Returns
    -------
    dict
        levels {q_low, q_median, q_high}; picp, picp_interval, coverage_error, mean_width and n on
        the judged windows; the same without interval on the fitted ones (`on_fitted`), and at the
        nominal levels on the judged ones (`nominal`); fitted_on, judged_on. Percent, target units.
    """
    observed, forecast = judged
    lower, upper = _bounds(forecast, levels, chosen.low, chosen.high)
    nominal = _bounds(forecast, levels, *central_levels(target))
    on_fitted = _bounds(fitted[1], levels, chosen.low, chosen.high)
    return {
        "schema_version": SCHEMA_VERSION,
        "target_coverage": target,
        "levels": {"q_low": chosen.low, "q_median": 0.5, "q_high": chosen.high},
        **_measured(observed, lower, upper, target),
        "picp_interval": picp_interval(observed, lower, upper, rng=rng),
        "judged_on": splits[1],
        "fitted_on": splits[0],
        "on_fitted": {**_measured(fitted[0], *on_fitted, target), "cost": chosen.cost},
        "nominal": _measured(observed, *nominal, target),
    }


def _bounds(
    forecast: Floats, levels: Sequence[float] | Floats, low: float, high: float
) -> tuple[Floats, Floats]:
    read = forecast @ reading_weights(levels, [low, high])
    return read[..., 0], read[..., 1]


def _measured(observed: Floats, lower: Floats, upper: Floats, target: float) -> dict[str, float]:
    seen = ~np.isnan(observed)
    inside = ((lower <= observed) & (observed <= upper))[seen]
    coverage = float(100.0 * inside.mean())
    return {
        "picp": coverage,
        "coverage_error": abs(coverage - target),
        "mean_width": float((upper - lower)[seen].mean()),
        "n": int(seen.sum()),
    }


def _innermost(steps: Floats, bounds: tuple[float, float], *, outwards: float) -> Floats:
    """Levels just outside every step within the bounds, and the innermost bound."""
    moved = steps + outwards * SAFETY
    inside = np.unique(moved[(moved >= bounds[0]) & (moved <= bounds[1])])
    return np.append(inside, bounds[1] if outwards < 0.0 else bounds[0])


def _costs(replay: LevelCoverage, missed: Floats, width: Floats) -> Floats:
    off_target = np.abs(100.0 - missed - replay.target)
    costs: Floats = off_target + WIDTH_WEIGHT * 100.0 * width / replay.nominal_width
    return costs


def _described(replay: LevelCoverage, low: float, high: float) -> IntervalLevels:
    return IntervalLevels(
        low=low,
        high=high,
        cost=replay.cost(low, high),
        coverage=replay.coverage(low, high),
        width=replay.width(low, high),
    )
