"""The exported module against the package's own rules, part by part."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import pytest
import torch

from builders import make_series
from paretocast.calibration.ensemble import average_levels
from paretocast.data.calendar import AROUND_HOLIDAYS
from paretocast.data.features import build_features, fill_covariate
from paretocast.data.gaps import fill_from_past
from paretocast.data.scaling import TargetScaling, Transform, standardised
from paretocast.data.series import Calendar, Covariate, Role, Series, SplitDates
from paretocast.data.task import Task, TaskShape
from paretocast.deployment.members import NetworkMember
from paretocast.deployment.onnx_graph import inputs_of, member_graph
from paretocast.deployment.writing import _standards
from paretocast.models import forecast_graph as graph
from paretocast.models.anchor import Anchor
from paretocast.models.base import SeedAverage, WindowShape, build_model
from paretocast.models.linear import LinearMean, LinearModel
from paretocast.models.linear_table import FULL, LinearForm, LinearTable
from paretocast.search.models import MODELS, networks
from paretocast.search.recipe import DataChoice
from paretocast.training import seed_weights
from paretocast.training.setup import visible, with_window

HISTORY = 1344
LOG = TargetScaling(Transform.LOG1P, offset=1.3, center=2.0, spread=0.4, lower_bound=0.0)
PLAIN = TargetScaling(Transform.NONE, offset=1.0, center=9.0, spread=2.5)


def holed(values: np.ndarray, seed: int) -> np.ndarray:
    """Values with holes of 1 to 40 hours, and 300 hours in a row."""
    rng = np.random.default_rng(seed)
    holes = values.copy()
    for start in rng.integers(30, len(values), size=30):
        holes[start : start + rng.integers(1, 41)] = np.nan
    start = int(rng.integers(200, len(values) - 300))
    holes[start : start + 300] = np.nan
    return holes


@pytest.mark.parametrize("longest", [None, 6])
@pytest.mark.parametrize("leading", [0, 3, 40])
@pytest.mark.parametrize("seed", range(5))
def test_gaps_are_filled_as_before_a_training(longest: int | None, leading: int, seed: int) -> None:
    values = holed(np.arange(HISTORY, dtype=np.float64), seed)
    values[:leading] = np.nan
    tensor = torch.from_numpy(values)
    filled = graph._filled(tensor, graph._sources_of_target(tensor, longest))
    expected, _ = fill_from_past(values, longest_steps=longest or HISTORY)
    np.testing.assert_array_equal(filled.numpy(), expected)


@pytest.mark.parametrize("seed", range(5))
def test_holes_in_a_covariate_are_filled_as_before_a_training(seed: int) -> None:
    values = holed(np.arange(HISTORY + 24, dtype=np.float64), seed)
    values[5:20] = np.nan  # longer than is held, and no day before it
    tensor = torch.from_numpy(values)
    filled = graph._filled(tensor, graph._sources_of_covariate(tensor))
    expected = fill_covariate(Covariate("temperature", values, Role.FORECAST, "°C"))
    np.testing.assert_array_equal(filled.numpy(), expected)


@pytest.mark.parametrize("scaling", [LOG, PLAIN])
def test_values_are_scaled_and_unscaled(scaling: TargetScaling) -> None:
    values = np.array([-1.0, 0.0, 0.3, 7.0])
    scaled = scaling.scale(values)
    np.testing.assert_allclose(graph._scaled(torch.from_numpy(values), scaling), scaled, rtol=1e-14)
    np.testing.assert_allclose(
        graph._unscaled(torch.from_numpy(scaled), scaling), scaling.unscale(scaled), atol=1e-14
    )
    limited = replace(scaling, limits=(0.2, 3.0))
    read = graph._read(torch.from_numpy(values), limited)
    np.testing.assert_allclose(read, limited.scale_inputs(values), rtol=1e-14)
    assert read[0] == read[1]
    assert read[3] < scaled[3]


def task_of(*, horizon_steps: int = 24, with_covariates: bool = True) -> Task:
    """One window with holes, every kind of feature, and both kinds of holidays."""
    series = cut(make_series(70), HISTORY + horizon_steps)
    rng = np.random.default_rng(5)
    temperature, pressure = series.covariates
    wind = Covariate("wind", rng.gamma(2.0, 2.0, size=len(series)), Role.FORECAST, "m/s")
    holes = replace(temperature, values=holed(temperature.values * 4.0, 8))
    values = holed(series.values, 7)
    values[HISTORY - 9 :] = np.nan
    winter = (dt.date(2021, 2, 13), dt.date(2021, 2, 28))
    series = replace(
        series,
        values=values,
        covariates=(holes, pressure, wind) if with_covariates else (),
        calendar=Calendar("Europe/Copenhagen", "DK", (winter,)),
    )
    groups = ("calendar", "holidays", "covariates", "weather", "lags", "rolling")
    last = series.index[-1]
    task = Task(
        series=series,
        features=build_features(series, groups=groups),
        shape=TaskShape(input_steps=48, horizon_steps=horizon_steps),
        dates=SplitDates(last, last, last),
        blocks=(),
        issues={},
    )
    # Limits that many values exceed.
    standards = {n: (c, s, c - 1.5 * s, c + 1.5 * s) for n, (c, s, *_) in _standards(task).items()}
    return replace(task, standards=standards)


def cut(series: Series, steps: int) -> Series:
    covariates = tuple(replace(c, values=c.values[:steps]) for c in series.covariates)
    return replace(
        series, values=series.values[:steps], index=series.index[:steps], covariates=covariates
    )


def columns_of(task: Task) -> graph.WindowColumns:
    has_weather = bool(task.series.covariates)
    return graph.WindowColumns(
        history_steps=HISTORY,
        horizon_steps=task.shape.horizon_steps,
        calendar=(
            *("hour", "weekday", "day_of_year", "holiday", "school_holiday"),
            *AROUND_HOLIDAYS,
        ),
        covariates=tuple(c.name for c in task.series.covariates),
        features=tuple(zip(task.features.names, task.features.roles, strict=True)),
        standards=task.standards or {},
        temperature="temperature" if has_weather else None,
        wind="wind" if has_weather else None,
    )


def window_of(task: Task) -> graph._Window:
    window = inputs_of(columns_of(task), task.series, HISTORY)
    history, calendar, covariates, month = (torch.from_numpy(window[n])[0] for n in graph.INPUTS)
    return graph._window(columns_of(task), history, calendar, covariates, month - 1)


def test_features_are_those_of_a_training() -> None:
    task = task_of()
    names = task.features.names
    ours = window_of(task).table(names).numpy()
    theirs = standardised(task, task.features).values
    for i, (name, role) in enumerate(zip(names, task.features.roles, strict=True)):
        stop = len(ours) if role.known_ahead else HISTORY
        start = 336 if name.startswith(("lag", "rolling")) else 0  # no model reads the first ones
        np.testing.assert_allclose(ours[start:stop, i], theirs[start:stop, i], atol=1e-12)


@pytest.mark.parametrize("horizon_steps", [24, 72, 200])
@pytest.mark.parametrize("level", [False, True])
@pytest.mark.parametrize("weather", [False, True])
def test_regressions_see_the_columns_they_were_fitted_on(
    *, horizon_steps: int, level: bool, weather: bool
) -> None:
    task = task_of(horizon_steps=horizon_steps)
    seen = visible(task, DataChoice(weather=weather))
    model = LinearMean((linear_model(seen, level=level, lags=336),))
    points = graph.PointsGraph(model, columns_of(task), LOG, weather=weather)
    expected = model.points(LinearTable(seen, LOG, 336), np.array([HISTORY]))[0]
    np.testing.assert_allclose(points(window_of(task)).numpy(), expected, atol=1e-11)


def test_a_series_without_covariates_has_a_graph_too() -> None:
    task = task_of(with_covariates=False)
    model = LinearMean((linear_model(task, level=True, lags=24),))
    points = graph.PointsGraph(model, columns_of(task), PLAIN)
    expected = model.points(LinearTable(task, PLAIN, 24), np.array([HISTORY]))[0]
    np.testing.assert_allclose(points(window_of(task)).numpy(), expected, atol=1e-11)


def test_the_quantiles_of_members_are_averaged_by_their_weights() -> None:
    task = task_of()
    columns = columns_of(task)
    rng = np.random.default_rng(4)
    members, expected = [], []
    for lags, scaling in ((24, LOG), (168, PLAIN)):
        model = linear_model(task, level=False, lags=lags)
        spread = np.sort(rng.normal(size=(12, 24, 11)), axis=-1)
        points = graph.PointsGraph(LinearMean((model,)), columns, scaling)
        members.append(graph.SpreadGraph(points, spread, scaling))
        middle = model.points(LinearTable(task, scaling, lags), np.array([HISTORY]))[0]
        month = task.series.index[HISTORY].month - 1
        expected.append(scaling.unscale(middle[:, None] + spread[month]))
    both = graph.ForecastGraph(columns, [(members[0], 3.0), (members[1], 1.0)])
    forecast = graph.run_graph(both, inputs_of(columns, task.series, HISTORY))
    np.testing.assert_allclose(forecast, average_levels(expected, [3.0, 1.0]), atol=1e-9)


def linear_model(task: Task, *, level: bool, lags: int) -> LinearModel:
    """Weights at random for every block that there is."""
    form = LinearForm((*FULL, "year_by_step"), level=level, lags=lags)
    n_columns = LinearTable(task, LOG, lags).columns(form, np.array([HISTORY])).shape[1]
    rng = np.random.default_rng(1)
    weights = rng.normal(scale=0.03, size=(n_columns + 1, task.shape.horizon_steps))
    center = rng.normal(size=(n_columns,))
    return LinearModel(form, center, weights, np.empty((0, *weights.shape)), 0, 1)


@pytest.mark.parametrize("weather", [False, True])
@pytest.mark.parametrize("name", networks())
def test_networks_forecast_as_in_a_bundle(name: str, *, weather: bool) -> None:
    task = task_of()
    member = network_member(name, task, weather=weather)
    own = member_graph(member, columns_of(task), task)
    expected = member.forecast(task, HISTORY)
    with torch.no_grad():
        forecast = own(window_of(task)).numpy()
    width = np.mean(expected[:, -1] - expected[:, 0])
    assert np.abs(forecast - expected).max() < 1e-5 * width


@pytest.mark.slow  # the export
def test_networks_that_see_one_window_are_written_to_one_file() -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    task = task_of()
    columns = columns_of(task)
    bounded = replace(LOG, limits=(-5.0, 50.0))
    members = [
        replace(network_member("NHITS_Q", task, weather=weather), scaling=bounded)
        for weather in (False, True)
    ]
    both = graph.ForecastGraph(columns, [(member_graph(m, columns, task), 1.0) for m in members])
    inputs = inputs_of(columns, task.series, HISTORY)
    session = onnxruntime.InferenceSession(graph.to_onnx(both, inputs, {}))
    exported = session.run(None, {name: inputs[name] for name in graph.INPUTS})[0][0]
    np.testing.assert_allclose(exported, graph.run_graph(both, inputs), rtol=1e-4, atol=1e-5)


def network_member(name: str, task: Task, *, weather: bool) -> NetworkMember:
    """Two networks with weights at random, of whose correction six tenths are used."""
    data = DataChoice(input_steps=96, weather=weather, weekly_lags=True)
    seen = with_window(visible(task, data), data).features
    shape = WindowShape(96, 24, len(seen.past.names), len(seen.known.names), 11)
    config = {**MODELS[name].default, "n_seeds": 2}
    rng = np.random.default_rng(2)
    history = rng.normal(size=400).astype(np.float32)
    seed_weights(3)
    network = SeedAverage([build_model(name, shape, config, train_history=history) for _ in "ab"])
    model = LinearMean((linear_model(visible(task, data), level=True, lags=168),))
    spread = np.sort(rng.normal(size=(12, 24, 11)), axis=-1).astype(np.float32)
    nothing = np.empty(0, dtype=np.intp)
    points = np.empty((0, 0), dtype=np.float32)
    return NetworkMember(
        model=name,
        config=config,
        data=data,
        scaling=LOG,
        anchor=Anchor(model, nothing, points, spread, nothing, 1.0),
        share=0.6,
        weights={key: value.numpy() for key, value in network.state_dict().items()},
        input_steps=96,
        n_past=shape.n_past,
        n_known=shape.n_known,
        n_levels=11,
        horizon_steps=24,
    )
