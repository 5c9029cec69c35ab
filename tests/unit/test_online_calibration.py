"""Calibrators that go on learning: what they know when, and where they arrive."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from paretocast.calibration import (
    OnlineCalibrator,
    choose_calibrator,
    fit_calibrator,
    load_calibrator,
    walk_forward,
)
from paretocast.calibration.moving_median import NO_EVIDENCE
from paretocast.calibration.online import AdaptiveCalibrator, PidCalibrator, fit_pid
from paretocast.calibration.rolling import n_past_windows
from paretocast.errors import DataError
from paretocast.metrics.forecast import Forecast
from samples import clock_groups, coverage, draw_sample

ONLINE = ["aci", "pid"]


def later_sample(
    seed: int, n_windows: int, *, spread: float = 1.0, horizon_steps: int = 24
) -> Forecast:
    """Windows that are issued after a thousand days."""
    sample = draw_sample(
        np.random.default_rng(seed),
        n_windows=n_windows,
        spread=spread,
        horizon_steps=horizon_steps,
    )
    return replace(sample, issues=sample.issues + 24_000)


def with_observed(sample: Forecast, window: int, value: float) -> Forecast:
    observed = sample.observed.copy()
    observed[window] = value
    return replace(sample, observed=observed)


@pytest.mark.parametrize("name", ONLINE)
@pytest.mark.parametrize(("horizon_steps", "lag"), [(24, 1), (25, 2), (168, 7)])
def test_a_window_teaches_once_its_last_hour_is_past(
    name: str, horizon_steps: int, lag: int
) -> None:
    fitted = fit_calibrator(
        draw_sample(np.random.default_rng(0), n_windows=20, horizon_steps=horizon_steps), name
    )
    sample = later_sample(1, 12, horizon_steps=horizon_steps)
    changed = with_observed(sample, 2, 1e3)
    before, after = (walk_forward(fitted, s).forecast.quantiles for s in (sample, changed))
    differs = (before != after).any(axis=(1, 2))
    assert differs.tolist() == [i >= 2 + lag for i in range(12)]


def test_an_hourly_issue_knows_only_what_lies_wholly_behind_it() -> None:
    issues = np.arange(48)
    assert [n_past_windows(issues, 24, now) for now in (0, 23, 24, 25)] == [0, 0, 1, 2]


@pytest.mark.parametrize("name", ONLINE)
@pytest.mark.parametrize("cut", [1, 5, 11])
@pytest.mark.parametrize("horizon_steps", [24, 72])
def test_rolling_calibration_that_was_stored_goes_on_as_if_it_had_not_been(
    name: str, cut: int, horizon_steps: int
) -> None:
    fit = draw_sample(np.random.default_rng(2), n_windows=20, horizon_steps=horizon_steps)
    sample = later_sample(3, 12, horizon_steps=horizon_steps)
    whole = walk_forward(fit_calibrator(fit, name), sample)
    first = walk_forward(fit_calibrator(fit, name), sample.take(slice(0, cut)))
    stored = json.loads(json.dumps(first.calibrator.as_json(), allow_nan=False))
    second = walk_forward(load_calibrator(stored), sample.take(slice(cut, None)), first.pending)
    both = np.concatenate((first.forecast.quantiles, second.forecast.quantiles))
    assert both == pytest.approx(whole.forecast.quantiles, rel=1e-12)
    assert second.calibrator.as_json() == whole.calibrator.as_json()
    assert second.pending.n_windows == whole.pending.n_windows


@pytest.mark.parametrize("name", ONLINE)
def test_a_forecast_that_becomes_too_narrow_is_followed(name: str) -> None:
    fitted = fit_calibrator(draw_sample(np.random.default_rng(4), n_windows=100), name)
    sample = later_sample(5, 300, spread=0.4)
    static = fit_calibrator(draw_sample(np.random.default_rng(4), n_windows=100), "cqr")
    assert coverage(static.apply(sample), 0.1, 0.9) < 50.0
    last = walk_forward(fitted, sample).forecast.take(slice(150, None))
    assert coverage(last, 0.1, 0.9) == pytest.approx(80.0, abs=3.0)


@pytest.mark.parametrize("name", ONLINE)
def test_a_forecast_that_becomes_too_wide_is_narrowed(name: str) -> None:
    fitted = fit_calibrator(draw_sample(np.random.default_rng(6), n_windows=100), name)
    sample = later_sample(7, 300, spread=2.5)
    last = walk_forward(fitted, sample).forecast.take(slice(150, None))
    assert coverage(last, 0.1, 0.9) == pytest.approx(80.0, abs=3.5)
    raw = sample.quantiles[150:]
    assert np.ptp(last.quantiles, axis=-1).mean() < 0.6 * np.ptp(raw, axis=-1).mean()


@pytest.mark.parametrize("name", ONLINE)
def test_a_window_without_an_observation_changes_nothing(name: str) -> None:
    fitted = fit_calibrator(draw_sample(np.random.default_rng(8), n_windows=20), name)
    sample = with_observed(later_sample(9, 4), 1, np.nan)
    assert isinstance(fitted, OnlineCalibrator)
    missing = sample.take(slice(1, 2))
    learned = fitted.learn(missing)
    before, after = (c.apply(sample).quantiles for c in (fitted, learned))
    assert (before == after).all()
    assert np.isfinite(walk_forward(fitted, sample).forecast.quantiles).all()


@pytest.mark.parametrize("name", ONLINE)
def test_half_a_window_teaches_what_it_shows(name: str) -> None:
    fitted = fit_calibrator(draw_sample(np.random.default_rng(10), n_windows=20), name)
    assert isinstance(fitted, OnlineCalibrator)
    window = later_sample(11, 1)
    observed = window.observed.copy()
    observed[:, 12:] = np.nan
    half = replace(window, observed=observed)
    learned = fitted.learn(half)
    assert json.dumps(learned.as_json(), allow_nan=False)
    changed = learned.apply(window).quantiles
    assert (changed != fitted.apply(window).quantiles).any()


@pytest.mark.parametrize("name", ONLINE)
def test_no_window_teaches_twice(name: str) -> None:
    fitted = fit_calibrator(draw_sample(np.random.default_rng(12), n_windows=20), name)
    assert isinstance(fitted, OnlineCalibrator)
    window = later_sample(13, 2)
    learned = fitted.learn(window)
    with pytest.raises(DataError, match="24000 again"):
        learned.learn(window)


def test_adaptive_levels_move_by_the_rate_times_the_error() -> None:
    sample = draw_sample(np.random.default_rng(14), n_windows=20)
    fitted = fit_calibrator(sample, "aci")
    assert isinstance(fitted, AdaptiveCalibrator)
    window = with_observed(later_sample(15, 1), 0, -1e6)  # below every quantile
    moved = fitted.learn(window).adapted
    assert moved == pytest.approx(
        [max(0.0, level + 0.04 * (level - 1.0)) for level in sample.levels]
    )


def test_an_adapted_level_beyond_1_is_read_at_the_outermost_observation() -> None:
    fitted = fit_calibrator(draw_sample(np.random.default_rng(16), n_windows=20), "aci")
    assert isinstance(fitted, AdaptiveCalibrator)
    far = replace(fitted, adapted=(-0.5, *fitted.adapted[1:-1], 1.5))
    remapped = far.remapped_levels()
    assert remapped[-1] == np.nanmax(far.lowest)
    assert remapped[0] == np.nanmin(far.highest)


def test_days_as_hard_as_usual_leave_the_widths_and_hard_days_widen_them() -> None:
    sample = draw_sample(np.random.default_rng(17), n_windows=60)
    fitted = fit_pid(sample)
    assert fitted.scale == 1.0
    calm, hard = (
        replace(
            later_sample(18, 6),
            observed=later_sample(18, 6).median + off,
        )
        for off in (0.1, 9.0)
    )

    def scale_after(windows: Forecast) -> float:
        learned = walk_forward(fitted, windows).calibrator
        assert isinstance(learned, PidCalibrator)
        return learned.scale

    assert scale_after(calm) < 0.7
    assert scale_after(hard) > 1.5


def test_a_constant_forecast_without_error_does_not_divide_by_it() -> None:
    observed = np.full((20, 3), 5.0)
    flat = np.full((20, 3, 3), 5.0)
    sample = Forecast(flat, (0.1, 0.5, 0.9), observed, 24 * np.arange(20), clock_groups(20, 3))
    issued = walk_forward(fit_calibrator(sample, "pid"), sample).forecast.quantiles
    assert issued[0].tolist() == [[5.0] * 3] * 3
    assert np.isfinite(issued).all()


def test_a_calibrator_that_does_not_learn_is_applied_to_all_windows() -> None:
    sample = draw_sample(np.random.default_rng(19), n_windows=30, spread=0.5)
    fitted = fit_calibrator(sample, "cqr-hour")
    rolled = walk_forward(fitted, sample)
    assert (rolled.forecast.quantiles == fitted.apply(sample).quantiles).all()
    assert rolled.calibrator is fitted
    assert rolled.pending.n_windows == 0


@pytest.mark.parametrize("name", ONLINE)
def test_the_next_forecast_does_not_look_at_its_own_observations(name: str) -> None:
    fitted = fit_calibrator(draw_sample(np.random.default_rng(20), n_windows=20), name)
    sample = later_sample(21, 6)

    def last_issued(values: NDArray[np.float64]) -> NDArray[np.float64]:
        rolled = walk_forward(fitted, replace(sample, observed=values))
        issued: NDArray[np.float64] = rolled.forecast.quantiles[-1]
        return issued

    unknown = sample.observed.copy()
    unknown[-1] = np.nan
    assert (last_issued(sample.observed) == last_issued(unknown)).all()


def month_of_shocks(seed: int, *, level: float = 0.0, spread: float = 1.0) -> Forecast:
    """Thirty days as in the fit, thirty off by a level and a factor of the error, 100 as before."""
    sample = later_sample(seed, 160)
    error = sample.observed - sample.median
    error[30:60] = spread * error[30:60] + level
    return replace(sample, observed=sample.median + error)


@pytest.mark.parametrize("name", ONLINE)
@pytest.mark.parametrize("shock", [{"level": 5.0}, {"level": -5.0}, {"spread": 4.0}])
def test_after_a_month_of_shocks_intervals_hold_again_within_weeks(
    name: str, shock: dict[str, float]
) -> None:
    fitted = fit_calibrator(draw_sample(np.random.default_rng(22), n_windows=80), name)
    rolled = walk_forward(fitted, month_of_shocks(23, **shock)).forecast
    assert coverage(rolled.take(slice(30, 34)), 0.1, 0.9) < 50.0
    for day in (81, 95, 109, 123):  # from three weeks after it
        assert 70.0 < coverage(rolled.take(slice(day, day + 14)), 0.1, 0.9) < 90.0
    width = np.ptp(rolled.quantiles[..., [1, 9]], axis=-1).mean(axis=1)
    assert width[100:].mean() < 1.35 * width[:30].mean()


def test_pid_widens_no_interval_beyond_its_bound_and_forgets_its_state() -> None:
    sample = draw_sample(np.random.default_rng(24), n_windows=80)
    fitted = fit_pid(sample)
    shocked = month_of_shocks(25, level=1e6)
    base = fitted.base.apply(shocked)
    rolled = walk_forward(fitted, shocked)
    assert isinstance(rolled.calibrator, PidCalibrator)
    raw, issued = (np.ptp(f.quantiles[..., [1, 9]], axis=-1) for f in (base, rolled.forecast))
    outwards = np.abs(base.median - shocked.median)  # from the moved median to the one that stays
    assert (issued <= fitted.gains.most_widening * raw + outwards).all()
    assert issued[59].mean() > 2.0 * raw[59].mean()
    assert rolled.calibrator.scale < 1.3


@pytest.mark.parametrize("name", ONLINE)
def test_a_season_in_which_errors_grow_slowly_is_followed(name: str) -> None:
    fitted = fit_calibrator(draw_sample(np.random.default_rng(26), n_windows=80), name)
    sample = later_sample(27, 240)
    grown = np.linspace(1.0, 3.0, 240)[:, None] * (sample.observed - sample.median)
    season = replace(sample, observed=sample.median + grown)
    rolled = walk_forward(fitted, season).forecast
    for start in range(0, 240, 30):
        assert 70.0 < coverage(rolled.take(slice(start, start + 30)), 0.1, 0.9) < 90.0
    assert (
        coverage(fit_calibrator(sample, "cqr").apply(season).take(slice(180, 240)), 0.1, 0.9) < 45
    )


def test_adapted_levels_never_leave_0_to_1_and_come_back_at_once() -> None:
    fitted = fit_calibrator(draw_sample(np.random.default_rng(28), n_windows=40), "aci")
    rolled = walk_forward(fitted, month_of_shocks(29, level=1e3).take(slice(0, 61))).calibrator
    assert isinstance(rolled, AdaptiveCalibrator)
    assert min(rolled.adapted) >= 0.0
    assert max(rolled.adapted) == 1.0
    window = with_observed(later_sample(30, 62).take(slice(61, 62)), 0, -1e6)
    learned = rolled.learn(window)
    assert max(learned.adapted) < 1.0


def test_a_pid_calibrator_of_the_first_version_goes_on_from_its_shifts() -> None:
    fitted = fit_pid(draw_sample(np.random.default_rng(31), n_windows=40))
    stored = replace(fitted, shifts=tuple(np.linspace(-0.2, 0.2, 11))).as_json()
    stored["schema_version"] = 1
    stored |= {"error_sums": [0.5] * 11, "n_learned": 7}
    stored["gains"] = {
        "rate": 0.05,
        "integral": 0.05,
        "saturation": 1.0,
        "half_life": 3.0,
        "power": 0.6,
    }
    for place in (stored, stored["base"]):
        del place["moves_median"]
    loaded = load_calibrator(json.loads(json.dumps(stored)))
    assert isinstance(loaded, PidCalibrator)
    assert loaded.shifts == pytest.approx(np.linspace(-0.2, 0.2, 11))
    assert loaded.gains.rate == 0.05
    sample = later_sample(32, 5)
    rolled = walk_forward(loaded, sample).forecast
    assert (rolled.median == loaded.base.apply(sample).median).all()


def test_pid_may_take_the_median_of_its_fit_and_moves_it_further_only_on_evidence() -> None:
    biased = draw_sample(np.random.default_rng(33), n_windows=60, bias=2.0)
    chosen = choose_calibrator(biased, coverage=80.0, names=["none", "pid"]).calibrator
    assert isinstance(chosen, PidCalibrator)
    assert chosen.moves_median
    sample = month_of_shocks(34, level=5.0)
    rolled = walk_forward(load_calibrator(json.loads(json.dumps(chosen.as_json()))), sample)
    assert rolled.calibrator.moves_median
    kept = chosen.base.apply(sample).median
    assert (rolled.forecast.median[:7] == kept[:7]).all()
    assert (kept != sample.median).any()  # by the bias of the fit, which is gone
    errors = [np.abs(sample.observed - median)[7:30] for median in (rolled.forecast.median, kept)]
    assert errors[0].mean() < 0.8 * errors[1].mean()


@pytest.mark.parametrize("moves_median", [False, True])
@pytest.mark.parametrize("name", ONLINE)
def test_windows_teach_the_same_at_once_and_one_after_the_other(
    name: str, *, moves_median: bool
) -> None:
    biased = draw_sample(np.random.default_rng(38), n_windows=60, bias=2.0)
    fitted = fit_calibrator(biased, name)
    assert isinstance(fitted, OnlineCalibrator)
    at_once = one_by_one = fitted.moving_median() if moves_median else fitted
    sample = later_sample(39, 4)
    at_once = at_once.learn(sample)
    for i in range(4):
        one_by_one = one_by_one.learn(sample.take(slice(i, i + 1)))
    assert at_once.as_json() == one_by_one.as_json()


@pytest.mark.parametrize("name", ONLINE)
def test_a_level_that_has_drifted_is_followed_by_the_median_too(name: str) -> None:
    fitted = fit_calibrator(draw_sample(np.random.default_rng(35), n_windows=80), name)
    drifting = later_sample(36, 180)
    level = np.clip(np.arange(180) - 30, 0, 60) / 15.0  # up to 4 within two months, and it stays
    drifting = replace(drifting, observed=drifting.observed + level[:, None])
    issued = walk_forward(fitted, drifting).forecast
    before, after = (np.abs(drifting.observed - f.median)[60:].mean() for f in (drifting, issued))
    assert after < 0.7 * before


@pytest.mark.slow
@pytest.mark.parametrize("name", ONLINE)
def test_without_drift_the_median_moves_by_next_to_nothing(name: str) -> None:
    ratios = []
    for seed in range(60):
        fitted = fit_calibrator(draw_sample(np.random.default_rng(seed), n_windows=30), name)
        sample = later_sample(100 + seed, 90)
        issued = walk_forward(fitted, sample).forecast
        errors = (np.abs(sample.observed - f.median).mean() for f in (issued, sample))
        ratios.append(float(np.divide(*errors)))
    assert np.mean(ratios) < 1.001
    assert max(ratios) < 1.01


def test_a_calibrator_of_the_second_version_has_no_evidence_yet() -> None:
    stored = fit_pid(draw_sample(np.random.default_rng(37), n_windows=40)).as_json()
    stored["schema_version"] = 2
    del stored["median_evidence"]
    loaded = load_calibrator(stored)
    assert isinstance(loaded, PidCalibrator)
    assert loaded.median_evidence == NO_EVIDENCE


def test_aci_never_moves_the_median() -> None:
    biased = draw_sample(np.random.default_rng(35), n_windows=60, bias=2.0)
    fitted = fit_calibrator(biased, "aci")
    assert not fitted.moving_median().moves_median
    assert not choose_calibrator(biased, coverage=80.0, names=["aci"]).calibrator.moves_median
