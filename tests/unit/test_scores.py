"""Scores against hand-worked answers, slow twins and other people's implementations."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import integrate
from scipy import stats as scipy_stats
from sklearn import metrics
from utilsforecast import losses

from paretocast.errors import DataError, SettingsError
from paretocast.metrics import score_table, scores

if TYPE_CHECKING:
    from collections.abc import Callable

Floats = NDArray[np.float64]
GRID = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95]
METRICS = {
    *("mae", "rmse", "mape", "mase", "r2", "pinball", "crps"),
    *("picp", "mean_width", "winkler", "coverage_error", "n"),
}
POINT_SCORES = [scores.mae, scores.rmse, scores.mape, scores.r2]
numbers = st.floats(-100, 100).map(lambda x: round(x, 3))


def drawn(
    seed: int = 0, n: int = 30, steps: int = 24, *, missing: float = 0.0
) -> tuple[Floats, Floats]:
    """Observations and a forecast on GRID that is neither calibrated nor symmetric."""
    rng = np.random.default_rng(seed)
    forecast = np.sort(rng.gamma(3.0, 2.0, size=(n, steps, len(GRID))), axis=-1)
    observed = rng.gamma(4.0, 2.0, size=(n, steps))
    observed[rng.random(observed.shape) < missing] = np.nan
    return observed, forecast


def as_frame(observed: Floats, columns: dict[str, Floats]) -> pd.DataFrame:
    flat = {name: values.ravel() for name, values in columns.items()}
    return pd.DataFrame(
        {"unique_id": "s", "ds": np.arange(observed.size), "y": observed.ravel()} | flat
    )


def test_point_scores_agree_with_scikit_learn() -> None:
    observed, forecast = drawn(missing=0.2)
    point = forecast[..., 5]
    seen = ~np.isnan(observed)
    y, f = observed[seen], point[seen]
    assert scores.mae(observed, point) == pytest.approx(metrics.mean_absolute_error(y, f))
    assert scores.rmse(observed, point) == pytest.approx(metrics.root_mean_squared_error(y, f))
    assert scores.r2(observed, point) == pytest.approx(metrics.r2_score(y, f))
    assert scores.mape(observed, point, floor=0.0) == pytest.approx(
        100 * metrics.mean_absolute_percentage_error(y, f)
    )


def test_mase_agrees_with_utilsforecast() -> None:
    observed, forecast = drawn()
    history = np.random.default_rng(1).gamma(4.0, 2.0, size=500)
    train = as_frame(history, {})
    theirs = losses.mase(
        as_frame(observed, {"m": forecast[..., 5]}), ["m"], seasonality=24, train_df=train
    )["m"].item()
    scale = scores.seasonal_scale(history, 24)
    assert scores.mase(observed, forecast[..., 5], scale=scale) == pytest.approx(theirs)


def test_pinball_agrees_with_scikit_learn_at_every_level() -> None:
    observed, forecast = drawn(missing=0.2)
    seen = ~np.isnan(observed)
    theirs = [
        metrics.mean_pinball_loss(observed[seen], forecast[seen][:, q], alpha=level)
        for q, level in enumerate(GRID)
    ]
    assert scores.pinball(observed, forecast, levels=GRID) == pytest.approx(theirs)


def test_interval_scores_agree_with_utilsforecast() -> None:
    observed, forecast = drawn()
    frame = as_frame(
        observed, {"m": forecast[..., 5], "m-lo-80": forecast[..., 1], "m-hi-80": forecast[..., 9]}
    )
    lower, upper = scores.interval(forecast, GRID, 80)
    assert scores.picp(observed, lower, upper) == pytest.approx(
        100 * losses.coverage(frame, ["m"], level=80)["m"].item()
    )
    assert scores.winkler(observed, lower, upper, coverage=80) == pytest.approx(
        losses.winkler_score(frame, ["m"], level=80)["m"].item()
    )


def test_a_missing_observation_is_left_out() -> None:
    observed = np.array([[10.0, np.nan]])
    forecast = np.array([[[8.0], [80.0]]])
    assert scores.pinball(observed, forecast, levels=[0.9]).tolist() == pytest.approx([1.8])
    assert scores.mae(observed, forecast[..., 0]) == 2.0
    assert scores.picp(observed, forecast[..., 0], forecast[..., 0] + 2.0) == 100.0


@given(st.integers(0, 1000))
def test_what_was_forecast_for_a_missing_observation_changes_nothing(seed: int) -> None:
    observed, forecast = drawn(seed, 4, 6, missing=0.3)
    other = np.where(np.isnan(observed)[..., None], forecast + 7.0, forecast)
    assert score_table.score_forecast(observed, forecast, levels=GRID) == pytest.approx(
        score_table.score_forecast(observed, other, levels=GRID), nan_ok=True
    )


def test_mape_leaves_out_observations_at_or_below_one_percent_of_their_mean() -> None:
    # Mean absolute observation 100, so the floor is 1: the third is left out, the fourth is not.
    observed = np.array([[-200.0, 196.5, 1.0, 2.5]])
    point = np.array([[-100.0, 196.5, 50.0, 2.5]])
    assert scores.mape(observed, point) == pytest.approx(50.0 / 3.0)


def test_mape_of_nothing_but_zeros_is_nan() -> None:
    assert math.isnan(scores.mape(np.zeros((1, 3)), np.ones((1, 3))))
    assert math.isnan(scores.mape(np.ones((1, 3)), np.ones((1, 3)), floor=2.0))


@pytest.mark.parametrize("floor", [-1.0, math.nan, math.inf])
def test_a_floor_that_is_no_size_is_refused(floor: float) -> None:
    with pytest.raises(DataError, match="floor of the percentage error"):
        scores.mape(np.ones((1, 3)), np.ones((1, 3)), floor=floor)


def test_seasonal_scale_leaves_out_pairs_with_a_missing_value() -> None:
    # Two apart: 1 -> 2, 5 -> nan, 2 -> 8.
    assert scores.seasonal_scale(np.array([1.0, 5.0, 2.0, np.nan, 8.0]), 2) == pytest.approx(3.5)


@pytest.mark.parametrize("history", [[1.0, 2.0], [], [1.0, np.nan, np.nan, 2.0]])
def test_a_history_without_a_pair_one_season_apart_is_refused(history: list[float]) -> None:
    with pytest.raises(DataError, match="no pair of values 2 steps apart"):
        scores.seasonal_scale(np.array(history), 2)


def test_season_and_history_must_make_sense() -> None:
    with pytest.raises(DataError, match="season_steps is 0"):
        scores.seasonal_scale(np.ones(3), 0)
    with pytest.raises(DataError, match="infinite"):
        scores.seasonal_scale(np.array([1.0, np.inf]), 1)


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf])
def test_a_scale_that_is_not_positive_is_refused(scale: float) -> None:
    with pytest.raises(DataError, match="scale is"):
        scores.mase(np.ones((1, 1)), np.ones((1, 1)), scale=scale)


def test_r2_of_constant_observations_is_nan() -> None:
    # 0.1 is not the mean of three 0.1 in binary.
    assert math.isnan(scores.r2(np.full((1, 3), 0.1), np.zeros((1, 3))))


def test_crps_weighs_uneven_levels_by_the_gaps_around_them() -> None:
    # Levels 0.1, 0.2, 0.9 against 1 above a forecast of 0: losses 0.1, 0.2, 0.9.
    # Twice: 0.1*0.1/2 + 0.1*(0.1+0.2)/2 + 0.7*(0.2+0.9)/2 + 0.1*0.9/2 = 0.45.
    value = scores.crps(np.ones((1, 1)), np.zeros((1, 1, 3)), levels=[0.1, 0.2, 0.9])
    assert value == pytest.approx(0.9)


def test_crps_agrees_with_a_slow_trapezoid() -> None:
    observed, forecast = drawn(n=3, steps=4)
    total = 0.0
    for i in range(3):
        for h in range(4):
            curve = [0.0]
            for q, level in enumerate(GRID):
                miss = observed[i, h] - forecast[i, h, q]
                curve.append(level * miss if miss > 0 else (level - 1) * miss)
            total += 2 * integrate.trapezoid([*curve, 0.0], [0.0, *GRID, 1.0])
    assert scores.crps(observed, forecast, levels=GRID) == pytest.approx(total / 12)


def test_crps_of_a_calibrated_gaussian_is_one_percent_low_on_the_default_grid() -> None:
    quantiles = scipy_stats.norm.ppf(GRID)
    observed = scipy_stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)[None]
    forecast = np.broadcast_to(quantiles, (*observed.shape, len(GRID)))
    value = scores.crps(observed, forecast, levels=GRID)
    assert value * math.sqrt(math.pi) == pytest.approx(0.990, abs=0.001)


@pytest.mark.parametrize("truth", [-3.0, 3.0])
def test_crps_of_coinciding_levels_is_five_percent_below_their_absolute_error(truth: float) -> None:
    value = scores.crps(np.full((1, 1), truth), np.zeros((1, 1, len(GRID))), levels=GRID)
    assert value == pytest.approx(0.95 * 3.0)


def test_an_observation_on_a_bound_is_inside() -> None:
    observed = np.array([[1.0, 2.0, 3.0, 0.5]])
    assert scores.picp(observed, np.full((1, 4), 1.0), np.full((1, 4), 2.0)) == 50.0


def test_a_miss_costs_the_same_above_and_below() -> None:
    lower, upper = np.array([[0.0, 0.0]]), np.array([[1.0, 1.0]])
    value = scores.winkler(np.array([[-0.5, 1.5]]), lower, upper, coverage=80)
    assert value == pytest.approx(1.0 + 2 / 0.2 * 0.5)


def test_coverage_error_loses_the_sign() -> None:
    assert scores.coverage_error(70.0, 80.0) == scores.coverage_error(90.0, 80.0) == 10.0


def test_a_score_registered_twice_or_of_no_known_unit_is_refused() -> None:
    mae = score_table.SCORES["mae"]
    for name in ("mae", "n", "calibrated_picp"):
        with pytest.raises(SettingsError, match=f"score '{name}' exists already"):
            score_table.register_score(replace(mae, name=name))
    with pytest.raises(SettingsError, match="name not of letters"):
        replace(mae, name="evening mae")
    with pytest.raises(SettingsError, match="unit 'kWh', expected one of"):
        replace(mae, unit="kWh")
    with pytest.raises(SettingsError, match="direction 'down', expected one of"):
        replace(mae, direction="down")


@pytest.mark.parametrize("coverage", [0.8, 0.0, 100.0, -80.0, math.nan])
def test_a_coverage_that_is_not_percent_is_refused(coverage: float) -> None:
    zeros = np.zeros((1, 1))
    with pytest.raises(DataError, match="percent between 1 and 100"):
        scores.winkler(zeros, zeros, zeros, coverage=coverage)
    with pytest.raises(DataError, match="percent between 1 and 100"):
        scores.coverage_error(80.0, coverage)


def test_crossed_bounds_are_refused() -> None:
    with pytest.raises(DataError, match=r"\(0, 1\); sort the levels"):
        scores.mean_width(np.array([[0.0, 2.0]]), np.array([[1.0, 1.0]]))
    with pytest.raises(DataError, match="sort the levels"):
        scores.picp(np.zeros((1, 1)), np.ones((1, 1)), np.zeros((1, 1)))


@pytest.mark.parametrize("score", POINT_SCORES)
def test_point_scores_refuse_what_is_no_forecast(score: Callable[[Floats, Floats], float]) -> None:
    with pytest.raises(DataError, match=r"point has shape \(2, 1\), expected \(1, 2\)"):
        score(np.zeros((1, 2)), np.zeros((2, 1)))
    with pytest.raises(DataError, match=r"point is not finite at \(window, step\) = \(0, 1\)"):
        score(np.array([[1.0, np.nan]]), np.array([[1.0, np.nan]]))
    with pytest.raises(DataError, match="no value"):
        score(np.full((1, 2), np.nan), np.zeros((1, 2)))
    with pytest.raises(DataError, match="no value"):
        score(np.zeros((0, 24)), np.zeros((0, 24)))
    with pytest.raises(DataError, match="infinite"):
        score(np.array([[np.inf]]), np.zeros((1, 1)))


def test_a_wrong_shape_is_named_in_the_message() -> None:
    with pytest.raises(DataError, match=r"\(1, 2, 1\)"):
        scores.pinball(np.zeros((1, 2)), np.zeros((1, 1, 1)), levels=[0.5])


def test_a_forecast_that_is_not_finite_is_named_where_it_stands() -> None:
    forecast = np.zeros((2, 3, 1))
    forecast[1, 2, 0] = np.inf
    with pytest.raises(DataError, match=r"\(window, step, level\) = \(1, 2, 0\)"):
        scores.pinball(np.zeros((2, 3)), forecast, levels=[0.5])
    with pytest.raises(DataError, match="not finite"):
        scores.mean_width(np.array([[np.nan]]), np.zeros((1, 1)))


@pytest.mark.parametrize("level", [0.0, 1.0, 90.0, math.nan])
def test_a_level_outside_the_unit_interval_is_refused(level: float) -> None:
    with pytest.raises(DataError, match="strictly inside"):
        scores.pinball(np.zeros((1, 1)), np.zeros((1, 1, 1)), levels=[level])


@pytest.mark.parametrize("levels", [[0.5, 0.1], [0.5, 0.5]])
def test_levels_that_do_not_ascend_are_refused(levels: list[float]) -> None:
    with pytest.raises(DataError, match="strictly ascending"):
        scores.crps(np.zeros((1, 1)), np.zeros((1, 1, 2)), levels=levels)


def test_no_levels_are_refused() -> None:
    with pytest.raises(DataError, match="strictly inside"):
        scores.pinball(np.zeros((1, 1)), np.zeros((1, 1, 0)), levels=[])


def test_a_level_of_the_grid_is_its_column() -> None:
    _, forecast = drawn()
    for q, level in enumerate(GRID):
        assert (scores.quantile_at(forecast, GRID, level) == forecast[..., q]).all()


def test_the_bounds_of_eighty_percent_are_the_levels_a_tenth_from_the_ends() -> None:
    _, forecast = drawn()
    lower, upper = scores.interval(forecast, GRID, 80.0)
    assert (lower == forecast[..., 1]).all()
    assert (upper == forecast[..., 9]).all()


@given(st.floats(0.05, 0.95))
def test_a_level_between_is_interpolated_like_numpy(level: float) -> None:
    _, forecast = drawn(n=2, steps=3)
    theirs = [[np.interp(level, GRID, cell) for cell in row] for row in forecast]
    assert scores.quantile_at(forecast, GRID, level) == pytest.approx(np.array(theirs), abs=1e-6)


@pytest.mark.parametrize("level", [0.01, 0.99, math.nan])
def test_a_level_outside_the_grid_is_refused_and_the_grid_named(level: float) -> None:
    with pytest.raises(DataError, match=r"outside the grid of levels \[0.1, 0.9\]"):
        scores.quantile_at(np.zeros((1, 1, 2)), [0.1, 0.9], level)


def test_a_forecast_of_other_levels_is_refused() -> None:
    with pytest.raises(DataError, match="Q=3"):
        scores.quantile_at(np.zeros((1, 1, 2)), [0.1, 0.5, 0.9], 0.5)


@given(arrays(np.float64, (2, 2, len(GRID)), elements=numbers))
def test_sorting_never_raises_the_summed_pinball_loss(forecast: Floats) -> None:
    observed = np.array([[0.0, 5.0], [-20.0, np.nan]])
    before = scores.pinball(observed, forecast, levels=GRID).sum()
    after = scores.pinball(observed, np.sort(forecast, axis=-1), levels=GRID).sum()
    assert after <= before + 1e-9


def test_one_score_of_everything_is_what_the_single_functions_say() -> None:
    observed, forecast = drawn(missing=0.1)
    results = score_table.score_forecast(observed, forecast, levels=GRID, seasonal_scale=2.0)
    median, lower, upper = forecast[..., 5], forecast[..., 1], forecast[..., 9]
    seen = ~np.isnan(observed)
    assert set(results) == METRICS
    assert results["mae"] == scores.mae(observed, median)
    assert results["rmse"] == scores.rmse(observed, median)
    assert results["mape"] == scores.mape(observed, median)
    assert results["mase"] == results["mae"] / 2.0
    assert results["r2"] == scores.r2(observed, median)
    assert results["pinball"] == pytest.approx(
        scores.pinball(observed, forecast, levels=GRID)[[1, 5, 9]].mean()
    )
    assert results["crps"] == scores.crps(observed, forecast, levels=GRID)
    assert results["picp"] == scores.picp(observed, lower, upper)
    assert results["mean_width"] == pytest.approx((upper - lower)[seen].mean())
    assert results["winkler"] == scores.winkler(observed, lower, upper, coverage=80)
    assert results["coverage_error"] == abs(results["picp"] - 80.0)
    assert results["n"] == seen.sum()


def test_another_coverage_judges_another_interval() -> None:
    observed, forecast = drawn()
    results = score_table.score_forecast(observed, forecast, levels=GRID, coverage=90)
    assert results["mean_width"] == pytest.approx((forecast[..., 10] - forecast[..., 0]).mean())
    assert results["coverage_error"] == pytest.approx(abs(results["picp"] - 90.0))


def test_without_a_scale_mase_is_nan() -> None:
    observed, forecast = drawn()
    assert math.isnan(score_table.score_forecast(observed, forecast, levels=GRID)["mase"])


@given(st.integers(0, 1000), st.floats(0.01, 100.0))
def test_scores_carry_the_unit_of_the_target(seed: int, unit: float) -> None:
    observed, forecast = drawn(seed, 3, 4)
    first = score_table.score_forecast(observed, forecast, levels=GRID)
    second = score_table.score_forecast(observed * unit, forecast * unit, levels=GRID)
    in_units = {"mae", "rmse", "pinball", "crps", "mean_width", "winkler"}
    for name in METRICS - {"picp", "coverage_error"}:  # a rounded bound may cut an observation off
        factor = unit if name in in_units else 1.0
        assert second[name] == pytest.approx(factor * first[name], rel=1e-9, nan_ok=True)


@given(st.integers(0, 1000))
def test_moving_the_bounds_to_the_truth_cannot_raise_the_interval_score(seed: int) -> None:
    observed, forecast = drawn(seed, 3, 4)
    lower, upper = scores.interval(forecast, GRID, 80)
    closer_low, closer_high = np.minimum(lower, observed), np.maximum(upper, observed)
    assert scores.winkler(observed, closer_low, closer_high, coverage=80) <= scores.winkler(
        observed, lower, upper, coverage=80
    )


def test_scores_by_group_agree_with_scoring_each_group_alone() -> None:
    observed, forecast = drawn(missing=0.3)
    groups = np.random.default_rng(2).choice([-1, 3, 17], size=observed.shape)
    labels, results = score_table.per_group(observed, forecast, groups, levels=GRID)
    assert labels.tolist() == [-1, 3, 17]
    for g, label in enumerate(labels):
        alone = score_table.score_forecast(
            np.where(groups == label, observed, np.nan), forecast, levels=GRID
        )
        for name, values in results.items():
            assert values[g] == pytest.approx(alone[name]), name


def test_scores_by_step_and_by_window_agree_with_slices() -> None:
    observed, forecast = drawn(n=5, steps=3, missing=0.2)
    steps = np.broadcast_to(np.arange(3), observed.shape)
    _, by_step = score_table.per_group(observed, forecast, steps, levels=GRID, coverage=90)
    by_window = score_table.per_window(observed, forecast, levels=GRID, coverage=90)
    assert set(by_step) == {"mae", "pinball", "picp", "mean_width", "winkler", "n"}
    for h in range(3):
        alone = score_table.score_forecast(
            observed[:, [h]], forecast[:, [h]], levels=GRID, coverage=90
        )
        assert all(by_step[name][h] == pytest.approx(alone[name]) for name in by_step)
    for i in range(5):
        alone = score_table.score_forecast(observed[[i]], forecast[[i]], levels=GRID, coverage=90)
        assert all(by_window[name][i] == pytest.approx(alone[name]) for name in by_window)


def test_the_weighted_mean_of_windows_is_the_score() -> None:
    observed, forecast = drawn(missing=0.3)
    results = score_table.per_window(observed, forecast, levels=GRID)
    whole = score_table.score_forecast(observed, forecast, levels=GRID)
    for name in ("mae", "pinball", "picp", "mean_width", "winkler"):
        assert np.average(results[name], weights=results["n"]) == pytest.approx(whole[name])


def test_a_step_at_which_nothing_was_observed_has_no_score() -> None:
    observed, forecast = drawn(n=4, steps=3)
    observed[:, 1] = np.nan
    steps = np.broadcast_to(np.arange(3), observed.shape)
    _, results = score_table.per_group(observed, forecast, steps, levels=GRID)
    assert results["n"].tolist() == [4.0, 0.0, 4.0]
    assert np.isnan(results["winkler"]).tolist() == [False, True, False]


def test_groups_must_be_whole_numbers_of_the_right_shape() -> None:
    observed, forecast = drawn(n=2, steps=3)
    with pytest.raises(DataError, match=r"integers of shape \(2, 3\)"):
        score_table.per_group(observed, forecast, np.zeros(3, dtype=int), levels=GRID)
    with pytest.raises(DataError, match="type float64"):
        score_table.per_group(observed, forecast, np.zeros((2, 3)), levels=GRID)  # type: ignore[arg-type]
