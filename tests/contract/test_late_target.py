"""A target that is published late: what is not there at an issue reaches no forecast of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from builders import make_dates, make_series
from paretocast.api import operations
from paretocast.benchmarking.configs import TrainedConfig
from paretocast.benchmarking.retraining import plan_retraining, train_and_forecast
from paretocast.benchmarking.run import calibrate_test
from paretocast.data.gaps import SeenTarget, fill_from_past
from paretocast.data.scaling import Transform, scale_task, scaled_arrays
from paretocast.data.series import Series
from paretocast.data.spec import declare_dataset
from paretocast.data.task import Task, TaskShape, plan_task
from paretocast.deployment.audit import audit
from paretocast.deployment.build import build_bundle
from paretocast.deployment.bundle import RIDGE
from paretocast.deployment.climatology import forecast_climatology
from paretocast.deployment.journal import Deployment
from paretocast.deployment.onnx_graph import columns_of, graph_of, inputs_of
from paretocast.deployment.plan import plan_bundle
from paretocast.errors import SettingsError
from paretocast.metrics.forecast import Forecast
from paretocast.models.anchor import fit_anchor, repoint_anchor
from paretocast.models.base import build_model, imported
from paretocast.models.baselines import theta
from paretocast.models.baselines.base import train_scaling
from paretocast.models.baselines.catalogue import BASELINES, fit_baseline, installed_baselines
from paretocast.models.forecast_graph import run_graph
from paretocast.models.linear_table import FULL, LinearForm, LinearTable
from paretocast.results.stored_study import StoredStudy
from paretocast.search.models import MODELS, networks
from paretocast.search.recipe import DataChoice
from paretocast.training import WindowSource, forecast_positions, seed_weights
from paretocast.training.setup import TrainingSetup, with_window
from small_bundles import Quiet, tune_with_weather, weather_table

DELAY = 6
ISSUE = 24 * 110  # in the test period: whatever is fitted was fitted before
GROUPS = ("calendar", "covariates", "weather", "lags", "rolling")
FITTED = tuple(name for name, spec in MODELS.items() if not spec.is_network)
Floats = NDArray[np.float64]


def late_series(delay: int = DELAY) -> Series:
    """The small series, with gaps of which one ends where a window's delay begins."""
    series = make_series(125)
    values = series.values.copy()
    values[1800:1830] = np.nan
    values[ISSUE - DELAY - 2 : ISSUE - DELAY] = np.nan
    return replace(series, values=values, delay_hours=delay)


def changed(series: Series, first: int, last: int) -> Series:
    values = series.values.copy()
    values[first:last] = 50.0 + np.arange(last - first)
    return replace(series, values=values)


def make_task(series: Series) -> Task:
    shape = TaskShape(input_steps=48, horizon_steps=24)
    return plan_task(series, make_dates(series), shape=shape, feature_groups=GROUPS, with_test=True)


# What is seen


@pytest.mark.parametrize("delay", [1, 6, 30, 168])
@pytest.mark.parametrize("longest", [6, None])
def test_the_last_hours_are_filled_as_a_gap_that_ends_at_the_issue(
    delay: int, longest: int | None
) -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=900)
    values[rng.random(900) < 0.05] = np.nan
    values[:30] = values[500:520] = values[610:612] = np.nan
    seen = SeenTarget.of(values, delay_steps=delay, longest_steps=longest)
    for position in (*range(3, 200, 13), 501, 512, 525, *range(600, 640), 800):
        known = values.copy()
        known[max(0, position - delay) : position] = np.nan
        expected, _ = fill_from_past(known, longest_steps=longest or 2000)
        hours = np.arange(max(0, position - 200), position)[None]
        np.testing.assert_array_equal(seen.at(np.array([position]), hours)[0], expected[hours[0]])


def test_hours_after_the_issue_are_not_touched() -> None:
    values = np.arange(100.0)
    seen = SeenTarget.of(values, delay_steps=6)
    hours = np.array([[38, 43, 44, 49, 50, 60]])
    # 24 hours before where there is no week before.
    expected = [[38.0, 43.0, 20.0, 25.0, 50.0, 60.0]]
    assert seen.at(np.array([50]), hours).tolist() == expected


# Windows that are learned from


@pytest.mark.parametrize("position", [24 * 40, 24 * 40 + 3])
def test_a_window_to_learn_from_sees_what_it_will_see_live(position: int) -> None:
    task = make_task(late_series())
    garbled = make_task(changed(task.series, position - DELAY, position))
    scaling = train_scaling(task, Transform.NONE)
    at = np.array([position])
    form = LinearForm(tuple(name for name in FULL if name != "past_means"), level=True)
    columns, others = (LinearTable(t, scaling).columns(form, at) for t in (task, garbled))
    np.testing.assert_array_equal(columns, others)
    batches = [
        WindowSource(
            scaled_arrays(t, scaling), input_steps=48, horizon_steps=24, device="cpu"
        ).inputs(torch.from_numpy(at))
        for t in (task, garbled)
    ]
    for part in ("history", "history_mask"):
        assert torch.equal(*(getattr(batch, part) for batch in batches))
    assert batches[0].history_mask.sum() == 48


@pytest.mark.parametrize("delay", [6, 60])
def test_a_network_reads_no_more_hours_than_the_rule_for_gaps_fills(delay: int) -> None:
    task = make_task(late_series(delay))
    arrays, _ = scale_task(task, Transform.NONE)
    source = WindowSource(arrays, input_steps=48, horizon_steps=24, device="cpu")
    batch = source.inputs(torch.tensor([24 * 40]))
    assert batch.history.shape == (1, 48)
    n_read = 48 if delay == DELAY else 0  # beyond the window, and older than six hours
    assert batch.history_mask.sum() == n_read


def test_features_of_the_target_read_what_is_there() -> None:
    series = late_series()
    data = DataChoice(weekly_lags=True)
    table, other = (
        with_window(make_task(s), data).features
        for s in (series, changed(series, ISSUE - DELAY, len(series)))
    )
    past = slice(ISSUE - 48, ISSUE)
    for name in ("lag_168", "lag_336", "rolling_mean_24", "rolling_mean_168"):
        np.testing.assert_array_equal(table.column(name)[past], other.column(name)[past])
    ahead = slice(ISSUE, ISSUE + 24)
    for name in ("weekly_lag_168", "weekly_lag_336"):
        np.testing.assert_array_equal(table.column(name)[ahead], other.column(name)[ahead])
    longer = with_window(make_task(replace(series, delay_hours=150)), data).features
    assert "weekly_lag_168" not in longer.names  # of the last hours it would not be there


# Forecasts


def network(model: str, series: Series) -> Callable[[Series], Floats]:
    """Forecasts by a seeded, untrained network with an anchor that was fitted on a series."""
    _, scaling = scale_task(make_task(series), Transform.NONE)
    anchor = fit_anchor(make_task(series), scaling)

    def forecast(series: Series) -> Floats:
        task, at = make_task(series), np.array([ISSUE])
        arrays = scaled_arrays(task, scaling)
        points = repoint_anchor(anchor, task, scaling, positions=at)
        source = WindowSource(arrays, input_steps=48, horizon_steps=24, device="cpu", anchor=points)
        seed_weights(3)
        module = build_model(
            model,
            source.shape(len(task.shape.levels)),
            MODELS[model].default,
            train_history=arrays.history[: task.train_stop],
        )
        return forecast_positions(module, source, at)

    return forecast


def fitted(name: str, series: Series) -> Callable[[Series], Floats]:
    """Forecasts by a baseline, or by a model that is fitted at once, fitted on a series."""
    task = make_task(series)
    if name in BASELINES:
        model = fit_baseline(name, task)
    else:
        model = imported(MODELS[name].fit)(task, MODELS[name].default, None)
    return lambda series: np.asarray(model.forecast(make_task(series), np.array([ISSUE])))


def climatology(_: str, __: Series) -> Callable[[Series], Floats]:
    levels = (0.01, 0.5, 0.99)  # one day of eight weeks moves the outermost ones alone
    return lambda series: forecast_climatology(series, ISSUE, horizon_steps=24, levels=levels)


FORECASTERS = [
    *((network, name) for name in networks()),
    *((fitted, name) for name in (*installed_baselines(), *FITTED)),
    (climatology, "climatology"),
]


@pytest.mark.parametrize(("forecaster", "name"), FORECASTERS, ids=[name for _, name in FORECASTERS])
def test_a_value_within_the_delay_changes_no_forecast_and_the_one_before_does(
    forecaster: Callable[[str, Series], Callable[[Series], Floats]], name: str
) -> None:
    series = late_series()
    forecast = forecaster(name, series)
    expected = forecast(series)
    within = changed(series, ISSUE - DELAY, ISSUE)
    np.testing.assert_array_equal(forecast(within), expected)
    values = series.values.copy()
    values[ISSUE - DELAY : ISSUE] = np.nan
    np.testing.assert_array_equal(forecast(replace(series, values=values)), expected)
    # The climatology reads the same hours of the week alone.
    n_before = 168 if name == "climatology" else 24
    before = changed(series, ISSUE - DELAY - n_before, ISSUE - DELAY)
    assert not np.array_equal(forecast(before), expected)
    assert not np.array_equal(forecast(replace(within, delay_hours=0)), expected)


class LastDay:
    """Stands in for statsforecast, which is an extra: the last day of the history once more."""

    def forecast(self, *, y: Floats, h: int) -> dict[str, Floats]:
        return {"mean": y[-h:]}


def test_the_theta_method_is_given_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(theta, "_model", lambda _: LastDay())
    task = make_task(late_series())
    garbled = make_task(changed(task.series, ISSUE - DELAY, ISSUE))
    scaling, at = train_scaling(task, Transform.NONE), np.array([ISSUE])
    points = [theta._point(t, at, scaling) for t in (task, garbled)]
    np.testing.assert_array_equal(points[0], points[1])
    before = make_task(changed(task.series, ISSUE - DELAY - 24, ISSUE - DELAY))
    assert not np.array_equal(theta._point(before, at, scaling), points[0])


# Calibration and retraining


def test_a_calibrator_waits_until_a_window_is_known_whole() -> None:
    issues = 24 * np.arange(4)
    forecast = Forecast(np.zeros((4, 24, 3)), (0.1, 0.5, 0.9), issues=issues, delay_steps=DELAY)
    assert forecast.take(slice(2)).followed_by(forecast.take(slice(2, 4))).delay_steps == DELAY
    assert forecast.with_quantiles(forecast.quantiles + 1.0).delay_steps == DELAY


def test_a_model_that_learns_again_has_learned_nothing_that_is_not_there() -> None:
    task = make_task(late_series())
    first = int(task.issues["test"][0])
    periods = plan_retraining(task, refit_until=first, retrain_days=7)
    assert [p.until for p in periods] == [int(p.positions[0]) - DELAY for p in periods]


# Deployed


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StoredStudy:
    """A study of a network on a data set whose target comes six hours late."""
    return tune_with_weather(tmp_path_factory.mktemp("late"), available_after=f"{DELAY}h")


def deploy(study: StoredStudy, folder: Path, model: str) -> Deployment:
    """A deployment of a model with its default config, calibrated online."""
    method = RIDGE if model == RIDGE else "trial 0"
    plan = plan_bundle(study, method=method, calibrator="pid")
    if model in FITTED:
        trained = TrainedConfig(model, dict(MODELS[model].default), 0, 0)
        plan = replace(plan, configs=((trained, 1.0),))
    deployment = Deployment(folder)
    bundle = build_bundle(plan, deployment.bundles, observer=Quiet())
    deployment.point_to(bundle.name, event="deploy", reason="test")
    return deployment


def trained_forecasts(study: StoredStudy, model: str, task: Task) -> dict[str, Floats]:
    """Forecasts of the calibrate and test splits as a benchmark makes them."""
    if model != "NHITS_Q":
        fit = imported(MODELS[model].fit) if model in FITTED else None
        fitted = (
            fit_baseline(model, task)
            if fit is None
            else fit(task, dict(MODELS[model].default), None)
        )
        return {s: fitted.forecast(task, task.issues[s]) for s in ("calibrate", "test")}
    (trained, _), *_ = plan_bundle(study, method="trial 0").configs
    setup = TrainingSetup.from_settings(study.settings, task, device="cpu")
    periods = plan_retraining(setup.task)
    return train_and_forecast(setup, trained.config, seed=trained.seed(0), periods=periods)


@pytest.mark.parametrize("model", [RIDGE, *FITTED, "NHITS_Q"])
def test_live_forecasts_are_those_of_the_benchmark(
    study: StoredStudy, tmp_path: Path, model: str
) -> None:
    deployment = deploy(study, tmp_path / "late", model)
    task = Task.from_settings(study.settings, with_test=True)
    assert task.series.delay_hours == deployment.bundle.contract.delay_hours == DELAY
    expected = trained_forecasts(study, model, task)
    times = task.issue_times("test")[:6]
    live = operations.forecast(deployment.folder, weather_table(), first=times[0], last=times[-1])
    raw = np.sort(expected["test"][:6], axis=-1)
    tolerance = 1e-5 if model == "NHITS_Q" else 1e-9
    np.testing.assert_allclose([f.raw for f in live], raw, rtol=tolerance)
    calibrated = calibrate_test(task, expected, "pid", coverage=80.0).forecast.quantiles[:6]
    np.testing.assert_allclose([f.quantiles for f in live], calibrated, rtol=tolerance)
    assert {f.rung for f in live} == {"full"}
    assert not any(f.flags for f in live)
    assert not audit(Deployment.open(deployment.folder)).problems
    # What a file holds of the last hours is not read, however it came there.
    garbled = weather_table()
    rows = pd.to_datetime(garbled["timestamp"])
    late = (rows >= times[0] - pd.Timedelta(hours=DELAY)) & (rows < times[0])
    garbled.loc[late, "demand"] = 99.0
    (again,) = operations.forecast(deployment.folder, garbled, at=times[0], dry_run=True)
    assert again.data_hash == live[0].data_hash
    np.testing.assert_array_equal(again.raw, live[0].raw)


@pytest.mark.parametrize("model", [RIDGE, "NHITS_Q"])
def test_an_exported_graph_does_not_read_what_is_not_there(
    study: StoredStudy, tmp_path: Path, model: str
) -> None:
    bundle = deploy(study, tmp_path / "late", model).bundle
    window = bundle.contract.read(weather_table()).cut(pd.Timestamp("2021-04-20T00:00Z"))
    columns = columns_of(bundle, window)
    inputs = inputs_of(columns, window.series, window.position)
    inputs["history"][:, -DELAY:] = 99.0
    made = run_graph(graph_of(bundle, columns, window), inputs)
    np.testing.assert_allclose(made, bundle.raw_forecast(window)[1], rtol=1e-5)


def test_by_default_the_issue_is_the_first_that_knows_the_last_value(
    study: StoredStudy, tmp_path: Path
) -> None:
    bundle = deploy(study, tmp_path / "late", RIDGE).bundle
    last = pd.Timestamp("2021-04-20T17:00Z")
    table = weather_table()
    table = table.assign(demand=table["demand"].where(pd.to_datetime(table["timestamp"]) <= last))
    forecast = bundle.forecast(table)
    assert forecast.issue_time == last + pd.Timedelta(hours=1 + DELAY)
    assert "late_data" not in forecast.flags


@pytest.mark.parametrize("delay", ["6", "1d", "169h", "-6h"])
def test_a_delay_is_full_hours_and_a_week_at_most(delay: str) -> None:
    content = {
        "name": "late",
        "path": "late.csv",
        "target": "demand",
        "unit": "MW",
        "available_after": delay,
        "splits": {"train": 0.6, "validation": 0.2},
    }
    with pytest.raises(SettingsError, match=r"available_after.*expected full hours such as 6h"):
        declare_dataset(content, origin="test")
    assert declare_dataset({**content, "available_after": "168h"}, origin="t").delay_hours == 168
