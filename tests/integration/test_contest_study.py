"""Several models in one study: searched, recommended from, continued and benchmarked together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import paretocast
from benchmark_cases import write_dataset
from paretocast.workspace.runs import RunDirectory

MODELS = ("NHITS_Q", "RIDGE", "LIGHTGBM")
SMALL: dict[str, Any] = {
    "task": {"input_steps": 48},
    "training": {"steps": 12},
    "seed": 1,
    "threads": 1,
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data set and a finished study of three models on it in `hpo`."""
    folder = tmp_path_factory.mktemp("contest")
    tune(folder, trials=7)
    return folder


def tune(folder: Path, **options: Any) -> paretocast.Study:  # noqa: ANN401
    spec = write_dataset(folder)
    return paretocast.tune(
        spec, "ridge,nhits_q,lightgbm", workspace=folder / "hpo", progress=False, **SMALL, **options
    )


def result_of(folder: Path) -> dict[str, Any]:
    (path,) = folder.glob("hpo/results/*/best_params_*.json")
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def test_trials_front_and_result_file_hold_all_models(place: Path) -> None:
    result = result_of(place)
    assert result["model"] == "NHITS_Q+RIDGE+LIGHTGBM"
    assert result["best_params"]["model"] in MODELS
    run = RunDirectory(place / "hpo", result["model"], "small", result["job_id"])
    records = [json.loads(run.record(n).read_text(encoding="utf-8")) for n in range(7)]
    assert {record["config"]["model"] for record in records} == set(MODELS)
    assert all(record["state"] == "complete" for record in records)


def test_the_average_or_what_is_best_on_the_calibrate_split_is_recommended(place: Path) -> None:
    choice = result_of(place)["choice"]
    losses = choice["pinball_on_calibrate"]
    covered = choice["coverage_on_calibrate"]
    assert set(covered) == set(losses)
    missing = {name for name, (_, low, high) in covered.items() if not low <= 80.0 <= high}
    first = {"ensemble", min(losses, key=losses.get)} & set(losses)
    assert choice["method"] in first or (first & missing and choice["method"] not in missing)
    assert set(choice["best_of_model"]) == set(MODELS)
    assert {f"trial {n}" for n in choice["best_of_model"].values()} < set(losses)
    assert {"ridge", "seasonal_naive_24"} < set(losses)
    (page,) = place.glob("hpo/results/*/study_*.html")
    assert "<h3>Recommended</h3>" in page.read_text(encoding="utf-8")
    if choice["members"]:
        assert sum(member["weight"] for member in choice["members"]) == pytest.approx(1.0)


def test_the_importance_counts_the_trials_of_one_model(place: Path) -> None:
    (page,) = place.glob("hpo/results/*/study_*.html")
    text = page.read_text(encoding="utf-8")
    assert "which has the most trials here" in text
    assert "No parameter varied" not in text


@pytest.mark.slow
def test_the_same_seed_tries_the_same(place: Path, tmp_path: Path) -> None:
    again = tune(tmp_path, trials=7)
    before = paretocast.load_study(next(place.glob("hpo/results/*/best_params_*.json")))
    assert again.trials["mae"].tolist() == before.trials["mae"].tolist()
    assert again.choice == before.choice


@pytest.mark.slow
def test_the_benchmark_takes_up_all_models_and_stars_over_all_rows(place: Path) -> None:
    saved = paretocast.benchmark(
        place / "small.toml", workspace=place / "hpo", progress=False, threads=1
    )
    comparison = saved.result.comparison
    tuned = {r.entry.method for r in comparison.rows if r.entry.parameters == "tuned"}
    assert set(MODELS) <= tuned
    best = min(comparison.rows, key=lambda row: row.entry.validation["pinball"])
    starred = comparison.rows[comparison.chosen].entry
    first = [row.entry for row in comparison.rows if row.entry.method == "ensemble"] or [best.entry]
    held = [entry.validation_interval.holds(80.0) for entry in (*first, best.entry)]
    assert starred.method in {"ensemble", best.entry.method} or not all(held)
    members = result_of(place)["choice"]["members"]
    if len(members) > 1:
        planned = saved.result.plan.as_json()["ensemble"]
        assert [m["trial"] for m in planned] == [m["trial"] for m in members]
