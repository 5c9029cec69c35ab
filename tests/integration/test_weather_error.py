"""What an error of the weather costs: the same trained models under other temperatures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark_cases import Silent, small_settings, write_dataset
from builders import make_series
from paretocast.benchmarking import (
    BenchmarkPlan,
    BenchmarkResult,
    describe_benchmark,
    find_config,
    plan_benchmark,
    run_benchmark,
)
from paretocast.cli.benchmark import _degrees
from paretocast.errors import SettingsError
from paretocast.report import benchmark_page
from paretocast.training.setup import TrainingSetup, with_other_weather

TEMPERATURE = '\n[covariates.temperature]\nrole = "forecast"\nunit = "°C"\n'


def write_with_temperature(folder: Path) -> Path:
    series = make_series()
    spec = write_dataset(folder, series)
    table = pd.read_csv(folder / "small.csv")
    table["temperature"] = series.covariates[0].values
    table.to_csv(folder / "small.csv", index=False)
    spec.write_text(spec.read_text(encoding="utf-8") + TEMPERATURE, encoding="utf-8")
    return spec


def make_plan(
    folder: Path, *, weather_error: float | None, days: int | None = None
) -> BenchmarkPlan:
    settings = small_settings(folder / "small.toml")
    training = settings.training.model_copy(update={"anchor": "ridge"})
    settings = settings.model_copy(update={"training": training})
    return plan_benchmark(
        [find_config("NHITS_Q", "small", workspace=folder / "hpo", given=settings)],
        groups=("default", "references"),
        references=("seasonal_naive_24", "ridge"),
        calibrators=("none",),
        retrain_days=(days,),
        weather_error=weather_error,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weather")
    write_with_temperature(folder)
    return folder


@pytest.fixture(scope="module")
def result(folder: Path) -> BenchmarkResult:
    plan = make_plan(folder, weather_error=3.0, days=14)
    return run_benchmark(plan, kept_in=folder / "kept", device="cpu", observer=Silent())


def test_an_error_costs_those_who_look_at_the_weather_and_nobody_else(
    result: BenchmarkResult,
) -> None:
    by_method = {row.method.split(",")[0]: row for row in result.weather_error}
    assert by_method["seasonal_naive_24"].changes["mae"].mean == 0.0
    for name in ("ridge", "NHITS_Q default"):
        for score in ("mae", "pinball"):
            change = by_method[name].changes[score]
            assert change.low > 0.0, (name, score)
    rows = {row.entry.label: row.scores for row in result.comparison.rows}
    for row in result.weather_error:
        percent = 100.0 * (row.scores["mae"] / rows[row.method]["mae"] - 1.0)
        assert row.changes["mae"].mean == pytest.approx(percent, abs=1e-9)


def test_the_scores_without_the_error_are_as_they_were(
    folder: Path, result: BenchmarkResult
) -> None:
    plain = run_benchmark(
        make_plan(folder, weather_error=None, days=14),
        kept_in=folder / "plain",
        device="cpu",
        observer=Silent(),
    )
    assert plain.weather_error == ()
    for before, after in zip(plain.comparison.rows, result.comparison.rows, strict=True):
        np.testing.assert_array_equal(
            before.entry.forecasts[0].quantiles, after.entry.forecasts[0].quantiles
        )


def test_page_and_metrics_tell_the_cost(result: BenchmarkResult) -> None:
    described = describe_benchmark(result, created="2026-01-01T00:00:00+00:00", assumptions=())
    assert described["weather_error"] == 3.0
    assert [row["method"] for row in described["under_weather_error"]] == [
        row.method for row in result.weather_error
    ]
    page = benchmark_page(result, verdicts=[], notes=[])
    assert "What an error of the weather costs" in page
    assert result.weather_error[0].change_text("mae") in page


def test_another_weather_leaves_other_windows_alone(folder: Path) -> None:
    plan = make_plan(folder, weather_error=None)
    setup = TrainingSetup.from_settings(plan.configs[0].settings, plan.task, device="cpu")
    positions = plan.task.issues["test"][:5]
    same = with_other_weather(setup, lambda task: task, positions=positions)
    assert setup.source.anchor is not None
    assert same.source.anchor is not None
    np.testing.assert_allclose(
        same.source.anchor.points, setup.source.anchor.points, rtol=0.0, atol=1e-6
    )


def test_an_error_that_cannot_be_had_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="expected a positive number"):
        make_plan(folder, weather_error=-1.0)
    write_dataset(tmp_path)
    with pytest.raises(SettingsError, match="has no temperature that stands in"):
        make_plan(tmp_path, weather_error=1.0)


def test_a_temperature_difference_is_read_with_its_unit() -> None:
    assert [_degrees(text) for text in ("1.5K", "1.5", "1.5 K", "1.5°C")] == [1.5] * 4
    with pytest.raises(SettingsError, match="expected a standard deviation such as"):
        _degrees("warm")
