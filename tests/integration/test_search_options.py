"""Repeats, requirements, objectives, samplers and warm starts in studies on real components."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import paretocast
from builders import make_task
from paretocast.report import StudyReport, study_page
from paretocast.search.space import SAMPLERS
from paretocast.settings import TuneSettings
from paretocast.study.outcome import Outcome
from paretocast.study.study import Study, StudyResult
from paretocast.study.trial_store import load_record
from paretocast.training.setup import TrainingSetup
from paretocast.training.trial import TrialRecord, trial_seed
from paretocast.workspace.files import load_json
from paretocast.workspace.runs import RunDirectory
from studies import make_settings as small_settings

SCHEMA = json.loads(
    (Path(paretocast.__file__).parent / "best_params.schema.json").read_text(encoding="utf-8")
)
SMALL_SPACE = {
    "NHITS_Q": {
        "layer_widths": {"values": [16, 32]},
        "num_stacks": {"low": 2, "high": 2},
        "num_blocks": {"low": 1, "high": 1},
        "lr": {"low": 1e-3, "high": 1e-2},
    }
}
STEPS = 12


class Watch:
    """An observer that remembers what began and, if told to, asks for a stop in a repeat."""

    def __init__(self, *, stop_in_repeat: bool = False) -> None:
        self.begun: list[int] = []
        self._stop_in_repeat = stop_in_repeat
        self.wants_stop = False

    def trial_started(self, number: int, config: dict[str, Any], *, resumed: bool) -> None:
        self.begun.append(number)

    def trial_advanced(self, step: int, total_steps: int, stop_loss: float) -> None:
        if self._stop_in_repeat and self.begun.count(self.begun[-1]) > 1:
            self.wants_stop = True

    def trial_ended(self, record: TrialRecord, outcome: Outcome | None) -> None:
        pass


def make_settings(trials: int, **changes: object) -> TuneSettings:
    training = {"steps": STEPS, "batch_size": 32, "n_evaluations": 3, "n_rungs": 1}
    return small_settings(trials, **{"space": SMALL_SPACE, "training": training, **changes})


def make_run(folder: Path, job_id: str = "1") -> RunDirectory:
    return RunDirectory(folder, "NHITS_Q", "small", job_id)


def search(folder: Path, settings: TuneSettings, watch: Watch | None = None) -> StudyResult:
    watch = watch or Watch()
    setup = TrainingSetup.from_settings(settings, make_task(), device="cpu")
    study = Study(settings, make_run(folder), setup)
    return study.optimise(watch, should_stop=lambda: watch.wants_stop)


def trainings(folder: Path) -> list[tuple[int, int, float]]:
    """Number, seed and MAE of every training on disk."""
    rows = []
    for path in sorted(make_run(folder).trials_folder.rglob("record.json")):
        stored = load_json(path)
        rows.append((stored["number"], stored["seed_index"], stored["scores"]["mae"]))
    return sorted(rows)


@pytest.fixture(scope="module")
def repeated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, StudyResult, Watch]:
    folder, watch = tmp_path_factory.mktemp("repeated"), Watch()
    return folder, search(folder, make_settings(12), watch), watch


def test_trials_near_the_front_are_repeated_within_their_share(
    repeated: tuple[Path, StudyResult, Watch],
) -> None:
    folder, result, _ = repeated
    repeats = [row for row in trainings(folder) if row[1] > 0]
    # Twelve trials of twelve steps; a fifth of all steps are three repeats.
    assert len(result.records) == 12
    assert len(repeats) == 3
    assert result.outcome is not None
    assert sum(record.n_seeds - 1 for record in result.outcome.records) == 3


def test_a_repeat_has_its_folder_its_seed_and_the_config_of_its_trial(
    repeated: tuple[Path, StudyResult, Watch],
) -> None:
    run = make_run(repeated[0])
    number, seed_index, _ = next(row for row in trainings(repeated[0]) if row[1] > 0)
    folder = run.trial_folder(number) / f"seed_{seed_index}"
    stored, first = load_json(folder / "record.json"), load_record(run, number)
    assert first is not None
    assert stored["config"] == first.config
    assert stored["seed"] == trial_seed(1, number, seed_index) != first.seed
    assert (folder / "forecasts.npz").exists()


def test_a_repeated_trial_has_its_mean_in_the_result_file(
    repeated: tuple[Path, StudyResult, Watch],
) -> None:
    content = load_json(make_run(repeated[0]).best_params)
    jsonschema.validate(content, SCHEMA)
    entries = content["all_pareto_trials"] + content["tied_trials"]
    maes: dict[int, list[float]] = {}
    for number, _, mae in trainings(repeated[0]):
        maes.setdefault(number, []).append(mae)
    for entry in entries:
        maes_of_trial = maes[entry["trial"]]
        assert entry["n_seeds"] == len(maes_of_trial)
        assert entry["mae"] == pytest.approx(sum(maes_of_trial) / len(maes_of_trial))
        assert entry["standard_errors"]["mae"] > 0.0
    assert max(entry["n_seeds"] for entry in entries) > 1


@pytest.mark.slow
def test_a_study_stopped_in_a_repeat_ends_as_if_it_had_not_been(
    repeated: tuple[Path, StudyResult, Watch], tmp_path: Path
) -> None:
    stopped = search(tmp_path, make_settings(12), Watch(stop_in_repeat=True))
    assert stopped.ended_by == "request"
    assert len(trainings(tmp_path)) < len(trainings(repeated[0]))
    search(tmp_path, make_settings(12))
    assert trainings(tmp_path) == trainings(repeated[0])


@pytest.mark.slow
def test_repeats_can_be_switched_off(tmp_path: Path) -> None:
    search(tmp_path, make_settings(10, racing={"max_seeds": 1}))
    assert all(seed_index == 0 for _, seed_index, _ in trainings(tmp_path))


@pytest.mark.slow
def test_three_objectives_and_a_requirement_that_no_trial_meets(tmp_path: Path) -> None:
    settings = make_settings(
        6, objectives=("mae", "coverage_error", "width"), require=("picp >= 99.99",)
    )
    result = search(tmp_path, settings)
    assert result.outcome is not None
    assert not result.outcome.feasible
    content = load_json(make_run(tmp_path).best_params)
    jsonschema.validate(content, SCHEMA)
    assert content["feasible"] is False
    assert content["constraints"] == ["picp >= 99.99"]
    assert set(content["all_pareto_trials"][0]["objectives"]) == {
        "mae", "coverage_error", "mean_width",
    }  # fmt: skip
    best = max(result.records, key=lambda record: record.scores.get("picp", 0.0))
    assert content["best_trial_number"] == best.number
    page = study_page(StudyReport(result, settings, "kWh", dataset="small", job_id="1"))
    assert "No trial meets picp &gt;= 99.99." in page
    assert 'id="tradeoffs"' in page


def test_a_study_begins_with_the_front_of_an_earlier_one_and_keeps_its_queue(
    repeated: tuple[Path, StudyResult, Watch], tmp_path: Path
) -> None:
    earlier = tmp_path / "earlier"
    shutil.copytree(repeated[0], earlier)
    best = load_json(make_run(earlier).best_params)
    settings = make_settings(3, warm_start=(str(earlier),))
    first = search(tmp_path / "new", settings)
    assert first.records[0].config == best["best_params"]
    shutil.rmtree(earlier)
    more = search(tmp_path / "new", make_settings(4, warm_start=(str(earlier),)))
    assert [r.config for r in more.records[:3]] == [r.config for r in first.records]
    assert load_json(make_run(tmp_path / "new").manifest)["queue"] == [best["best_params"]]


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_makes_a_study_that_stays_in_its_space(tmp_path: Path, sampler: str) -> None:
    settings = make_settings(12, sampler=sampler, racing={"max_seeds": 1})
    result = search(tmp_path, settings)
    space = settings.space_of_model()
    assert len(result.records) == 12
    for record in result.records:
        assert all(space[name].holds(value) for name, value in record.config.items())
    assert len({tuple(record.config.values()) for record in result.records}) == 12
