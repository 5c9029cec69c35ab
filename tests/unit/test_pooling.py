"""One network for many series: what it learns from, what it is told, and what it must not see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from builders import make_series, make_task, runs_table, with_values
from paretocast.data.pooled import PooledTask
from paretocast.data.series import Series
from paretocast.data.task import Task
from paretocast.data.weather_runs import WeatherRuns
from paretocast.errors import DataError, SettingsError
from paretocast.models.baselines.catalogue import forecast_baselines
from paretocast.search.models import MODELS
from paretocast.settings import load_settings
from paretocast.training import forecast_positions, pooling
from paretocast.training.pooled_scores import draw_on_tune, score_on_tune, scores_by_series
from paretocast.training.pooling import PooledSetup, SimpleForecasts, pool_windows
from paretocast.training.setup import TrainingSetup, start_training
from studies import make_settings

CONFIG = {**MODELS["NHITS_Q"].default, "input_steps": 48, "layer_widths": 16, "num_stacks": 2}
SHORT = {"steps": 6, "batch_size": 32, "n_evaluations": 2}


@pytest.fixture(scope="module")
def tasks() -> dict[str, Task]:
    """Two series, the second of another size and other noise."""
    north, south = make_series(seed=0), make_series(seed=1)
    return {"north": make_task(north), "south": make_task(with_values(south, 50.0 * south.values))}


def pooled_setup(tasks: Mapping[str, Task], anchor: str = "none") -> PooledSetup:
    settings = make_settings(pool=list(tasks), training={**SHORT, "anchor": anchor})
    return PooledSetup.from_settings(settings, PooledTask("zones", tasks), device="cpu")


@pytest.fixture(scope="module")
def anchored(tasks: dict[str, Task]) -> PooledSetup:
    """The setup of both with a ridge each."""
    return pooled_setup(tasks, "ridge").prepared(CONFIG)


def trained(setup: TrainingSetup) -> np.ndarray:
    """Forecasts of the tune split after a few steps of training, target units."""
    training = start_training(setup, CONFIG, seed=3)
    training.advance(6)
    with training.best_model() as model:
        scaled = forecast_positions(model, setup.source, setup.task.issues["tune"])
    return setup.scaling.unscale(scaled)


@pytest.mark.parametrize("anchor", ["none", "ridge"])
def test_of_one_series_alone_the_training_is_the_one_it_has_by_itself(anchor: str) -> None:
    task = make_task()
    settings = make_settings(training={**SHORT, "anchor": anchor})
    alone = TrainingSetup.from_settings(settings, task, device="cpu").prepared(CONFIG)
    pooled = pooled_setup({"north": task}, anchor).prepared(CONFIG)
    np.testing.assert_array_equal(trained(pooled.series[0]), trained(alone))


def test_the_windows_learned_from_are_those_that_each_series_forecasts_from(
    anchored: PooledSetup,
) -> None:
    start = 0
    for view in anchored.series:
        assert_same_windows(view, torch.from_numpy(view.task.issues["stop"]), start)
        start += len(view.task.series)


def assert_same_windows(view: TrainingSetup, positions: torch.Tensor, start: int) -> None:
    """The windows of a series are the same by themselves and among those of all."""
    assert view.pool is not None
    alone, together = view.source.inputs(positions), view.pool.source.inputs(positions + start)
    for field in fields(alone):
        mine, other = getattr(alone, field.name), getattr(together, field.name)
        if field.name != "hours" and mine is not None:
            torch.testing.assert_close(mine, other, rtol=0.0, atol=0.0, msg=field.name)
    for mine, other in zip(
        view.source.targets(positions), view.pool.source.targets(positions + start), strict=True
    ):
        torch.testing.assert_close(mine, other, rtol=0.0, atol=0.0)


def test_windows_with_weather_by_issue_and_a_late_target_are_the_same_too() -> None:
    tasks = {name: task_of_runs(seed) for seed, name in enumerate(("north", "south"))}
    pooled = pooled_setup(tasks).prepared(CONFIG)
    view, start = pooled.series[1], len(tasks["north"].series)
    positions = torch.from_numpy(view.task.issues["stop"])
    assert_same_windows(view, positions, start)
    ahead = view.source.inputs(positions).known[:, 48:]
    measured = view.source.inputs(positions + 24).known[:, 24:48]
    assert not torch.equal(ahead, measured)  # forecasts for the day, not what was known later


def task_of_runs(seed: int) -> Task:
    """A series whose temperature comes as forecasts, and whose target comes six hours late."""
    series = make_series(seed=seed)
    table = runs_table(series)
    temperature, pressure = series.covariates
    runs = WeatherRuns(
        ("temperature",),
        pd.DatetimeIndex(table["issued_at"]).as_unit("ns"),
        pd.DatetimeIndex(table["valid_at"]).as_unit("ns"),
        table[["temperature"]].to_numpy(),
    )
    known = replace(temperature, values=runs.shortest_lead(series.index)[:, 0])
    series = replace(series, covariates=(known, pressure), runs=runs, delay_hours=6)
    return make_task(series)


def test_only_windows_before_the_validation_period_are_learned_from(
    anchored: PooledSetup, tasks: dict[str, Task]
) -> None:
    pool, length = anchored.series[0].pool, len(tasks["north"].series)
    assert pool is not None
    for positions, (first, last) in (
        (pool.train, (48, tasks["north"].train_stop)),
        (pool.stop, (tasks["north"].train_stop, length)),
    ):
        within = positions % length
        assert set(positions // length) == {0, 1}
        assert within.min() >= first
        assert within.max() + 24 <= last


def test_later_values_of_one_series_reach_no_forecast_of_another(tasks: dict[str, Task]) -> None:
    stop = tasks["north"].issues["stop"][-1] + 24
    values = tasks["north"].series.values.copy()
    values[stop:] *= 3.0
    changed = {**tasks, "north": make_task(with_values(make_series(seed=0), padded(values)))}
    plain, other = (
        trained(pooled_setup(pair).prepared(CONFIG).series[1]) for pair in (tasks, changed)
    )
    np.testing.assert_array_equal(plain, other)


def padded(values: np.ndarray) -> np.ndarray:
    """Values of a task's series, and of its test period as they were."""
    whole = make_series(seed=0).values.copy()
    whole[: len(values)] = values
    return whole


def test_the_values_of_one_series_do_move_the_forecasts_of_another(tasks: dict[str, Task]) -> None:
    alone = trained(pooled_setup({"south": tasks["south"]}).prepared(CONFIG).series[0])
    together = trained(pooled_setup(tasks).prepared(CONFIG).series[1])
    assert not np.allclose(alone, together)


def test_scaling_and_scores_of_a_series_do_not_depend_on_the_others_or_their_order(
    anchored: PooledSetup, tasks: dict[str, Task]
) -> None:
    backward = pooled_setup(dict(reversed(tasks.items())))
    alone = pooled_setup({"south": tasks["south"]}, "ridge").series[0]
    assert anchored.series[1].scaling == backward.series[0].scaling == alone.scaling
    np.testing.assert_array_equal(
        anchored.series[1].source.anchor.points,  # type: ignore[union-attr]
        alone.source.anchor.points,  # type: ignore[union-attr]
    )
    north, south = (
        forecast_baselines(task, "tune", ["seasonal_naive_24"])["seasonal_naive_24"]
        for task in tasks.values()
    )
    forward = scores_by_series(anchored, np.concatenate([north, south]), seed=0)
    assert forward == scores_by_series(backward, np.concatenate([south, north]), seed=0)


def test_scores_are_means_of_errors_over_those_of_the_ridge_and_of_percent_as_it_is(
    tasks: dict[str, Task],
) -> None:
    setup = pooled_setup(tasks)
    forecast = np.concatenate([own["weekday_hour_mean"] for own in setup.simple.by_series])
    scores, (low, high) = score_on_tune(setup, forecast, seed=0)
    own = list(scores_by_series(setup, forecast, seed=0).values())
    ridge = setup.simple.reference_scores
    assert own[1]["mae"] > 10.0 * own[0]["mae"]
    ratios = [mine["mae"] / other["mae"] for mine, other in zip(own, ridge, strict=True)]
    assert scores["mae"] == pytest.approx(np.mean(ratios))
    assert scores["picp"] == pytest.approx((own[0]["picp"] + own[1]["picp"]) / 2.0)
    errors = [abs(mine["picp"] - 80.0) for mine in own]
    assert scores["coverage_error"] == pytest.approx(np.mean(errors))
    assert scores["n"] == own[0]["n"] + own[1]["n"]
    assert low < scores["picp"] < high
    draws = draw_on_tune(setup, forecast.astype(np.float32))
    assert draws["mae"].mean() == pytest.approx(scores["mae"], rel=0.05)


def test_where_one_series_has_no_anchor_none_has(
    anchored: PooledSetup, tasks: dict[str, Task]
) -> None:
    without = pooled_setup(tasks).alone[1]
    for view in pool_windows([anchored.alone[0], without], {"north": "", "south": ""}):
        assert view.pool is not None
        assert view.source.anchor is None
        assert view.pool.source.anchor is None


def test_the_budget_goes_by_the_windows_of_all(tasks: dict[str, Task]) -> None:
    settings = make_settings(pool=list(tasks), training={"epochs": 2.0, "batch_size": 32})
    pooled = PooledSetup.from_settings(settings, PooledTask("zones", tasks), device="cpu")
    alone = pooled.alone[0].budget_steps
    assert pooled.budget_steps == pytest.approx(2 * alone, abs=1)
    assert pooled.prepared({**CONFIG, "steps_factor": 3.0}).budget_steps == 3 * pooled.budget_steps


def shifted(series: Series, hours: int) -> Series:
    return replace(series, index=series.index + pd.Timedelta(hours=hours))


def test_series_of_other_periods_or_features_are_refused(tasks: dict[str, Task]) -> None:
    later = shifted(make_series(seed=1), 24)
    with pytest.raises(DataError, match="the first time of south is 2021-01-02 00:00Z, of north"):
        PooledTask("zones", {"north": tasks["north"], "south": make_task(later)})
    bare = make_task(make_series(seed=1, with_covariates=False))
    with pytest.raises(DataError, match=r"the list of features of south is without it, .*pressure"):
        PooledTask("zones", {"north": tasks["north"], "south": bare})


def test_a_pool_is_of_networks_in_one_stage_each_series_once() -> None:
    with pytest.raises(SettingsError, match="pool is for networks, got model RIDGE"):
        make_settings(pool=["north"], model="RIDGE", space={})
    with pytest.raises(SettingsError, match="pool is for a search of one stage"):
        make_settings(pool=["north"], strategy="two-stage")
    with pytest.raises(SettingsError, match="north twice"):
        make_settings(pool=["north", "north"])


def test_a_network_of_many_series_is_not_trained_on_one_by_mistake(tasks: dict[str, Task]) -> None:
    settings = make_settings(pool=["north", "south"])
    with pytest.raises(SettingsError, match="one network on the series north, south"):
        TrainingSetup.from_settings(settings, tasks["north"], device="cpu")


def test_the_ridge_is_needed_of_every_series(monkeypatch: pytest.MonkeyPatch) -> None:
    found = iter([({"ridge": np.zeros((1, 24, 11))}, {}), ({}, {"ridge": "too few windows"})])
    monkeypatch.setattr(pooling, "try_baselines", lambda _task, _split: next(found))
    alone = TrainingSetup.from_settings(make_settings(training=SHORT), make_task(), device="cpu")
    lacking = SimpleForecasts([alone, alone])
    assert lacking.reasons == {"ridge": "small: too few windows"}
    with pytest.raises(DataError, match="a series lacks: small: too few windows"):
        _ = lacking.reference_scores


def test_settings_of_a_pool_have_the_step_of_its_series(tmp_path: Path) -> None:
    path = tmp_path / "zones.toml"
    path.write_text(
        'name = "zones"\npath = "z.csv"\nfrequency = "15min"\n[series]\ntargets = ["north"]\n'
        "[splits]\ntrain = 0.6\nvalidation = 0.2\n",
        encoding="utf-8",
    )
    settings = load_settings(None, {"dataset": str(path), "pool": ["north"]})
    assert (settings.task.step, settings.task.horizon_steps) == ("15min", 96)
    assert settings.of_series("north").dataset == f"{path}#north"
