"""A Gaussian process fitted to a few noisy values."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import check_grad

from paretocast.search.samplers.gaussian_process import _negative_log_likelihood, fit_process

Floats = NDArray[np.float64]


def draw(n: int, *, noise: float, seed: int = 0) -> tuple[Floats, Floats]:
    """Points of four coordinates and a budget; the first two and the budget matter."""
    rng = np.random.default_rng(seed)
    points = np.column_stack([rng.random((n, 4)), -rng.integers(0, 2, n) / 3.0])
    return points, truth(points) + noise * rng.normal(size=n)


def truth(points: Floats) -> Floats:
    wave: Floats = 5.0 + np.sin(3.0 * points[:, 0]) + points[:, 1] - 2.0 * points[:, -1]
    return wave


def at_the_end(n: int = 300) -> Floats:
    return np.column_stack([np.random.default_rng(9).random((n, 4)), np.zeros(n)])


def test_the_gradient_is_that_of_the_likelihood() -> None:
    points, values = draw(20, noise=0.1)
    apart = (points[:, None] - points[None]) ** 2
    log_parameters = 0.3 * np.random.default_rng(1).normal(size=8)

    def part(index: int) -> float:
        wrong: float = check_grad(
            lambda p: _negative_log_likelihood(p, points, values, apart)[0],
            lambda p: _negative_log_likelihood(p, points, values, apart)[1],
            log_parameters + 0.1 * index,
        )
        return wrong

    assert max(part(index) for index in range(3)) < 1e-4


def test_sixty_values_of_either_rung_predict_the_end() -> None:
    ends = at_the_end()
    mean, deviation = fit_process(*draw(60, noise=0.1)).predict(ends)
    errors = mean - truth(ends)
    assert np.sqrt(np.mean(errors**2)) < 0.2 * truth(ends).std()
    assert 0.3 < np.std(errors / deviation) < 2.0


def test_noise_is_not_taken_for_structure() -> None:
    rng = np.random.default_rng(3)
    points = np.column_stack([rng.random((60, 6)), np.zeros(60)])
    mean, _ = fit_process(points, rng.normal(size=60)).predict(
        np.column_stack([rng.random((200, 6)), np.zeros(200)])
    )
    assert mean.std() < 0.4


def test_values_in_other_units_are_predicted_in_those() -> None:
    points, values = draw(25, noise=0.05)
    ends = at_the_end(20)
    mean, deviation = fit_process(points, values).predict(ends)
    moved, wider = fit_process(points, 1e-3 * values + 7.0).predict(ends)
    np.testing.assert_allclose(moved, 1e-3 * mean + 7.0, rtol=1e-6)
    np.testing.assert_allclose(wider, 1e-3 * deviation, rtol=1e-4)


def test_what_is_added_draws_the_mean_and_narrows_the_spread_there() -> None:
    process = fit_process(*draw(15, noise=0.1))
    there = at_the_end(1)
    mean, deviation = process.predict(there)
    told = process.conditioned_on(there, mean + 1.0)
    told_mean, told_deviation = told.predict(there)
    assert mean < told_mean < mean + 1.0
    assert told_deviation < deviation
    same, _ = process.conditioned_on(there, mean).predict(at_the_end(50))
    np.testing.assert_allclose(same, process.predict(at_the_end(50))[0], atol=1e-6)


def test_equal_values_at_equal_points_are_no_difficulty() -> None:
    points = np.zeros((6, 3))
    # The standard deviation of three times 0.1 is not 0, but 1e-17.
    mean, deviation = fit_process(points, np.full(6, 0.1)).predict(points[:1])
    assert mean[0] == pytest.approx(0.1)
    assert np.isfinite(deviation[0])
