"""Scores of a trial on the tune split, of one series or of many that share a network.

Of many series a score is the mean over them, of errors in units of those of the ridge on the same
hours: series of all sizes count alike. What is in percent or has no unit is averaged as it is.
Forecasts of many series stand one after the other, (S · N, H, Q), each in the units of its target.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from paretocast.metrics.score_table import CALIBRATED_SCORES, SCORES, TARGET
from paretocast.metrics.scores import interval
from paretocast.metrics.uncertainty import picp_interval
from paretocast.models.baselines.catalogue import try_baselines
from paretocast.training import scoring
from paretocast.training.pooling import PooledSetup

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from paretocast.training.pooling import AnySetup

    Floats = NDArray[np.float64]

Number = TypeVar("Number", bound=np.floating[Any])
COUNT = "n"


def split_series(setup: AnySetup, forecast: NDArray[Number]) -> list[NDArray[Number]]:
    """The forecasts of each series, (N, H, Q)."""
    return np.split(forecast, len(setup.series))


def score_on_tune(
    setup: AnySetup, forecast: Floats, *, seed: int
) -> tuple[dict[str, float], tuple[float, float]]:
    """Scores of a forecast on the tune split, and the 95 % interval of its coverage in percent.

    The interval of many series rests on the days that they have in common.
    """
    if not isinstance(setup, PooledSetup):
        return scoring.score_on_tune(setup, forecast, seed=seed)
    parts = split_series(setup, forecast)
    by_series = scores_by_series(setup, forecast, seed=seed)
    scores = {name: float(value) for name, value in _mean(setup, list(by_series.values())).items()}
    scores[COUNT] = sum(own[COUNT] for own in by_series.values())
    bounds = [
        interval(part, view.task.shape.levels, view.target_coverage)
        for part, view in zip(parts, setup.series, strict=True)
    ]
    covered = picp_interval(
        np.hstack([view.task.observed("tune") for view in setup.series]),
        np.hstack([lower for lower, _ in bounds]),
        np.hstack([upper for _, upper in bounds]),
        rng=np.random.default_rng(seed),
    )
    return scores, covered


def scores_by_series(
    setup: PooledSetup, forecast: Floats, *, seed: int
) -> dict[str, dict[str, float]]:
    """Scores of a forecast on the tune split by series, each in units of its target."""
    parts = split_series(setup, forecast)
    return {
        name: scoring.score_on_tune(view, part, seed=seed)[0]
        for name, view, part in zip(setup.names, setup.series, parts, strict=True)
    }


def draw_on_tune(setup: AnySetup, stored: NDArray[np.float32]) -> dict[str, Floats]:
    """Scores of a stored forecast on resampled days of the tune split, see `draw_scores`.

    The days are the same for every trial and for every series. Empty if a series has too few.
    """
    if not isinstance(setup, PooledSetup):
        return scoring.draw_on_tune(setup, stored)
    parts = split_series(setup, stored)
    draws = [
        scoring.draw_on_tune(view, part) for view, part in zip(setup.series, parts, strict=True)
    ]
    return _mean(setup, draws) if all(draws) else {}


def score_simple(setup: AnySetup) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    """Scores of the simple methods on the tune split, and by name why another one has none."""
    if isinstance(setup, PooledSetup):
        by_series, reasons = setup.simple.by_series, setup.simple.reasons
    else:
        forecasts, reasons = try_baselines(setup.task, "tune")
        by_series = [forecasts]
    names = [name for name in by_series[0] if all(name in own for own in by_series)]
    scores = {
        name: score_on_tune(setup, np.concatenate([own[name] for own in by_series]), seed=0)[0]
        for name in names
    }
    return scores, reasons


def _mean(
    setup: PooledSetup, by_series: Sequence[Mapping[str, float | Floats]]
) -> dict[str, Floats]:
    """The mean of each score over series, errors over those of the reference."""
    references = setup.simple.reference_scores
    return {
        name: np.mean(
            [
                np.asarray(own[name]) / _size(name, reference)
                for own, reference in zip(by_series, references, strict=True)
            ],
            axis=0,
        )
        for name in by_series[0]
        if name != COUNT
    }


def _size(name: str, reference: Mapping[str, float]) -> float:
    """What a score of a series is divided by; NaN for an error that the reference does not make."""
    if SCORES[CALIBRATED_SCORES.get(name, name)].unit != TARGET:
        return 1.0
    return reference[name] if reference[name] > 0.0 else float("nan")
