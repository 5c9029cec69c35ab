"""A score of a user's own, registered from outside: searched for, resampled, published."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from numpy.typing import NDArray

from benchmark_cases import Silent, small_plan, write_dataset
from paretocast.benchmarking import describe_benchmark, run_benchmark
from paretocast.data import load_dataset
from paretocast.data.task import Task, plan_task
from paretocast.metrics.score_table import SCORES, Points, Score, register_score
from paretocast.search.objectives import parse_constraint
from paretocast.settings import TuneSettings
from paretocast.study.study import StudyResult
from paretocast.workspace import files
from studies import make_run, make_settings, make_study, optimise

Floats = NDArray[np.float64]
NAME = "evening_mae"


def in_the_evening(points: Points) -> Floats:
    """1 at the last six of 24 steps, else 0."""
    return np.broadcast_to(np.arange(24) >= 18, points.observed.shape).astype(np.float64)


def evening_error(points: Points) -> Floats:
    """Absolute error at these steps, else 0."""
    return np.abs(points.observed - points.median) * in_the_evening(points)


@pytest.fixture(scope="module")
def evening_mae() -> Iterator[None]:
    """The score is known while the tests of this module run, and to no other test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SCORES, "_entries", dict(SCORES))
        register_score(
            Score(
                NAME,
                "MAE of the evening",
                "target",
                (evening_error, in_the_evening),
                from_means=lambda means, _: means[0] / means[1],
            )
        )
        yield
    assert NAME not in SCORES


def searching_for_it(spec: Path) -> TuneSettings:
    """Three trials of twelve gradient steps with the score as first objective."""
    objectives = (NAME, "coverage_error")
    return make_settings(3, dataset=str(spec), task={"input_steps": 48}, objectives=objectives)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scores")


@pytest.fixture(scope="module")
def study(evening_mae: None, place: Path) -> tuple[Task, StudyResult]:
    """A finished study that searches for the score, in `hpo`."""
    settings = searching_for_it(write_dataset(place))
    dataset = load_dataset(settings.dataset)
    task = plan_task(dataset.series, dataset.dates, shape=settings.task.shape())
    return task, optimise(make_study(place / "hpo", settings, task=task))


@pytest.fixture(scope="module")
def published(study: tuple[Task, StudyResult], place: Path) -> dict[str, Any]:
    """The content of `best_params_*.json`."""
    content: dict[str, Any] = files.load_json(make_run(place / "hpo").best_params)
    return content


def test_every_trial_has_the_score_and_its_standard_error(
    study: tuple[Task, StudyResult], place: Path
) -> None:
    task, result = study
    observed = task.observed("tune")[:, 18:]
    for record in result.records:
        forecast = files.load_arrays(make_run(place / "hpo").forecasts(record.number))["tune"]
        median = forecast[:, 18:, task.shape.levels.index(0.5)]
        expected = np.nanmean(np.abs(observed - median))
        assert record.scores[NAME] == pytest.approx(expected, rel=1e-5)
        assert 0.0 < record.standard_errors[NAME] < record.scores[NAME]


def test_the_front_is_that_of_the_score(study: tuple[Task, StudyResult]) -> None:
    outcome = study[1].outcome
    assert outcome is not None
    assert [objective.name for objective in outcome.objectives] == [NAME, "coverage_error"]
    least = min(outcome.records, key=lambda record: record.scores[NAME])
    assert least.number in outcome.front
    assert all(NAME in errors for errors in outcome.gap_errors.values())


def test_best_params_publish_the_score_and_follow_their_schema(published: dict[str, Any]) -> None:
    schema = resources.files("paretocast").joinpath("best_params.schema.json").read_text("utf-8")
    jsonschema.validate(published, json.loads(schema))
    assert published["objectives"][0] == {"name": NAME, "unit": "target", "direction": "minimize"}
    assert published["validation_metrics"][NAME] > 0.0
    assert all(NAME in scores for scores in published["references"].values())
    for trial in published["all_pareto_trials"]:
        assert trial["objectives"][NAME] > trial["standard_errors"][NAME] > 0.0


def test_a_requirement_may_bound_the_score(evening_mae: None) -> None:
    assert parse_constraint(f"{NAME} <= 3").violation({NAME: 6.0}) == 1.0


def test_the_benchmark_lists_the_score(study: tuple[Task, StudyResult], place: Path) -> None:
    settings = searching_for_it(place / "small.toml")
    plan = small_plan(place / "hpo", settings, groups=("tuned", "references"))
    result = run_benchmark(plan, kept_in=place / "kept", device="cpu", observer=Silent())
    rows = describe_benchmark(result, created="2026-01-01T00:00:00+00:00", assumptions=())["rows"]
    assert {row["method"] for row in rows} >= {"NHITS_Q", "ridge"}
    assert all(row[NAME] > 0.0 for row in rows)
