"""The first guess: what it learns from, and what it must not."""

from __future__ import annotations

import numpy as np
import pytest

from builders import make_series, make_task, with_values
from paretocast.benchmarking.retraining import RetrainingPeriod, train_and_forecast
from paretocast.data.scaling import Transform, scale_task
from paretocast.data.task import Task
from paretocast.errors import DataError
from paretocast.models.anchor import Anchor, fit_anchor, is_long_enough, refit_anchor
from paretocast.models.linear import N_FOLDS
from paretocast.search.models import MODELS
from paretocast.settings import TrainingSettings, TuneSettings
from paretocast.training import forecast_positions
from paretocast.training.setup import TrainingSetup, learned_until, start_training


def anchor_of(task: Task, *, until: int | None = None) -> Anchor:
    _, scaling = scale_task(task, Transform.NONE)
    anchor = fit_anchor(task, scaling)
    return anchor if until is None else refit_anchor(anchor, task, scaling, until=until)


def points_of(task: Task, *, until: int | None = None) -> np.ndarray:
    return anchor_of(task, until=until).points


def train_windows(anchor: Anchor, task: Task) -> np.ndarray:
    """Windows that the anchor forecasts and whose last hour is in the train period."""
    return anchor.positions[anchor.positions + task.shape.horizon_steps <= task.train_stop]


def middle_of_a_fold(task: Task) -> int:
    """A train position whose window lies deep in one fold of every member."""
    members = anchor_of(task).model.members
    around = np.arange(-48, 49)
    for position in range(members[0].first, members[0].last, 24):
        folds = [(position + around - m.first) * N_FOLDS // (m.last + 1 - m.first) for m in members]
        if all(len(set(fold.tolist())) == 1 for fold in folds):
            return position
    raise AssertionError("no position lies in one fold of all members")


def test_a_guess_is_right_where_demand_repeats_itself() -> None:
    series = make_series(with_covariates=False)
    day = np.sin(2.0 * np.pi * np.arange(len(series.values)) / 24.0)
    task = make_task(with_values(series, 10.0 + day))
    arrays, scaling = scale_task(task, Transform.NONE)
    anchor = fit_anchor(task, scaling)
    for positions in (train_windows(anchor, task), task.issues["tune"]):
        errors = anchor.points[positions] - arrays.history[positions[:, None] + np.arange(24)]
        assert np.abs(errors).mean() < 0.1  # of a standard deviation


def test_a_guess_for_a_train_window_does_not_come_from_its_own_outcome() -> None:
    series, task = make_series(), make_task()
    position = middle_of_a_fold(task)
    values = series.values.copy()
    values[position : position + 24] += 0.5 * np.tile([1.0, -1.0], 12)  # mean and spread stay
    changed = make_task(with_values(series, values))
    before, after = points_of(task), points_of(changed)
    np.testing.assert_allclose(after[position], before[position], atol=0.01)
    assert np.abs(after - before).max() > 0.05  # others learn from it


def after_stop(task: Task) -> int:
    """Position after the last hour that the fit of an anchor may read."""
    return int(task.issues["stop"][-1]) + task.shape.horizon_steps


def test_what_comes_after_the_stop_split_changes_no_earlier_guess() -> None:
    series, task = make_series(), make_task()
    stop = after_stop(task)
    values = series.values.copy()
    values[stop:] = 99.0
    before, after = points_of(task), points_of(make_task(with_values(series, values)))
    np.testing.assert_array_equal(after[:stop], before[:stop])
    assert not np.array_equal(after, before)


def test_a_guess_fitted_again_reads_nothing_from_where_it_was_told_to_stop() -> None:
    series, task = make_series(), make_task()
    until = after_stop(task)
    values = series.values.copy()
    values[until:] = 99.0
    before = points_of(task, until=until)
    changed = points_of(make_task(with_values(series, values)), until=until)
    np.testing.assert_array_equal(changed[:until], before[:until])
    assert not np.array_equal(before[:until], points_of(task)[:until])


def test_a_long_horizon_and_a_gap_leave_finite_guesses() -> None:
    series = make_series()
    values = series.values.copy()
    values[24 * 20 : 24 * 24] = np.nan
    task = make_task(with_values(series, values), horizon_steps=72)
    guesses = points_of(task)
    assert guesses.shape == (len(task.series.values), 72)
    assert np.isfinite(guesses).all()


def test_the_spread_covers_the_errors_it_was_learned_from_and_more_where_they_grew() -> None:
    task, series = make_task(), make_series()
    arrays, scaling = scale_task(task, Transform.NONE)
    anchor = fit_anchor(task, scaling)
    assert anchor.spread.shape == (12, 24, len(task.shape.levels))
    assert (np.diff(anchor.spread, axis=2) >= 0.0).all()
    issued = train_windows(anchor, task)
    errors = arrays.history[issued[:, None] + np.arange(24)] - anchor.points[issued]
    spread = anchor.spread[anchor.group[issued]] / anchor.inflation
    inside = (spread[:, :, 1] <= errors) & (errors <= spread[:, :, -2])
    assert abs(inside.mean() - 0.8) < 0.05

    values = series.values.copy()
    noise = np.random.default_rng(0).normal(size=len(values) - task.train_stop)
    values[task.train_stop :] += 2.0 * noise
    assert anchor_of(make_task(with_values(series, values))).inflation > 1.5 * anchor.inflation


def test_demand_that_never_changes_gets_a_narrow_finite_guess() -> None:
    series = make_series(with_covariates=False)
    task = make_task(with_values(series, np.full(len(series.values), 5.0)), horizon_steps=1)
    anchor = anchor_of(task)
    assert anchor.inflation == 1.0
    assert np.isfinite(anchor.spread).all()


def test_an_hour_that_is_never_observed_leaves_a_finite_guess() -> None:
    series = make_series(with_covariates=False)
    values = series.values.copy()
    values[3::24] = np.nan
    anchor = anchor_of(make_task(with_values(series, values)))
    assert np.isfinite(anchor.points).all()
    assert np.isfinite(anchor.spread).all()
    assert (np.diff(anchor.spread, axis=2) >= 0.0).all()


def test_a_gap_does_not_pull_the_guess_towards_the_train_split() -> None:
    series = make_series(with_covariates=False)
    values = series.values + np.linspace(0.0, 30.0, len(series.values))
    position = 24 * 100
    gapped = values.copy()
    gapped[position - 24 * 2 : position - 24] = np.nan
    whole = points_of(make_task(with_values(series, values), horizon_steps=1))[position]
    holed = points_of(make_task(with_values(series, gapped), horizon_steps=1))[position]
    np.testing.assert_allclose(holed, whole, atol=0.4)  # demand stands 3 standard deviations up


def test_rows_without_a_whole_window_hold_zero() -> None:
    task = make_task()
    guesses = points_of(task)
    assert not guesses[: task.shape.input_steps].any()
    assert not guesses[-task.shape.horizon_steps + 1 :].any()


def test_a_model_that_learns_again_forecasts_from_the_anchor_it_learned_with() -> None:
    task = make_task(horizon_steps=1)
    training = TrainingSettings(steps=1, anchor="ridge", transform=Transform.NONE)
    setup = TrainingSetup.from_settings(
        TuneSettings(model="NHITS_Q", training=training), task, device="cpu"
    )
    until = int(task.issues["tune"][-1])
    later = learned_until(setup, until)
    assert later.source.anchor is not None
    assert setup.source.anchor is not None
    positions = task.issues["tune"]
    assert not np.array_equal(later.source.anchor.points, setup.source.anchor.points)
    fresh = start_training(later, MODELS["NHITS_Q"].default, seed=1)
    with fresh.best_model() as model:
        forecast = forecast_positions(model, later.source, positions)
    anchor = later.source.anchor
    expected = anchor.points[positions][:, :, None] + anchor.spread[anchor.group[positions]]
    np.testing.assert_allclose(forecast, expected, atol=1e-5)

    stretch = RetrainingPeriod(positions[-2:], until)
    config = {**MODELS["NHITS_Q"].default, "lr": 1e-12}
    proven = train_and_forecast(setup, config, seed=1, periods=[stretch])["test"]
    np.testing.assert_allclose(proven, setup.scaling.unscale(forecast[-2:]), atol=1e-3)


def test_too_few_windows_are_an_error_that_says_what_to_do() -> None:
    series = make_series(with_covariates=False)
    values = series.values.copy()
    values[24 * 9 : 24 * 58] = np.nan
    short = make_task(with_values(series, values))
    with pytest.raises(DataError, match="use --anchor none"):
        anchor_of(short)
    assert not is_long_enough(short)
