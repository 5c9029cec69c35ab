"""Scores of a forecast on the tune split, plain and calibrated."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from paretocast.calibration import cross_fitted
from paretocast.errors import DataError
from paretocast.metrics.forecast import Forecast
from paretocast.metrics.resampling import N_RESAMPLES, draw_scores
from paretocast.metrics.score_table import CALIBRATED_SCORES, score_forecast
from paretocast.metrics.scores import interval
from paretocast.metrics.uncertainty import picp_interval

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from paretocast.training.setup import TrainingSetup

# A score, or its values on resampled days.
Scored = TypeVar("Scored", float, "NDArray[np.float64]")


def score_on_tune(
    setup: TrainingSetup, forecast: NDArray[np.float64], *, seed: int
) -> tuple[dict[str, float], tuple[float, float]]:
    """Scores of a forecast on the tune split, and the 95 % interval of its coverage in percent."""
    observed, levels = setup.task.observed("tune"), setup.task.shape.levels

    def score(quantiles: NDArray[np.float64]) -> dict[str, float]:
        return score_forecast(
            observed,
            quantiles,
            levels=levels,
            coverage=setup.target_coverage,
            seasonal_scale=setup.mase_scale,
        )

    lower, upper = interval(forecast, levels, setup.target_coverage)
    coverage_interval = picp_interval(observed, lower, upper, rng=np.random.default_rng(seed))
    return _with_calibrated(setup, forecast, score, missing=float("nan")), coverage_interval


def draw_on_tune(
    setup: TrainingSetup, stored: NDArray[np.float32]
) -> dict[str, NDArray[np.float64]]:
    """Scores of a stored forecast on resampled days of the tune split, see `draw_scores`.

    The days are the same for every trial of a task, so that trials are compared in pairs.
    """

    def draw(quantiles: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        return draw_scores(
            setup.task.observed("tune"),
            quantiles,
            levels=setup.task.shape.levels,
            coverage=setup.target_coverage,
            seasonal_scale=setup.mase_scale,
            rng=np.random.default_rng(0),
        )

    forecast = stored.astype(np.float64)
    return _with_calibrated(setup, forecast, draw, missing=np.full(N_RESAMPLES, np.nan))


def _with_calibrated(
    setup: TrainingSetup,
    forecast: NDArray[np.float64],
    score: Callable[[NDArray[np.float64]], dict[str, Scored]],
    *,
    missing: Scored,
) -> dict[str, Scored]:
    """Scores of a forecast, and those of it calibrated (`CALIBRATED_SCORES`) beside them.

    Each half of the weeks is calibrated by the other; `missing` where a half holds no observation.
    """
    plain = score(forecast)
    if not plain:
        return plain
    try:
        tune = Forecast(forecast, setup.task.shape.levels, setup.task.observed("tune"))
        calibrated = score(cross_fitted(tune).quantiles)
    except DataError:
        calibrated = dict.fromkeys(plain, missing)
    return plain | {name: calibrated[raw] for name, raw in CALIBRATED_SCORES.items()}
