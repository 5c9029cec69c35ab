"""The benchmark on a small data set: real studies, real trainings, every file."""

from __future__ import annotations

import gzip
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from benchmark_cases import Silent, small_plan, small_settings, tune_small, write_dataset
from builders import make_series, with_values
from paretocast.benchmarking import (
    BenchmarkPlan,
    BenchmarkResult,
    append_history,
    calibrate_test,
    describe_benchmark,
    find_config,
    load_history,
    plan_retraining,
    run_benchmark,
    save_benchmark,
    train_and_forecast,
    train_schedules,
)
from paretocast.benchmarking.retraining import retraining_steps
from paretocast.errors import SettingsError, StoreError
from paretocast.report import benchmark_page
from paretocast.results.stored_study import StoredStudy
from paretocast.search.models import MODELS
from paretocast.settings import TuneSettings
from paretocast.training import TrainingInterrupted
from paretocast.training.setup import (
    TrainingSetup,
    continue_training,
    relearning_steps,
    start_training,
)
from paretocast.workspace import files
from paretocast.workspace.stored import load_result, save

CREATED = "2026-01-01T00:00:00+00:00"
FIRST_TEST_HOUR = 24 * 102


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with a finished study on it in `hpo`."""
    folder = tmp_path_factory.mktemp("benchmark")
    tune_small(folder / "hpo", write_dataset(folder))
    return folder


@pytest.fixture(scope="module")
def settings(base: Path) -> TuneSettings:
    return small_settings(base / "small.toml")


@pytest.fixture(scope="module")
def plan(base: Path, settings: TuneSettings) -> BenchmarkPlan:
    return small_plan(base / "hpo", settings, calibrators=("cqr", "aci"), refit=True, n_seeds=2)


@pytest.fixture(scope="module")
def result(base: Path, plan: BenchmarkPlan) -> BenchmarkResult:
    return run_benchmark(plan, kept_in=base / "kept", device="cpu", observer=Silent())


def shifted(base: Path, hour: int, folder: str) -> Path:
    """The same data set with one target changed, and a copy of the study beside it."""
    values = make_series(with_covariates=False).values.copy()
    values[hour] += 25.0
    spec = write_dataset(base / folder, with_values(make_series(with_covariates=False), values))
    shutil.copytree(base / "hpo", base / folder / "hpo", dirs_exist_ok=True)
    return spec


def choices(result: BenchmarkResult) -> dict[str, Any]:
    """Everything that was decided before a test value may be read."""
    described = describe_benchmark(result, created=CREATED, assumptions=())
    return {
        "parameters": described["parameters"],
        "ensemble": described["ensemble"],
        "chosen": described["chosen_on_validation"],
        "calibrators": described["fitted_calibrators"],
        "validation": [row["validation"] for row in described["rows"]],
    }


def best_calibrator(plan: BenchmarkPlan, kept: Path) -> tuple[dict[str, Any], str]:
    """Calibrator that "auto" fits for the first training, and the reason."""
    first = min(kept.glob("*.npz"), key=lambda path: path.stat().st_mtime_ns)
    calibrated = calibrate_test(plan.task, files.load_arrays(first), "auto", coverage=80.0)
    return calibrated.calibrator.as_json(), calibrated.reason


def test_every_method_is_scored_with_every_calibrator(result: BenchmarkResult) -> None:
    rows = [(r.entry.method, r.entry.parameters, r.entry.wanted) for r in result.comparison.rows]
    assert len(rows) == len(set(rows))
    for method in (("NHITS_Q", "tuned"), ("NHITS_Q", "default"), ("ridge", "none")):
        assert {wanted for *who, wanted in rows if tuple(who) == method} == {"cqr", "aci"}
    assert all(np.isfinite(row.scores["mae"]) for row in result.comparison.rows)


def test_methods_are_compared_with_references_and_with_default_parameters(
    result: BenchmarkResult,
) -> None:
    pairs = {(d.method, d.other) for d in result.comparison.differences if d.method.endswith("aci")}
    assert ("NHITS_Q tuned, aci", "ridge, aci") in pairs
    assert ("NHITS_Q tuned, aci", "NHITS_Q default, aci") in pairs
    assert ("NHITS_Q default, aci", "ridge, aci") in pairs
    assert not any(method.startswith("ridge") for method, _ in pairs)


def test_the_spread_is_over_trainings_and_a_reference_has_none(result: BenchmarkResult) -> None:
    by_method = {row.entry.method: row for row in result.comparison.rows}
    assert by_method["NHITS_Q"].spread["mae"] > 0.0
    assert not by_method["ridge"].spread


def test_changing_one_test_value_changes_no_choice_and_no_calibrator(
    base: Path, result: BenchmarkResult
) -> None:
    changed = FIRST_TEST_HOUR + 24 * 3 + 5
    spec = shifted(base, changed, "changed")
    plan = small_plan(
        base / "changed" / "hpo",
        small_settings(spec),
        calibrators=("cqr", "aci"),
        refit=True,
        n_seeds=2,
    )
    kept = base / "changed" / "kept"
    other = run_benchmark(plan, kept_in=kept, device="cpu", observer=Silent())
    assert choices(other) == choices(result)
    assert best_calibrator(plan, kept) == best_calibrator(result.plan, base / "kept")
    for row, twin in zip(result.comparison.rows, other.comparison.rows, strict=True):
        for before, after in zip(row.entry.forecasts, twin.entry.forecasts, strict=True):
            # Issues up to the changed day, that one included, know nothing of it.
            np.testing.assert_array_equal(before.quantiles[:4], after.quantiles[:4])
    assert result.comparison.rows[0].scores["mae"] != other.comparison.rows[0].scores["mae"]


def test_finished_trainings_are_not_made_again(
    base: Path, plan: BenchmarkPlan, result: BenchmarkResult
) -> None:
    observer = Silent()
    repeated = run_benchmark(plan, kept_in=base / "kept", device="cpu", observer=observer)
    assert not observer.made
    assert len(observer.kept) == 2 * len(plan.candidates())
    assert [r.scores for r in repeated.comparison.rows] == [
        r.scores for r in result.comparison.rows
    ]


def test_an_interrupted_benchmark_keeps_what_is_trained(base: Path, plan: BenchmarkPlan) -> None:
    observer = Silent()
    with pytest.raises(TrainingInterrupted):
        run_benchmark(
            replace(plan, n_seeds=1),
            kept_in=base / "interrupted",
            device="cpu",
            observer=observer,
            should_stop=lambda: len(observer.made) >= 1,
        )
    assert len(list((base / "interrupted").glob("*.npz"))) == 1


def test_the_files_hold_what_was_compared(base: Path, result: BenchmarkResult) -> None:
    folder = base / "out"
    save_benchmark(folder, result, created=CREATED, assumptions=["none"])
    metrics = files.load_json(folder / "metrics.json")
    with gzip.open(folder / "predictions.csv.gz", "rt", encoding="utf-8") as file:
        predictions = pd.read_csv(file)
    task = result.plan.task
    n_points = len(task.issues["test"]) * task.shape.horizon_steps
    assert len(predictions) == n_points * len(result.comparison.rows)
    assert predictions.iloc[0]["issue_time"] == "2021-04-13T00:00:00Z"
    own = predictions[(predictions["method"] == "ridge") & (predictions["calibrator"] == "aci")]
    row = next(r for r in metrics["rows"] if (r["method"], r["calibrator"]) == ("ridge", "aci"))
    assert row["mae"] == pytest.approx((own["q0.5"] - own["observed"]).abs().mean(), rel=1e-4)
    assert {r["parameters"] for r in metrics["rows"]} == {"tuned", "default", "none"}
    assert len(pd.read_csv(folder / "metrics.csv")) == len(result.comparison.rows)


def test_the_page_shows_scores_days_and_reliability(result: BenchmarkResult) -> None:
    page = benchmark_page(result, verdicts=["better than the ridge"], notes=["a perfect forecast"])
    for part in ('id="scores"', 'id="days"', 'id="reliability"', "a perfect forecast"):
        assert part in page


def test_the_history_compares_with_the_best_on_the_same_hours_only(
    tmp_path: Path, result: BenchmarkResult
) -> None:
    rows, path = result.comparison.rows[:1], tmp_path / "history.csv"
    identity = {"created": CREATED, "folder": "a", "dataset": "small"}
    append_history(path, rows, test_sha256="one", **identity)
    append_history(path, rows, test_sha256="two", **identity)
    better = [replace(rows[0], scores={n: 0.9 * v for n, v in rows[0].scores.items()})]
    append_history(path, better, test_sha256="one", **identity)
    first, second, third = load_history(path)
    assert first["mae_improvement_percent"] == second["mae_improvement_percent"] == ""
    assert float(third["mae_improvement_percent"]) == pytest.approx(10.0, abs=0.01)


@pytest.mark.parametrize("content", ["a,b\n1,2\n", "\udcff\udcfe", "x" * 200_000])
def test_a_damaged_history_is_kept_aside_and_said(
    tmp_path: Path, result: BenchmarkResult, content: str
) -> None:
    rows, path = result.comparison.rows[:1], tmp_path / "history.csv"
    path.write_bytes(content.encode("utf-8", errors="surrogateescape"))
    identity = {"created": CREATED, "folder": "a", "dataset": "small"}
    note = append_history(path, rows, test_sha256="one", **identity)
    (aside,) = tmp_path.glob("history.damaged-*.csv")
    assert aside.name in note
    assert aside.read_bytes() == content.encode("utf-8", errors="surrogateescape")
    assert len(load_history(path)) == 1


def test_the_line_of_a_damaged_history_is_told(tmp_path: Path, result: BenchmarkResult) -> None:
    rows, path = result.comparison.rows[:1], tmp_path / "history.csv"
    identity = {"created": CREATED, "folder": "a", "dataset": "small"}
    for _ in range(3):
        append_history(path, rows, test_sha256="one", **identity)
    whole = path.read_text(encoding="utf-8").splitlines()
    for cell in ("x", "x" * 200_000):
        lines = [*whole[:2], whole[2].replace(f"{rows[0].scores['mae']:.6g}", cell, 1), whole[3]]
        path.write_text("\n".join(lines), encoding="utf-8")
        with pytest.raises(StoreError, match="in line 3"):
            load_history(path)


def test_benchmarks_that_end_at_once_all_reach_the_history(
    tmp_path: Path, result: BenchmarkResult
) -> None:
    rows, path = result.comparison.rows[:1], tmp_path / "history.csv"

    def add(number: int) -> None:
        identity = {"created": CREATED, "folder": str(number), "dataset": "small"}
        append_history(path, rows, test_sha256="one", **identity)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(24)))
    assert {row["folder"] for row in load_history(path)} == {str(number) for number in range(24)}


def test_a_study_on_changed_data_is_refused(base: Path) -> None:
    spec = shifted(base, 24 * 20, "other_data")
    with pytest.raises(StoreError, match="made on other data: values before the test split"):
        small_plan(base / "other_data" / "hpo", small_settings(spec))


def test_a_study_that_has_seen_the_test_split_is_refused(base: Path) -> None:
    spec = shifted(base, FIRST_TEST_HOUR + 100, "overlap")
    text = spec.read_text(encoding="utf-8")
    spec.write_text(text.replace("validation_to = 2021-04-12T23", "validation_to = 2021-04-11T23"))
    with pytest.raises(StoreError, match="it has seen what it would be tested on"):
        small_plan(base / "overlap" / "hpo", small_settings(spec))


def test_a_study_of_another_task_is_refused_with_what_differs(base: Path) -> None:
    parameters = find_config(
        "NHITS_Q",
        "small",
        workspace=base / "hpo",
        given=small_settings(base / "small.toml"),
    )
    assert parameters.study is not None
    spec = base / "school.toml"
    text = (base / "small.toml").read_text(encoding="utf-8")
    spec.write_text(text.replace("Europe/Copenhagen", "Europe/Rome"), encoding="utf-8")
    with pytest.raises(StoreError, match="another task: calendar differ"):
        small_plan(base / "hpo", small_settings(spec))


def test_an_unknown_method_or_calibrator_is_refused(base: Path, settings: TuneSettings) -> None:
    with pytest.raises(SettingsError, match="method 'luck' is unknown"):
        small_plan(base / "hpo", settings, groups=("luck",))
    with pytest.raises(SettingsError, match="calibrator 'hope' is unknown"):
        small_plan(base / "hpo", settings, calibrators=("hope",))


def test_the_newest_finished_study_comes_first_then_general_parameters_then_defaults(
    base: Path, settings: TuneSettings, tmp_path: Path
) -> None:
    tuned = find_config("nhits_q", "small", workspace=base / "hpo", given=settings)
    assert tuned.kind == "tuned"
    assert tuned.study is not None
    assert "tuned on this data set: trial" in tuned.source
    default = find_config("NHITS_Q", "small", workspace=tmp_path, given=settings)
    assert (default.kind, default.chosen.config) == ("default", MODELS["NHITS_Q"].default)
    assert default.source.startswith("default parameters: no finished study of NHITS_Q on small")
    general = {**load_result(tuned.study.run.best_params), "dataset": "elsewhere"}
    save(tmp_path / "results" / "best_params_NHITS_Q.json", general)
    found = find_config("NHITS_Q", "small", workspace=tmp_path, given=settings)
    assert (found.kind, found.chosen.config) == ("tuned", tuned.chosen.config)
    assert "tuned on elsewhere" in found.source
    save(tmp_path / "results" / "best_params_NHITS_Q.json", {**general, "dataset": "small"})
    with pytest.raises(StoreError, match="was tuned on small itself, and the study"):
        find_config("NHITS_Q", "small", workspace=tmp_path, given=settings)


def test_parameters_of_a_file_that_make_no_model_are_told(
    base: Path, tmp_path: Path, settings: TuneSettings
) -> None:
    run = StoredStudy.open(base / "hpo" / "results" / "NHITS_Q_small").run
    general = tmp_path / "results" / "best_params_NHITS_Q.json"
    content = load_result(run.best_params)
    content |= {"dataset": "elsewhere", "best_params": {**content["best_params"], "lr": "x"}}
    save(general, content)
    told = f"{general} is damaged: of the parameters of NHITS_Q, lr is 'x', expected such as 0.002"
    with pytest.raises(StoreError, match=re.escape(told)):
        find_config("NHITS_Q", "small", workspace=tmp_path, given=settings)


def test_a_named_study_of_another_data_set_is_refused(base: Path, settings: TuneSettings) -> None:
    with pytest.raises(StoreError, match="is a study on small, expected one on heat"):
        find_config(
            "NHITS_Q",
            "heat",
            workspace=base / "hpo",
            given=settings,
            runs=[base / "hpo" / "results" / "NHITS_Q_small"],
        )


def test_retraining_cuts_the_test_split_and_learns_up_to_each_cut(plan: BenchmarkPlan) -> None:
    issues = plan.task.issues["test"]
    first, second, *_ = plan_retraining(plan.task, retrain_days=10)
    assert (first.until, second.until) == (None, int(issues[10]))
    assert second.positions[0] == issues[10]
    together = np.concatenate(
        [part.positions for part in plan_retraining(plan.task, refit_until=9, retrain_days=10)]
    )
    assert together.tolist() == issues.tolist()


@pytest.fixture(scope="module")
def setup(plan: BenchmarkPlan) -> TrainingSetup:
    settings = TuneSettings(model="NHITS_Q", training=plan.configs[0].settings.training)
    return TrainingSetup.from_settings(settings, plan.task, device="cpu")


def test_a_retrained_model_changes_the_forecasts_behind_its_cut_alone(
    plan: BenchmarkPlan, setup: TrainingSetup
) -> None:
    config = plan.configs[0].chosen.config

    def forecast(retrain_days: int | None) -> np.ndarray:
        periods = plan_retraining(plan.task, retrain_days=retrain_days)
        return train_and_forecast(setup, config, seed=1, periods=periods)["test"]

    once, twice = forecast(None), forecast(20)
    np.testing.assert_array_equal(once[:20], twice[:20])
    assert not np.array_equal(once[20:], twice[20:])
    np.testing.assert_array_equal(twice, forecast(20))


def test_schedules_share_a_training_and_are_what_each_is_alone(
    plan: BenchmarkPlan, setup: TrainingSetup
) -> None:
    config, until = plan.configs[0].chosen.config, int(plan.task.issues["test"][0])
    schedules = [
        plan_retraining(plan.task, refit_until=until, retrain_days=days) for days in (None, 10, 20)
    ]
    steps: list[int] = []
    together = list(
        train_schedules(
            setup,
            config,
            seed=1,
            schedules=schedules,
            on_progress=lambda step, _loss: steps.append(step),
        )
    )
    for periods, trained in zip(schedules, together, strict=True):
        alone = train_and_forecast(setup, config, seed=1, periods=periods)
        for split, forecast in alone.items():
            np.testing.assert_array_equal(trained.forecasts[split], forecast)
    assert together[0].relearning_seconds == 0.0
    assert together[2].relearning_seconds > 0.0
    n_warm = sum(len(periods) - 1 for periods in schedules)
    full = retraining_steps(setup, schedules[:1])
    assert full == 2 * setup.budget_steps
    assert retraining_steps(setup, schedules) == full + n_warm * relearning_steps(setup)
    assert steps[-n_warm:] == [relearning_steps(setup)] * n_warm


def test_a_later_model_starts_from_the_weights_before_and_moves_a_little(
    plan: BenchmarkPlan, setup: TrainingSetup
) -> None:
    config = plan.configs[0].chosen.config
    first = start_training(setup, config, seed=1)
    first.advance(setup.budget_steps)
    weights = first.best_weights()
    later = continue_training(setup, config, weights=weights, seed=1)
    for name, tensor in later.best_weights().items():
        assert torch.equal(tensor, weights[name])
    later.advance(later.recipe.steps)
    assert later.step == relearning_steps(setup) < setup.budget_steps
    moved = [(later.best_weights()[n] - weights[n]).abs().max().item() for n in weights]
    assert 0.0 < max(moved) <= 2.0 * later.recipe.lr * later.step  # of AdamW, a step is about lr
    for name, tensor in first.best_weights().items():
        assert torch.equal(tensor, weights[name])  # a copy was trained


def test_ways_of_learning_again_are_compared_with_the_first(
    base: Path, settings: TuneSettings
) -> None:
    def run(*ways: int | None) -> tuple[BenchmarkResult, Silent]:
        plan = small_plan(base / "hpo", settings, groups=("default", "references"))
        plan = replace(plan, retrain_days=ways)
        observer = Silent()
        kept = base / "kept_ways"
        return run_benchmark(plan, kept_in=kept, device="cpu", observer=observer), observer

    result, _ = run(None, 20)
    rows = {(row.method, row.days): row for row in result.relearning}
    assert {method for method, _ in rows} == {r.entry.label for r in result.comparison.rows}
    for row in result.comparison.rows:
        never, later = rows[row.entry.label, None], rows[row.entry.label, 20]
        assert never.scores["mae"] == pytest.approx(row.scores["mae"])
        assert never.scores["pinball"] == pytest.approx(row.scores["pinball"])
        assert (never.changes, never.seconds) == ({}, 0.0)
        change = 100.0 * (later.scores["mae"] / never.scores["mae"] - 1.0)
        assert later.changes["mae"].mean == pytest.approx(change, abs=1e-6)
        assert later.changes["mae"].low <= change <= later.changes["mae"].high
    assert rows["ridge, cqr", 20].changes["mae"].mean != 0.0
    assert rows["ridge, cqr", 20].seconds > 0.0
    assert rows["seasonal_naive_24, cqr", 20].changes["mae"].mean == 0.0
    described = describe_benchmark(result, created=CREATED, assumptions=())
    assert described["retrain_days"] is None
    assert [row["retrain_days"] for row in described["relearning"]][:2] == [None, 20]
    page = benchmark_page(result, verdicts=[], notes=[])
    assert "What learning again is worth" in page
    alone, observer = run(20)
    assert observer.kept == ["NHITS_Q default, seed 1"]  # a way is kept by itself
    assert alone.relearning == ()
    mae = next(r for r in alone.comparison.rows if r.entry.method == "ridge").scores["mae"]
    assert mae == pytest.approx(rows["ridge, cqr", 20].scores["mae"])
    assert "What learning again is worth" not in benchmark_page(alone, verdicts=[], notes=[])
