"""Forecasts with what came of them, drawn from known distributions, that tests share."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from paretocast.metrics.forecast import Forecast

LEVELS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
NORMAL = np.array([NormalDist().inv_cdf(level) for level in LEVELS])


def draw_sample(
    rng: np.random.Generator,
    *,
    n_windows: int = 100,
    horizon_steps: int = 24,
    spread: float = 1.0,
    bias: float = 0.0,
    day_share: float = 0.0,
    levels: tuple[float, ...] = LEVELS,
) -> Forecast:
    """Normal demand, and forecasts that are off by a bias and a factor of the spread.

    The spread of demand differs from hour to hour. `day_share` of the errors' variance is shared
    by the hours of a window.
    """
    shape = (n_windows, horizon_steps)
    scale = 1.0 + 0.5 * np.arange(horizon_steps) / horizon_steps + rng.uniform(size=shape)
    middle = 10.0 + rng.normal(size=shape)
    day, hour = rng.normal(size=(n_windows, 1)), rng.normal(size=shape)
    error = np.sqrt(day_share) * day + np.sqrt(1.0 - day_share) * hour
    quantiles = np.array([NormalDist().inv_cdf(level) for level in levels])
    return Forecast(
        observed=middle + scale * error,
        quantiles=middle[..., None] + bias + spread * scale[..., None] * quantiles,
        levels=levels,
        issues=24 * np.arange(n_windows),
        groups=clock_groups(n_windows, horizon_steps),
    )


def clock_groups(n_windows: int, horizon_steps: int) -> dict[str, NDArray[np.int64]]:
    """Hours of the day and quarters of a year of daily windows."""
    hours = 24 * np.arange(n_windows)[:, None] + np.arange(horizon_steps)
    return {"hour": hours % 24, "season": hours // (24 * 91) % 4}


def coverage(forecast: Forecast, low: float, high: float) -> float:
    """Percent of the observations between two levels of the grid."""
    i, j = (int(np.argmin(np.abs(np.array(forecast.levels) - level))) for level in (low, high))
    lower, upper = forecast.quantiles[..., i], forecast.quantiles[..., j]
    inside = (lower <= forecast.observed) & (forecast.observed <= upper)
    return float(100.0 * inside[~np.isnan(forecast.observed)].mean())
