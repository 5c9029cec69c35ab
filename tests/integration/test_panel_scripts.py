"""The panel's series are declared as they should be, and a rival is judged on the same windows."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from paretocast.data import find_spec, load_dataset
from paretocast.data.task import Task, plan_task
from paretocast.errors import SettingsError

if TYPE_CHECKING:
    from types import ModuleType

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture
def panel(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(EXPERIMENTS)
    return importlib.import_module("panel_series")


@pytest.fixture
def rivals(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(EXPERIMENTS)
    return importlib.import_module("rivals")


@pytest.fixture(scope="module")
def task() -> Task:
    dataset = load_dataset("demo")
    return plan_task(dataset.series, dataset.dates, with_test=True)


def test_the_default_panel_has_every_zone_and_each_way_to_use_it_twice(panel: ModuleType) -> None:
    zones = [name.split("_") for name in panel.DEFAULT_PANEL if name.startswith("bwdf_")]
    assert {zone[1] for zone in zones} == set("abcdfhi")
    for months in ("12", "18", "24"):
        assert sum(zone[-1] == months for zone in zones) >= 2
    assert sum("weather" in zone for zone in zones) == len(zones) / 2
    assert len(set(panel.DEFAULT_PANEL)) >= 14
    assert set(panel.DEFAULT_PANEL) <= set(panel.SERIES)


def test_every_declaration_reads_and_its_periods_follow_each_other(
    panel: ModuleType, tmp_path: Path
) -> None:
    for name, series in panel.SERIES.items():
        if series.base in panel.HALF_HOURLY:
            continue
        spec = find_spec(panel.write_declaration(name, tmp_path / "data", tmp_path))
        assert spec.name == name
        assert spec.path.parent.is_relative_to(tmp_path / "data")
        assert set(spec.covariates) == set(series.covariates)
        assert all(covariate.use for covariate in spec.covariates.values())
        splits = spec.splits
        assert spec.use_from is not None
        assert splits.train_to is not None
        assert splits.validation_to is not None
        assert splits.test_to is not None
        assert spec.use_from < splits.train_to < splits.validation_to < splits.test_to


@pytest.mark.parametrize("months", [12, 18, 24])
def test_a_zone_learns_for_the_months_that_its_name_says(panel: ModuleType, months: int) -> None:
    series = panel.SERIES[f"bwdf_a_weather_{months}"]
    first = pd.Timestamp(series.first)
    after = pd.Timestamp(series.splits["train_to"]) + pd.Timedelta(hours=1)
    assert first + pd.DateOffset(months=months) == after


def test_an_hour_is_the_mean_of_its_halves_and_empty_without_one(
    panel: ModuleType, tmp_path: Path
) -> None:
    stamps = pd.date_range("2012-07-01", periods=6, freq="30min", tz="UTC")
    half_hourly = pd.DataFrame(
        {"timestamp": stamps, "load": [1.0, 3.0, 5.0, np.nan, 7.0, 7.0], "temperature": 10.0}
    )
    half_hourly.to_csv(tmp_path / "gb_load_half_hourly.csv.gz", index=False)
    declaration = panel.write_declaration("gb_load_weather", tmp_path, tmp_path / "panel")
    hourly = pd.read_csv(find_spec(declaration).path)
    assert hourly["timestamp"].tolist() == [f"2012-07-01T0{hour}:00:00Z" for hour in range(3)]
    np.testing.assert_array_equal(hourly["load"], [2.0, np.nan, 7.0])
    np.testing.assert_array_equal(hourly["temperature"], [10.0] * 3)


def test_an_unknown_series_is_refused_with_the_names(panel: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no series 'bwdf_e_12'.*bwdf_f_12"):
        panel.write_declaration("bwdf_e_12", tmp_path, tmp_path)


def test_a_rival_gets_the_windows_and_features_of_the_task(
    rivals: ModuleType, task: Task, tmp_path: Path
) -> None:
    values = task.series.values.copy()
    values[500:600] = np.nan
    gappy = replace(task, series=replace(task.series, values=values))
    rivals.export_task(gappy, tmp_path)
    table = pd.read_csv(tmp_path / "series.csv", parse_dates=["timestamp"])
    told = json.loads((tmp_path / "task.json").read_text(encoding="utf-8"))
    assert table["timestamp"].tolist() == list(task.series.index)
    np.testing.assert_allclose(table["target"], values)
    # Longer than any gap that the package fills, and every hour from the same one a week before.
    np.testing.assert_allclose(table["filled"][500:600], values[332:432])
    np.testing.assert_allclose(table[told["known"]], task.features.known.values)
    assert told["issues"] == task.issues["test"].tolist()
    assert task.series.index[told["learn_stop"] - 1] == task.dates.validation_to
    assert min(told["issues"]) >= told["learn_stop"]


def test_a_rivals_file_is_scored_by_the_mean_over_all_levels(
    rivals: ModuleType, task: Task, tmp_path: Path
) -> None:
    levels = np.array(task.shape.levels)
    observed = task.observed("test")
    # One unit too high at every level: the loss is 1 - level, on average 1/2; upside down it is
    # the same forecast after sorting.
    forecast = np.repeat(observed[:, :, None] + 1.0, len(levels), axis=2)
    path = tmp_path / "method.npz"
    np.savez(path, issues=task.issues["test"], levels=levels, forecast=forecast, seconds=3.0)
    scores = rivals.score_file(path, task)
    assert scores["pinball"] == pytest.approx(0.5)
    assert scores["mae"] == pytest.approx(1.0)
    assert scores["picp"] == 0.0
    assert scores["crossed_percent"] == 0.0
    assert scores["seconds"] == 3.0


def test_crossing_quantiles_are_sorted_and_counted(rivals: ModuleType, task: Task) -> None:
    spread = np.arange(len(task.shape.levels), dtype=float)
    ascending = task.observed("test")[:, :, None] + spread
    descending = ascending[:, :, ::-1].copy()
    descending[0] = ascending[0]
    scores = rivals.score_quantiles(descending, task)
    straight = rivals.score_quantiles(ascending, task)
    assert scores["pinball"] == pytest.approx(straight["pinball"])
    assert straight["crossed_percent"] == 0.0
    assert scores["crossed_percent"] == pytest.approx(100.0 * (1.0 - 1.0 / len(descending)))


def test_forecasts_of_other_windows_are_refused(
    rivals: ModuleType, task: Task, tmp_path: Path
) -> None:
    levels = np.array(task.shape.levels)
    path = tmp_path / "method.npz"
    forecast = np.zeros((*task.observed("test").shape, len(levels)))
    np.savez(path, issues=task.issues["test"] + 24, levels=levels, forecast=forecast)
    with pytest.raises(SystemExit, match="other windows"):
        rivals.score_file(path, task)
