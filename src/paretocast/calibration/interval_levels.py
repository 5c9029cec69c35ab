"""Optimal levels of an interval: the second stage of the two-stage strategy.

A trained model can be asked for quantiles at levels other than the nominal ones, such as 0.06 and
0.94 in place of 0.1 and 0.9. Forecasts of the whole grid of levels are stored, and any level is
read from their quantile curve, so two levels cost a count and a product instead of a training.

A pair of levels costs its distance from the target coverage in points, plus a tenth of its width
in percent of the width of the nominal interval (`LevelCoverage.cost`). As a function of levels the
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
from paretocast.metrics.quantile_curve import level_bounds, reading_weights
from paretocast.metrics.scores import central_levels
from paretocast.metrics.uncertainty import picp_interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from paretocast.metrics.forecast import Forecast

    Floats = NDArray[np.float64]

WIDTH_WEIGHT = 0.1
LOW_BOUNDS, HIGH_BOUNDS = (0.01, 0.25), (0.75, 0.99)
SAFETY = 1e-9  # a level at the very step of an observation is moved outwards by so much
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class LevelCoverage:
    """Coverage, width and cost of the interval between any two levels of a stored forecast.

    Attributes
    ----------
    below, above : ndarray of shape (n,)
        The highest lower level, and the lowest upper level, whose interval holds a point; of all
        observed points, each ascending.
    target : float
        Coverage to reach, percent.
    levels : tuple of float
        Of the stored forecasts.
    mean_quantiles : ndarray of shape (Q,)
        Mean of the stored forecasts over the observed points, target units.
    nominal_width : float
        Mean width of the interval at the nominal levels of the target, target units.
    """

    below: Floats
    above: Floats
    target: float
    levels: tuple[float, ...]
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
        """Cost of the interval between two levels, in percent; lower is better."""
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

    def mean_quantiles_at(self, levels: Floats) -> Floats:
        """Mean of the quantiles at levels: a curve is linear in what it is drawn through."""
        mean: Floats = self.mean_quantiles @ reading_weights(self.levels, levels)
        return mean


@dataclass(frozen=True)
class IntervalLevels:
    """Two levels of an interval, with their cost on the windows of the fit.

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


def measure_levels(forecast: Forecast, *, target: float = 80.0) -> LevelCoverage:
    """Coverage and width of a forecast at all levels; everything later is a look-up.

    Parameters
    ----------
    target : float
        Coverage to reach, percent.

    Raises
    ------
    DataError
        If nothing was observed, or the nominal intervals have no width to compare with.
    """
    if not 1.0 < target < 100.0:
        raise DataError(f"target coverage is {target}, expected percent between 1 and 100")
    lowest, highest = level_bounds(forecast.observed, forecast.quantiles, forecast.levels)
    there = ~np.isnan(forecast.observed)
    if not there.any():
        raise DataError("observed holds no value to replay")
    mean_quantiles: Floats = forecast.quantiles[there].mean(axis=0)
    lower, upper = mean_quantiles @ reading_weights(forecast.levels, central_levels(target))
    if not upper > lower:
        raise DataError("the nominal intervals have no width; levels cannot be compared by it")
    return LevelCoverage(
        below=np.sort(highest[there]),
        above=np.sort(lowest[there]),
        target=target,
        levels=forecast.levels,
        mean_quantiles=mean_quantiles,
        nominal_width=float(upper - lower),
    )


def best_symmetric_levels(
    measured: LevelCoverage, *, low_bounds: tuple[float, float] = LOW_BOUNDS
) -> IntervalLevels:
    """The levels q and 1 - q of least cost, exactly; q lies within the bounds."""
    first, last = low_bounds
    steps = np.concatenate((measured.below, 1.0 - measured.above)) - SAFETY
    lows = np.append(steps[(steps >= first) & (steps <= last)], last)
    missed = measured.missed_below(lows) + measured.missed_above(1.0 - lows)
    costs = _costs(
        measured, missed, measured.mean_quantiles_at(1.0 - lows) - measured.mean_quantiles_at(lows)
    )
    low = float(lows[int(np.argmin(costs))])
    return _interval_levels(measured, low, 1.0 - low)


def best_levels(
    measured: LevelCoverage,
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
    lows = _innermost(measured.below, low_bounds, outwards=-1.0)
    highs = _innermost(measured.above, high_bounds, outwards=1.0)
    missed_below, missed_above = measured.missed_below(lows), measured.missed_above(highs)
    lower, upper = measured.mean_quantiles_at(lows), measured.mean_quantiles_at(highs)
    best, pair = np.inf, (0, 0)
    for i in range(lows.size):
        costs = _costs(measured, missed_below[i] + missed_above, upper - lower[i])
        j = int(np.argmin(costs))
        if costs[j] < best:
            best, pair = float(costs[j]), (i, j)
    return _interval_levels(measured, float(lows[pair[0]]), float(highs[pair[1]]))


def calibrated_quantiles(
    levels: IntervalLevels,
    *,
    fitted: Forecast,
    scored: Forecast,
    splits: tuple[str, str],
    target: float,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """The content of `calibrated_quantiles.json`, without what names the study.

    Parameters
    ----------
    fitted, scored : Forecast
        Of the windows the levels were fitted on, and of others.
    splits : tuple of str
        Names of the two.

    Returns
    -------
    dict
        levels {q_low, q_median, q_high}; picp, picp_interval, coverage_error, mean_width and n on
        the scored windows; the same without interval on the fitted ones (`on_fitted`), and at the
        nominal levels on the scored ones (`nominal`); fitted_on, judged_on. Percent, target units.
    """
    lower, upper = scored.bounds(levels.low, levels.high)
    on_fitted = fitted.bounds(levels.low, levels.high)
    return {
        "schema_version": SCHEMA_VERSION,
        "target_coverage": target,
        "levels": {"q_low": levels.low, "q_median": 0.5, "q_high": levels.high},
        **_scores(scored.observed, lower, upper, target),
        "picp_interval": picp_interval(scored.observed, lower, upper, rng=rng),
        "judged_on": splits[1],
        "fitted_on": splits[0],
        "on_fitted": {**_scores(fitted.observed, *on_fitted, target), "cost": levels.cost},
        "nominal": _scores(scored.observed, *scored.interval(target), target),
    }


def _scores(observed: Floats, lower: Floats, upper: Floats, target: float) -> dict[str, float]:
    there = ~np.isnan(observed)
    inside = ((lower <= observed) & (observed <= upper))[there]
    coverage = float(100.0 * inside.mean())
    return {
        "picp": coverage,
        "coverage_error": abs(coverage - target),
        "mean_width": float((upper - lower)[there].mean()),
        "n": int(there.sum()),
    }


def _innermost(steps: Floats, bounds: tuple[float, float], *, outwards: float) -> Floats:
    """Levels just outside every step within the bounds, and the innermost bound."""
    moved = steps + outwards * SAFETY
    inside = np.unique(moved[(moved >= bounds[0]) & (moved <= bounds[1])])
    return np.append(inside, bounds[1] if outwards < 0.0 else bounds[0])


def _costs(measured: LevelCoverage, missed: Floats, width: Floats) -> Floats:
    off_target = np.abs(100.0 - missed - measured.target)
    costs: Floats = off_target + WIDTH_WEIGHT * 100.0 * width / measured.nominal_width
    return costs


def _interval_levels(measured: LevelCoverage, low: float, high: float) -> IntervalLevels:
    return IntervalLevels(
        low=low,
        high=high,
        cost=measured.cost(low, high),
        coverage=measured.coverage(low, high),
        width=measured.width(low, high),
    )
