"""Calibrators that are fitted once, and the choice among all."""

from __future__ import annotations

import json
from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from paretocast.calibration import (
    CALIBRATORS,
    choose_by_name,
    choose_calibrator,
    compare_calibrators,
    cross_fitted,
    fit_calibrator,
    load_calibrator,
    moving_median,
    walk_forward,
)
from paretocast.calibration.conformal import ShiftCalibrator, Sides, Unit, fit_conformal
from paretocast.calibration.finite_sample import conformal_rank, design_effect, upper_quantiles
from paretocast.errors import DataError
from paretocast.metrics.forecast import Forecast
from paretocast.metrics.score_table import CALIBRATED_SCORES, score_forecast
from paretocast.metrics.scores import winkler
from samples import LEVELS, clock_groups, coverage, draw_sample

STATIC = [name for name, method in CALIBRATORS.items() if not method.online]
MOVING = [name for name in CALIBRATORS if name != "none"]


def small_sample(
    observed: list[float | None], low: float = -1.0, high: float = 1.0, *, level: float = 0.1
) -> Forecast:
    """Windows of one hour with the same forecast: bounds at a level and its counterpart."""
    values = np.array([[np.nan if value is None else value] for value in observed])
    quantiles = np.broadcast_to([low, (low + high) / 2.0, high], (len(observed), 1, 3))
    issues = 24 * np.arange(len(observed))
    groups = clock_groups(len(observed), 1)
    return Forecast(quantiles, (level, 0.5, 1.0 - level), values, issues, groups)


def test_a_bound_moves_to_the_finite_sample_rank_of_the_scores() -> None:
    # Nine scores |y| - 1 of 0 .. 8; the rank is ceil(10 * 0.8) = 8, the eighth score is 7.
    sample = small_sample([1.0, -2.0, 3.0, -4.0, 5.0, -6.0, 7.0, -8.0, 9.0])
    calibrated = fit_calibrator(sample, "cqr").apply(sample.take(slice(0, 1)))
    assert calibrated.quantiles.tolist() == [[[-8.0, 0.0, 8.0]]]


def test_an_interval_that_is_too_wide_becomes_narrower() -> None:
    # Scores |y| - 10 are -9 .. -1: the eighth is -2.
    sample = small_sample([1.0, -2.0, 3.0, -4.0, 5.0, -6.0, 7.0, -8.0, 9.0], -10.0, 10.0)
    calibrated = fit_calibrator(sample, "cqr").apply(sample.take(slice(0, 1)))
    assert calibrated.quantiles.tolist() == [[[-8.0, 0.0, 8.0]]]


def test_an_asymmetric_bound_moves_by_its_own_errors() -> None:
    sample = small_sample([float(value) for value in range(1, 10)], -1.0, 1.0)
    fitted = fit_calibrator(sample, "cqr-asymmetric")
    first = sample.take(slice(0, 1))
    assert fitted.moving_median().apply(first).quantiles.tolist() == [[[1.0, 5.0, 9.0]]]
    assert fitted.apply(first).quantiles.tolist() == [[[0.0, 0.0, 9.0]]]


@pytest.mark.parametrize("name", MOVING)
@pytest.mark.parametrize(("spread", "bias"), [(2.0, 0.0), (0.4, 0.0), (1.0, 0.8)])
def test_a_spoiled_forecast_is_brought_back_to_its_promise(
    name: str, spread: float, bias: float
) -> None:
    rng = np.random.default_rng(1)
    sample = draw_sample(rng, n_windows=365, spread=spread, bias=bias)
    later = draw_sample(rng, n_windows=300, spread=spread, bias=bias)
    calibrated = fit_calibrator(sample, name).apply(later)
    assert coverage(calibrated, 0.1, 0.9) == pytest.approx(80.0, abs=2.0)
    assert coverage(calibrated, 0.3, 0.7) == pytest.approx(40.0, abs=2.5)


@pytest.mark.parametrize("name", MOVING)
def test_a_forecast_that_covers_97_percent_becomes_narrower_and_honest(name: str) -> None:
    rng = np.random.default_rng(2)
    sample, later = (draw_sample(rng, n_windows=365, spread=1.7) for _ in range(2))
    assert coverage(later, 0.1, 0.9) == pytest.approx(97.0, abs=0.6)
    calibrated = fit_calibrator(sample, name).apply(later)
    assert 78.0 < coverage(calibrated, 0.1, 0.9) < 82.0
    raw_width, width = (f.quantiles[..., 9] - f.quantiles[..., 1] for f in (later, calibrated))
    assert width.mean() < 0.7 * raw_width.mean()


@pytest.mark.parametrize("name", CALIBRATORS)
def test_a_calibrator_survives_json(name: str) -> None:
    sample = draw_sample(np.random.default_rng(3), n_windows=40, spread=0.5)
    fitted = fit_calibrator(sample, name)
    loaded = load_calibrator(json.loads(json.dumps(fitted.as_json(), allow_nan=False)))
    assert loaded.as_json() == fitted.as_json()
    applied = fitted.apply(sample).quantiles
    assert (loaded.apply(sample).quantiles == applied).all()


@pytest.mark.parametrize("name", CALIBRATORS)
def test_missing_observations_are_left_out(name: str) -> None:
    sample = draw_sample(np.random.default_rng(4), n_windows=40)
    observed = sample.observed.copy()
    observed[5] = np.nan
    gap = np.random.default_rng(5).uniform(size=observed.shape) < 0.2
    holed = replace(sample, observed=np.where(gap, np.nan, observed))
    calibrated = fit_calibrator(holed, name).apply(sample).quantiles
    assert np.isfinite(calibrated).all()
    others = np.delete(np.arange(40), 5)
    without = fit_calibrator(holed.take(others), name).apply(sample).quantiles
    if name not in {"cqr-lead", "cqr-hour", "cqr-season", "cqr-hour-season", "pid"}:
        assert calibrated == pytest.approx(without)  # weeks, and so the shrinkage, shift by a day


@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from(sorted(CALIBRATORS)),
    arrays(np.float64, (16, 2), elements=st.integers(-9, 9).map(float) | st.just(float("nan"))),
    arrays(np.float64, (16, 2, 5), elements=st.integers(-9, 9).map(float)),
)
def test_whatever_comes_in_finite_ascending_quantiles_come_out(
    name: str, observed: NDArray[np.float64], quantiles: NDArray[np.float64]
) -> None:
    observed[0, 0] = 1.0
    levels = (0.1, 0.25, 0.5, 0.75, 0.9)
    sample = Forecast(quantiles, levels, observed, 24 * np.arange(16), clock_groups(16, 2))
    calibrated = fit_calibrator(sample, name).apply(sample).quantiles
    assert calibrated.shape == quantiles.shape
    assert np.isfinite(calibrated).all()
    assert (np.diff(calibrated, axis=-1) >= 0.0).all()


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(sorted(CALIBRATORS)), st.floats(0.01, 100.0), st.integers(-50, 50))
def test_another_unit_of_demand_changes_nothing_else(name: str, factor: float, offset: int) -> None:
    sample = draw_sample(np.random.default_rng(6), n_windows=20, horizon_steps=4, spread=0.6)
    scaled = replace(
        sample,
        observed=factor * sample.observed + offset,
        quantiles=factor * sample.quantiles + offset,
    )
    expected = factor * fit_calibrator(sample, name).apply(sample).quantiles + offset
    calibrated = fit_calibrator(scaled, name).apply(scaled).quantiles
    assert calibrated == pytest.approx(expected, rel=1e-6, abs=1e-6 * factor)


@pytest.mark.parametrize("name", CALIBRATORS)
def test_crossing_quantiles_are_sorted_before_anything_else(name: str) -> None:
    sample = draw_sample(np.random.default_rng(7), n_windows=30)
    quantiles = sample.quantiles.copy()
    quantiles[..., [1, 9]] = quantiles[..., [9, 1]]
    crossed = sample.with_quantiles(quantiles)
    expected = fit_calibrator(sample, name).apply(sample).quantiles
    fitted = fit_calibrator(crossed, name)
    assert fitted.apply(crossed).quantiles == pytest.approx(expected)


@pytest.mark.parametrize("name", ["cqr", "cqr-asymmetric", "cqr-relative", "cqr-hour"])
def test_a_constant_forecast_gets_the_width_that_it_lacks(name: str) -> None:
    sample = draw_sample(np.random.default_rng(8), n_windows=200)
    flat = sample.with_quantiles(np.full_like(sample.quantiles, 10.0))
    fitted = fit_calibrator(flat, name)
    assert coverage(fitted.apply(flat), 0.1, 0.9) == pytest.approx(80.0, abs=1.5)


def test_a_forecast_without_width_has_nothing_to_read_and_the_note_says_so() -> None:
    sample = draw_sample(np.random.default_rng(9), n_windows=30)
    flat = sample.with_quantiles(np.full_like(sample.quantiles, 10.0))
    fitted = fit_calibrator(flat, "isotonic")
    assert fitted.apply(flat).quantiles == pytest.approx(flat.quantiles)
    assert "all quantiles coincide" in " ".join(fitted.notes)
    assert "have no width" in " ".join(fit_calibrator(flat, "cqr-relative").notes)


@pytest.mark.parametrize("name", CALIBRATORS)
def test_observations_that_equal_their_quantiles_are_no_misfortune(name: str) -> None:
    sample = draw_sample(np.random.default_rng(10), n_windows=60)
    tied = replace(sample, observed=np.round(sample.observed), quantiles=np.round(sample.quantiles))
    assert coverage(fit_calibrator(tied, name).apply(tied), 0.1, 0.9) > 75.0


def test_too_few_windows_for_a_promise_are_said_and_the_largest_error_stands_in() -> None:
    sample = small_sample([0.0, 5.0, -3.0], level=0.005)
    fitted = fit_calibrator(sample, "cqr")
    assert "3 observed windows are too few to promise the 99 % interval" in fitted.notes[0]
    assert "it takes 99" in fitted.notes[0]
    assert fitted.apply(sample.take(slice(0, 1))).quantiles.tolist() == [[[-5.0, 0.0, 5.0]]]


def test_a_group_too_small_for_a_promise_takes_the_correction_of_the_whole_and_says_so() -> None:
    sample = draw_sample(np.random.default_rng(27), n_windows=60, spread=0.5)
    season = np.zeros_like(sample.groups["season"])
    season[:4] = 1  # four days promise neither 5 nor 95 %
    small = replace(sample, groups={**sample.groups, "season": season})
    fitted = fit_calibrator(small, "cqr-season")
    assert isinstance(fitted, ShiftCalibrator)
    assert "1 of 2 groups by season hold too few windows for the outermost levels" in " ".join(
        fitted.notes
    )
    assert fitted.group_shifts[(1,)][0] == pytest.approx(fitted.shifts[0])
    assert fitted.group_shifts[(1,)][-1] == pytest.approx(fitted.shifts[-1])
    assert fitted.group_shifts[(1,)][5] != pytest.approx(fitted.shifts[5])


def test_many_groups_at_once_are_corrected_as_each_would_be_alone() -> None:
    sample = draw_sample(np.random.default_rng(28), n_windows=60, day_share=0.5)
    gap = np.random.default_rng(29).uniform(size=sample.observed.shape) < 0.3
    holed = replace(sample, observed=np.where(gap, np.nan, sample.observed))
    together = fit_conformal(
        holed, name="x", sides=Sides.PAIRS, group=("hour",), shrinkage_windows=0.0
    )
    for hour in (0, 7, 23):
        own = np.where(holed.groups["hour"] == hour, holed.observed, np.nan)
        alone = fit_conformal(replace(holed, observed=own), name="x", sides=Sides.PAIRS)
        assert together.group_shifts[(hour,)] == pytest.approx(alone.shifts)


@pytest.mark.parametrize("name", ["cqr", "cqr-asymmetric", "isotonic", "cqr-hour"])
def test_99_percent_are_covered_where_the_windows_suffice(name: str) -> None:
    rng = np.random.default_rng(11)
    levels = (0.005, 0.1, 0.5, 0.9, 0.995)
    sample, later = (draw_sample(rng, n_windows=600, spread=0.5, levels=levels) for _ in range(2))
    calibrated = fit_calibrator(sample, name).apply(later)
    assert coverage(calibrated, 0.005, 0.995) == pytest.approx(99.0, abs=0.8)


def test_hours_that_stand_or_fall_together_need_as_many_windows_as_days_need() -> None:
    # 50 days of 24 equal hours hold no promise of 99 %, and 1200 independent hours do.
    days = np.repeat(np.arange(50.0)[:, None], 24, axis=1)
    bounds, reached = upper_quantiles(days[None], np.array([0.99]))
    assert (bounds.tolist(), reached.tolist()) == ([49.0], [False])
    hours = np.random.default_rng(12).permutation(1200.0 * np.arange(1200)).reshape(50, 24)
    assert upper_quantiles(hours[None], np.array([0.9]))[1].all()
    assert conformal_rank(0.99, n_points=1200, design_effect=24) > 1200
    assert conformal_rank(0.99, n_points=1200) <= 1200


def test_one_window_counts_as_one_observation() -> None:
    assert design_effect(np.arange(24.0)[None, :], 12.0) == 24.0


def test_a_group_without_an_observation_takes_the_correction_of_the_whole() -> None:
    sample = draw_sample(np.random.default_rng(13), n_windows=60, spread=0.5)
    night = sample.groups["hour"] < 6
    holed = replace(sample, observed=np.where(night, np.nan, sample.observed))
    fitted = fit_calibrator(holed, "cqr-hour")
    assert isinstance(fitted, ShiftCalibrator)
    assert (3,) not in fitted.group_shifts
    pooled = fit_conformal(holed, name="whole", sides=Sides.LEVELS, unit=Unit.WIDTH)
    at_night = fitted.apply(sample).quantiles[night]
    assert at_night == pytest.approx(pooled.apply(sample).quantiles[night])


def test_a_small_group_leans_on_the_whole() -> None:
    sample = draw_sample(np.random.default_rng(14), n_windows=60)
    group = np.zeros(sample.observed.shape, dtype=np.int64)
    group[:5] = 1  # five windows that are far off
    off = replace(
        sample,
        observed=np.where(group == 1, sample.observed + 30.0, sample.observed),
        groups={"part": group},
    )
    shifts = [
        fit_conformal(
            off, name="x", sides=Sides.LEVELS, group=("part",), shrinkage_windows=k
        ).group_shifts[(1,)][5]
        for k in (0.0, 5.0, 1e9)
    ]
    assert shifts[0] > 25.0
    assert shifts[1] == pytest.approx((shifts[0] + shifts[2]) / 2.0)
    assert shifts[2] < 5.0


def test_groups_that_differ_only_by_chance_are_shrunk_away_and_real_ones_are_not() -> None:
    rng = np.random.default_rng(15)
    by_chance = draw_sample(rng, n_windows=105)
    real = replace(by_chance, observed=by_chance.observed + np.sin(np.arange(24.0)))

    def spread_of_shifts(sample: Forecast) -> float:
        fitted = fit_conformal(sample, name="x", sides=Sides.LEVELS, group=("lead",))
        return float(np.std([shifts[5] for shifts in fitted.group_shifts.values()]))

    assert spread_of_shifts(by_chance) < 0.1
    assert spread_of_shifts(real) == pytest.approx(np.std(np.sin(np.arange(24.0))), rel=0.2)


def test_a_product_of_groups_has_a_correction_for_each_pair() -> None:
    sample = draw_sample(np.random.default_rng(16), n_windows=120)
    fitted = fit_calibrator(sample, "cqr-hour-season")
    assert isinstance(fitted, ShiftCalibrator)
    assert set(fitted.group_shifts) == {(hour, season) for hour in range(24) for season in (0, 1)}


def test_a_group_that_is_not_given_is_asked_for_by_name() -> None:
    sample = draw_sample(np.random.default_rng(17), n_windows=20)
    with pytest.raises(DataError, match="group 'hour' is needed"):
        fit_calibrator(sample, "cqr-hour").apply(replace(sample, groups={}))


@pytest.mark.parametrize("name", MOVING)
def test_nothing_observed_is_nothing_to_learn_from(name: str) -> None:
    sample = draw_sample(np.random.default_rng(18), n_windows=5)
    blank = replace(sample, observed=np.full_like(sample.observed, np.nan))
    with pytest.raises(DataError, match="nothing to learn from"):
        fit_calibrator(blank, name)


def test_an_unknown_calibrator_lists_the_known_ones() -> None:
    with pytest.raises(DataError, match="none, cqr, cqr-asymmetric"):
        fit_calibrator(draw_sample(np.random.default_rng(0), n_windows=3), "magic")


@pytest.mark.parametrize(
    "stored",
    [{}, {"schema_version": 9, "kind": "shift"}, {"schema_version": 1, "kind": "shift"}],
)
def test_a_damaged_calibrator_is_refused(stored: dict[str, object]) -> None:
    with pytest.raises(DataError, match=r"the calibrator (is of version|of kind)"):
        load_calibrator(stored)


def test_a_forecast_of_other_levels_is_refused() -> None:
    fitted = fit_calibrator(draw_sample(np.random.default_rng(0), n_windows=12), "cqr")
    with pytest.raises(DataError, match="with Q=11"):
        fitted.apply(Forecast(np.zeros((1, 24, 3)), (0.1, 0.5, 0.9)))


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(sorted(CALIBRATORS)),
    arrays(np.float64, (16, 2), elements=st.integers(-9, 9).map(float) | st.just(float("nan"))),
    arrays(np.float64, (16, 2, 4), elements=st.integers(-9, 9).map(float)),
    st.sampled_from([(0.1, 0.25, 0.5, 0.9), (0.1, 0.45, 0.6, 0.9), (0.5, 0.6, 0.7, 0.9)]),
)
def test_whatever_is_learned_the_median_stays_without_evidence_against_it(
    name: str,
    observed: NDArray[np.float64],
    quantiles: NDArray[np.float64],
    levels: tuple[float, ...],
) -> None:
    observed[0, 0] = 1.0
    groups = clock_groups(16, 2)
    sample = Forecast(quantiles, levels, observed, 24 * np.arange(16), groups)
    with mock.patch.object(moving_median, "FEWEST_WINDOWS", np.inf):
        fitted = fit_calibrator(sample, name)
        for calibrated in (fitted.apply(sample), walk_forward(fitted, sample).forecast):
            assert (calibrated.nearest(0.5) == sample.nearest(0.5)).all()
            assert (np.diff(calibrated.quantiles, axis=-1) >= 0.0).all()


def test_a_quantile_that_would_pass_the_median_stops_there_and_no_other_one_moves() -> None:
    wound = ShiftCalibrator("x", (0.1, 0.4, 0.5, 0.9), (0.0, 50.0, 7.0, 1.0))
    forecast = Forecast([[[1.0, 4.0, 5.0, 9.0]]], wound.levels)
    assert wound.apply(forecast).quantiles.tolist() == [[[1.0, 5.0, 5.0, 10.0]]]


@pytest.mark.parametrize("name", STATIC)
def test_a_calibrator_of_the_first_version_moves_the_median_as_it_did(name: str) -> None:
    sample = draw_sample(np.random.default_rng(30), n_windows=40, bias=0.8)
    fitted = fit_calibrator(sample, name)
    stored = fitted.as_json() | {"schema_version": 1}
    del stored["moves_median"]
    loaded = load_calibrator(json.loads(json.dumps(stored)))
    moved = fitted.moving_median().apply(sample)
    assert (loaded.apply(sample).quantiles == moved.quantiles).all()
    again = load_calibrator(loaded.as_json())
    assert (again.apply(sample).quantiles == moved.quantiles).all()
    if name == "isotonic":
        assert (moved.median != sample.median).any()


def test_a_lasting_bias_lets_auto_move_the_median_and_no_bias_does_not() -> None:
    for bias, moves in ((2.0, True), (0.5, False), (0.0, False)):
        sample, later = (
            draw_sample(np.random.default_rng(seed), n_windows=60, bias=bias) for seed in (31, 32)
        )
        choice = choose_calibrator(sample, coverage=80.0, names=["none", "cqr-asymmetric"])
        errors = [
            float(np.abs(later.observed - f.median).mean())
            for f in (later, choice.calibrator.apply(later))
        ]
        assert choice.calibrator.moves_median == moves
        assert (errors[1] < 0.8 * errors[0]) == moves
        assert ("moving the median lowers the absolute error" in choice.reason) == moves


def test_a_named_calibrator_keeps_the_median_even_where_it_is_biased() -> None:
    sample = draw_sample(np.random.default_rng(33), n_windows=60, bias=2.0)
    named = choose_by_name(sample, "cqr-asymmetric", coverage=80.0).calibrator
    assert (named.apply(sample).median == sample.median).all()
    kept = compare_calibrators(sample, coverage=80.0, names=["cqr-asymmetric"])
    moved = choose_calibrator(sample, coverage=80.0, names=["cqr-asymmetric"]).compared
    assert kept[0].pinball > moved[0].pinball


def test_coverage_that_disagrees_with_the_target_comes_after_one_that_agrees() -> None:
    # Whatever is scored, a lower Winkler score does not make up for a coverage far off.
    sample = draw_sample(np.random.default_rng(34), n_windows=200, spread=0.75)
    choice = choose_calibrator(sample, coverage=80.0, names=["none", "cqr-relative"])
    raw, _ = (row.picp for row in choice.compared)
    assert raw < 70.0
    assert choice.calibrator.name == "cqr-relative"
    assert "agrees with the target of 80 %" in choice.reason


def test_auto_takes_pid_unless_another_one_is_better_beyond_chance() -> None:
    rng = np.random.default_rng(35)
    honest = draw_sample(rng, n_windows=60)
    names = ["none", "cqr", "pid"]
    choice = choose_calibrator(honest, coverage=80.0, names=names)
    scores = {row.name: row.winkler for row in choice.compared}
    assert min(scores, key=lambda name: scores[name]) == "none"
    assert choice.calibrator.name == "pid"
    assert "chance explains the lower Winkler score of" in choice.reason


def test_the_choice_is_the_lowest_winkler_score_on_windows_that_were_not_fitted_on() -> None:
    sample = draw_sample(np.random.default_rng(19), n_windows=60, spread=0.3)
    choice = choose_calibrator(sample, coverage=80.0, names=["none", "cqr", "cqr-relative"])
    scores = {row.name: row.winkler for row in choice.compared}
    assert list(scores) == ["none", "cqr", "cqr-relative"]
    assert choice.calibrator.name == min(scores, key=lambda name: scores[name])
    assert choice.calibrator.name == "cqr-relative"
    whole = fit_calibrator(sample, "cqr-relative")
    assert choice.calibrator.as_json() == whole.as_json()
    assert "3 methods were compared by 4-fold cross-validation on 60 windows" in choice.reason
    assert "cqr-relative covers" in choice.reason


def test_each_fold_is_judged_by_a_fit_on_the_others() -> None:
    # The last quarter alone is off: fitted on the others, nothing moves there.
    sample = draw_sample(np.random.default_rng(20), n_windows=80)
    observed = sample.observed.copy()
    observed[60:] += 100.0
    off = replace(sample, observed=observed)
    compared = choose_calibrator(off, coverage=80.0, names=["none", "cqr-asymmetric"]).compared
    raw, moved = (row.picp for row in compared)
    assert raw == pytest.approx(60.0, abs=2.0)  # three quarters of 80 %
    assert moved < 77.0  # a fit that had seen the last quarter would cover it
    assert compared[0].n == off.observed.size


def test_too_few_windows_to_compare_say_what_to_do() -> None:
    sample = draw_sample(np.random.default_rng(0), n_windows=10)
    with pytest.raises(DataError, match=r"10 windows were observed.*name a calibrator"):
        choose_calibrator(sample, coverage=80.0)


@pytest.mark.parametrize(("static", "name"), [(False, "pid"), (True, "none")])
def test_auto_takes_a_fixed_method_where_there_are_too_few_windows(
    name: str, *, static: bool
) -> None:
    sample = draw_sample(np.random.default_rng(0), n_windows=10)
    choice = choose_by_name(sample, "auto", coverage=80.0, static=static)
    assert choice.calibrator.name == name
    assert "was taken without comparing: 10 windows of the split were observed" in choice.reason


def calibrated_scores(forecast: Forecast) -> dict[str, float]:
    calibrated = cross_fitted(forecast)
    scores = score_forecast(forecast.observed, calibrated.quantiles, levels=LEVELS)
    return {name: scores[plain] for name, plain in CALIBRATED_SCORES.items()}


def test_calibrated_scores_do_not_see_what_calibration_removes() -> None:
    rng = np.random.default_rng(22)
    sample = draw_sample(rng, n_windows=84)
    spoiled = sample.with_quantiles(10.0 + 3.0 * (sample.quantiles - 10.0))
    honest = calibrated_scores(sample)
    narrow = 0.2 * sample.quantiles + 0.8 * sample.quantiles[..., 5:6]
    scores = calibrated_scores(sample.with_quantiles(narrow))
    for name, value in honest.items():
        assert scores[name] == pytest.approx(value, rel=0.03)
    biased = calibrated_scores(sample.with_quantiles(sample.quantiles + 1.0))
    assert biased["calibrated_pinball"] > 1.05 * honest["calibrated_pinball"]  # the median stays
    worse = calibrated_scores(spoiled)
    assert worse["calibrated_winkler"] > 1.2 * honest["calibrated_winkler"]


def test_no_window_is_judged_by_a_calibrator_that_has_seen_it() -> None:
    sample = draw_sample(np.random.default_rng(23), n_windows=28)
    calibrated = cross_fitted(sample).quantiles
    changed = sample.observed.copy()
    changed[0] += 50.0  # first week: its own forecasts stay, those of the second week move
    again = cross_fitted(replace(sample, observed=changed)).quantiles
    assert (again[:7] == calibrated[:7]).all()
    assert (again[14:21] == calibrated[14:21]).all()
    assert (again[7:14] != calibrated[7:14]).any()


def test_a_half_without_an_observation_is_an_error_and_not_a_score() -> None:
    sample = draw_sample(np.random.default_rng(24), n_windows=14)
    observed = sample.observed.copy()
    observed[7:] = np.nan
    with pytest.raises(DataError, match="two halves"):
        calibrated_scores(replace(sample, observed=observed))


@pytest.mark.parametrize("name", STATIC)
def test_a_right_correction_lowers_the_winkler_score(name: str) -> None:
    rng = np.random.default_rng(25)
    sample, later = (draw_sample(rng, n_windows=200, spread=0.3) for _ in range(2))
    calibrated = fit_calibrator(sample, name).apply(later)
    raw, now = (
        winkler(f.observed, f.quantiles[..., 1], f.quantiles[..., 9], coverage=80.0)
        for f in (later, calibrated)
    )
    assert now <= raw if name == "none" else now < 0.8 * raw
