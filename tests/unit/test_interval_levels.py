"""The search for interval levels: exact, against a slow twin and against the arrays themselves."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stage2_replay import search_levels

from paretocast.calibration.interval_levels import (
    HIGH_BOUNDS,
    LOW_BOUNDS,
    best_levels,
    best_symmetric_levels,
    calibrated_quantiles,
    measure_levels,
)
from paretocast.errors import DataError
from paretocast.metrics.forecast import Forecast
from paretocast.metrics.scores import mean_width, picp
from samples import LEVELS, coverage, draw_sample

seeds = st.integers(0, 10_000)


@settings(max_examples=25, deadline=None)
@given(seeds, st.floats(0.01, 0.4), st.floats(0.6, 0.99))
def test_coverage_and_width_are_those_of_the_arrays(seed: int, low: float, high: float) -> None:
    sample = draw_sample(np.random.default_rng(seed), n_windows=6, spread=0.7)
    sample.observed[0, :3] = np.nan
    measured = measure_levels(sample)
    lower, upper = sample.bounds(low, high)
    there = ~np.isnan(sample.observed)
    assert measured.coverage(low, high) == pytest.approx(picp(sample.observed, lower, upper))
    assert measured.width(low, high) == pytest.approx(mean_width(lower[there], upper[there]))


@settings(max_examples=8, deadline=None)
@given(seeds, st.sampled_from([0.4, 1.0, 2.0]), st.sampled_from([60.0, 80.0, 90.0]))
def test_no_symmetric_level_of_a_fine_grid_costs_less(
    seed: int, spread: float, target: float
) -> None:
    sample = draw_sample(np.random.default_rng(seed), n_windows=5, spread=spread)
    measured = measure_levels(sample, target=target)
    best = best_symmetric_levels(measured)
    grid = np.linspace(*LOW_BOUNDS, 301)
    assert best.cost <= min(measured.cost(low, 1.0 - low) for low in grid) + 1e-6
    assert LOW_BOUNDS[0] <= best.low <= LOW_BOUNDS[1]
    assert best.high == 1.0 - best.low


@settings(max_examples=5, deadline=None)
@given(seeds, st.sampled_from([0.4, 1.0, 2.0]))
def test_no_pair_of_levels_of_a_fine_grid_costs_less(seed: int, spread: float) -> None:
    sample = draw_sample(np.random.default_rng(seed), n_windows=3, spread=spread, bias=0.5)
    measured = measure_levels(sample)
    best = best_levels(measured)
    lows, highs = np.linspace(*LOW_BOUNDS, 21), np.linspace(*HIGH_BOUNDS, 21)
    assert best.cost <= min(measured.cost(a, b) for a in lows for b in highs) + 1e-6
    assert best.cost <= best_symmetric_levels(measured).cost + 1e-6


@pytest.mark.parametrize("symmetric", [True, False])
def test_optuna_on_the_same_arrays_finds_nothing_better(*, symmetric: bool) -> None:
    sample = draw_sample(np.random.default_rng(1), n_windows=50, spread=0.7, bias=0.3)
    measured = measure_levels(sample)
    best = best_symmetric_levels(measured) if symmetric else best_levels(measured)
    found = search_levels(measured, n_trials=60, seed=1, symmetric=symmetric)
    assert best.cost <= found.cost + 1e-6
    assert found.cost == pytest.approx(measured.cost(found.low, found.high))


def test_the_cost_is_the_error_in_points_and_a_tenth_of_the_relative_width() -> None:
    # Quantiles -4, 0, 4 of 0.1, 0.5, 0.9; three of four observations lie inside.
    observed = np.array([[-5.0, -1.0, 1.0, 3.0]])
    quantiles = np.broadcast_to([-4.0, 0.0, 4.0], (1, 4, 3))
    measured = measure_levels(Forecast(quantiles, (0.1, 0.5, 0.9), observed))
    assert measured.cost(0.1, 0.9) == pytest.approx(5.0 + 0.1 * 100.0)
    assert measured.cost(0.3, 0.7) == pytest.approx(30.0 + 0.1 * 50.0)


def test_levels_move_outwards_where_the_forecast_is_too_narrow() -> None:
    sample = draw_sample(np.random.default_rng(2), n_windows=60, spread=0.75)
    measured = measure_levels(sample)
    best = best_symmetric_levels(measured)
    assert 0.01 < best.low < 0.08
    assert best.coverage == pytest.approx(80.0, abs=0.1)


def test_free_levels_go_where_the_bias_is() -> None:
    sample = draw_sample(np.random.default_rng(3), n_windows=60, bias=0.8)
    measured = measure_levels(sample)
    best = best_levels(measured)
    assert best.low < 0.06
    assert best.high < 0.87
    assert best.width < best_symmetric_levels(measured).width


def test_quantiles_that_coincide_are_measured_too() -> None:
    sample = draw_sample(np.random.default_rng(4), n_windows=10)
    rounded = Forecast(np.round(sample.quantiles), LEVELS, np.round(sample.observed))
    measured = measure_levels(rounded)
    for low in (0.02, 0.1, 0.17):
        direct = picp(rounded.observed, *rounded.bounds(low, 1.0 - low))
        assert measured.coverage(low, 1.0 - low) == pytest.approx(direct, abs=0.5)
    assert best_symmetric_levels(measured).cost <= measured.cost(0.1, 0.9) + 1e-6


def test_forecasts_without_width_cannot_be_compared_by_it() -> None:
    with pytest.raises(DataError, match="no width"):
        measure_levels(Forecast(np.ones((2, 3, 11)), LEVELS, np.zeros((2, 3))))


def test_nothing_observed_is_an_error() -> None:
    with pytest.raises(DataError, match="no value to replay"):
        measure_levels(Forecast(np.ones((2, 3, 11)), LEVELS))


def test_the_file_says_what_it_was_fitted_and_judged_on() -> None:
    rng = np.random.default_rng(5)
    fit, later = (draw_sample(rng, n_windows=80, spread=0.7) for _ in range(2))
    chosen = best_symmetric_levels(measure_levels(fit))
    content = calibrated_quantiles(
        chosen,
        fitted=fit,
        scored=later,
        splits=("tune", "calibrate"),
        target=80.0,
        rng=np.random.default_rng(0),
    )
    stored = json.loads(json.dumps(content, allow_nan=False))
    assert (stored["fitted_on"], stored["judged_on"]) == ("tune", "calibrate")
    assert stored["levels"] == {"q_low": chosen.low, "q_median": 0.5, "q_high": chosen.high}
    assert stored["on_fitted"]["picp"] == pytest.approx(chosen.coverage)
    assert stored["on_fitted"]["mean_width"] == pytest.approx(chosen.width)
    low, high = stored["picp_interval"]
    assert low < stored["picp"] < high
    assert stored["coverage_error"] == pytest.approx(abs(stored["picp"] - 80.0))
    assert stored["nominal"]["picp"] == pytest.approx(coverage(later, 0.1, 0.9))
    assert stored["nominal"]["picp"] < stored["picp"]
