from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from paretocast.errors import DataError
from paretocast.metrics.quantile_curve import level_bounds, quantiles_at
from paretocast.metrics.scores import quantile_at

LEVELS = (0.05, 0.1, 0.3, 0.5, 0.8, 0.95)
curves = arrays(np.float64, (1, 1, len(LEVELS)), elements=st.integers(-20, 20).map(float)).map(
    lambda forecast: np.sort(forecast, axis=-1)
)


@settings(deadline=None)
@given(curves, st.floats(0.05, 0.95))
def test_between_the_levels_the_curve_is_that_of_the_scores(
    forecast: NDArray[np.float64], level: float
) -> None:
    assert quantiles_at(forecast, LEVELS, [level])[..., 0] == pytest.approx(
        quantile_at(forecast, LEVELS, level)
    )


@settings(deadline=None)
@given(curves)
def test_a_curve_never_descends(forecast: NDArray[np.float64]) -> None:
    read = quantiles_at(forecast, LEVELS, np.linspace(0.001, 0.999, 200))
    assert (np.diff(read, axis=-1) >= -1e-9).all()


@settings(deadline=None)
@given(curves, st.floats(-40.0, 40.0))
def test_the_level_of_a_value_is_read_back_as_the_value(
    forecast: NDArray[np.float64], value: float
) -> None:
    lowest, highest = level_bounds(np.array([[value]]), forecast, LEVELS)
    assert (lowest <= highest).all()
    for level in (lowest, highest):
        if 1e-6 < level[0, 0] < 1.0 - 1e-6:
            read = quantiles_at(forecast, LEVELS, [level[0, 0]])
            assert read[0, 0, 0] == pytest.approx(value, abs=1e-6)


@settings(deadline=None)
@given(curves, st.floats(-40.0, 40.0), st.floats(0.01, 0.99))
def test_the_two_levels_say_when_a_bound_holds_a_value(
    forecast: NDArray[np.float64], value: float, level: float
) -> None:
    lowest, highest = level_bounds(np.array([[value]]), forecast, LEVELS)
    bound = quantiles_at(forecast, LEVELS, [level])[0, 0, 0]
    if abs(level - lowest[0, 0]) > 1e-6:
        assert (value <= bound + 1e-9) == (lowest[0, 0] <= level)
    if abs(level - highest[0, 0]) > 1e-6:
        assert (value >= bound - 1e-9) == (highest[0, 0] >= level)


def test_a_tail_holds_the_value_that_a_logistic_distribution_has_there() -> None:
    levels = np.array([0.05, 0.1, 0.5, 0.9, 0.95])
    logistic = np.log(levels / (1.0 - levels))[None, None, :]
    read = quantiles_at(logistic, levels, [0.001, 0.99])[0, 0]
    assert read.tolist() == pytest.approx([np.log(0.001 / 0.999), np.log(99.0)])


def test_the_tails_of_a_normal_distribution_are_overestimated_by_an_eighth_at_one_percent() -> None:
    levels = np.array([0.05, 0.5, 0.95])
    normal = np.array([NormalDist().inv_cdf(level) for level in levels])[None, None, :]
    read = quantiles_at(normal, levels, [0.01])[0, 0, 0]
    assert read / NormalDist().inv_cdf(0.01) == pytest.approx(1.1, abs=0.03)


def test_quantiles_that_coincide_give_a_value_beyond_them_the_level_0_or_1() -> None:
    flat = np.full((1, 3, 3), 2.0)
    lowest, highest = level_bounds(np.array([[1.0, 2.0, 3.0]]), flat, [0.1, 0.5, 0.9])
    assert lowest.tolist() == [[0.0, 0.0, 1.0]]
    assert highest.tolist() == [[0.0, 1.0, 1.0]]


def test_a_missing_value_has_no_level() -> None:
    lowest, highest = level_bounds(np.array([[np.nan]]), np.zeros((1, 1, 2)), [0.1, 0.9])
    assert np.isnan(lowest).all()
    assert np.isnan(highest).all()


@pytest.mark.parametrize("levels", [[0.5], [0.5, 0.5], [0.9, 0.1], [0.0, 0.5]])
def test_levels_that_are_no_grid_are_refused(levels: list[float]) -> None:
    with pytest.raises(DataError, match="strictly ascend inside"):
        quantiles_at(np.zeros((1, 1, len(levels))), levels, [0.5])


def test_a_level_outside_the_unit_interval_is_refused() -> None:
    with pytest.raises(DataError, match="strictly inside"):
        quantiles_at(np.zeros((1, 1, 2)), [0.1, 0.9], [1.0])
