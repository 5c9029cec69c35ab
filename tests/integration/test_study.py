"""A study on real components: N-HiTS, Optuna on SQLite, files on disk; small and short."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import optuna
import pytest
from numpy.typing import NDArray

import paretocast
from builders import make_series, make_task, with_values
from paretocast.errors import ExecutionError, StoreError
from paretocast.search.objectives import parse_objectives
from paretocast.search.samplers import N_STARTUP_TRIALS_MFGP
from paretocast.search.samplers.sampler import N_COSTS
from paretocast.search.selection import TrialState
from paretocast.search.space import Config
from paretocast.study.optuna_sync import OptunaSync
from paretocast.study.study import StudyResult
from paretocast.study.trial_store import TrialStore
from paretocast.training.setup import TrainingSetup
from paretocast.training.size import step_cost, total_weights
from paretocast.workspace.claims import machine_id
from paretocast.workspace.files import load_arrays, load_json
from studies import (
    SMALL_SPACE,
    Watch,
    make_run,
    make_settings,
    make_study,
    numbers,
    optimise,
)

SCHEMA = Path(paretocast.__file__).parent / "best_params.schema.json"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, StudyResult]:
    folder = tmp_path_factory.mktemp("finished")
    return folder, optimise(make_study(folder, make_settings(storage="sqlite")))


def test_a_study_ends_with_its_trials_and_a_choice_from_the_front(
    finished: tuple[Path, StudyResult],
) -> None:
    result = finished[1]
    assert result.ended_by == "trials"
    assert result.outcome is not None
    assert [record.number for record in result.records] == [0, 1, 2, 3]
    assert result.outcome.selection.number in result.outcome.front


def test_a_record_says_which_process_made_it_and_when(
    finished: tuple[Path, StudyResult],
) -> None:
    store = TrialStore(make_run(finished[0]))
    store.refresh()
    times = [(record.began, record.ended) for record in store.trainings]
    assert all(record.worker == 0 for record in store.trainings)
    assert all(began is not None and ended is not None and began < ended for began, ended in times)
    assert times == sorted(times)


def test_the_default_config_comes_first(finished: tuple[Path, StudyResult]) -> None:
    # Width 256 is outside this narrowed space, so here the first trial is sampled.
    settings = make_settings(1, space={})
    assert settings.space_of_model()["layer_widths"].holds(256)
    assert finished[1].records[0].config["layer_widths"] in (16, 32)


def test_best_params_follow_the_published_schema(finished: tuple[Path, StudyResult]) -> None:
    content = load_json(make_run(finished[0]).best_params)
    jsonschema.validate(content, json.loads(SCHEMA.read_text(encoding="utf-8")))
    assert content["best_params"] == finished[1].outcome.chosen.config  # type: ignore[union-attr]
    assert set(content["references"]) == {
        "seasonal_naive_24",
        "seasonal_naive_168",
        "weekday_hour_mean",
        "ridge",
    }


def test_every_trial_keeps_its_forecasts_in_target_units(
    finished: tuple[Path, StudyResult],
) -> None:
    task, run = make_task(), make_run(finished[0])
    for record in finished[1].records:
        arrays = load_arrays(run.forecasts(record.number))
        for split in ("tune", "calibrate"):
            assert arrays[split].shape == (len(task.issues[split]), 24, len(task.shape.levels))
        point = arrays["tune"][:, :, task.shape.levels.index(0.5)]
        assert np.abs(task.observed("tune") - point).mean() == pytest.approx(
            record.scores["mae"], rel=1e-6
        )


def test_the_database_holds_the_objectives_of_the_records(
    finished: tuple[Path, StudyResult],
) -> None:
    run = make_run(finished[0])
    study = optuna.load_study(study_name=run.study_name, storage=f"sqlite:///{run.study_database}")
    values = [trial.values for trial in study.trials]
    states = [record.state for record in finished[1].records]
    assert TrialState.PRUNED in states
    expected = [
        [r.scores["mae"], abs(r.scores["picp"] - 80.0)] if r.state is TrialState.COMPLETE else None
        for r in finished[1].records
    ]
    assert [v and pytest.approx(v) for v in values] == expected


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_optuna_tools_see_named_objectives_parameters_and_attributes(
    finished: tuple[Path, StudyResult],
) -> None:
    run = make_run(finished[0])
    study = optuna.load_study(study_name=run.study_name, storage=f"sqlite:///{run.study_database}")
    assert study.metric_names == [o.label for o in parse_objectives(("mae", "coverage_error"))]
    assert study.user_attrs == {"model": "NHITS_Q", "dataset": "small", "job_id": "1"}
    table = study.trials_dataframe(multi_index=True)
    assert set(study.metric_names) <= set(table["values"].columns)
    for trial, record in zip(study.trials, finished[1].records, strict=True):
        assert trial.params["layer_widths"] == record.config["layer_widths"]
        assert trial.user_attrs["picp"] == pytest.approx(record.scores["picp"])
        assert trial.user_attrs["fit_seconds"] == pytest.approx(record.fit_seconds)
        assert trial.user_attrs["seed"] == record.seed


def test_the_same_seed_gives_the_same_trials_and_numbers(
    finished: tuple[Path, StudyResult], tmp_path: Path
) -> None:
    assert numbers(optimise(make_study(tmp_path))) == numbers(finished[1])


def test_a_search_on_a_cpu_asks_once_what_configs_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def watched(setup: TrainingSetup, config: Config) -> float:
        asked.append(step_cost(setup, config))
        return asked[-1]

    monkeypatch.setattr("paretocast.study.study.step_cost", watched)
    optimise(make_study(tmp_path, make_settings(N_STARTUP_TRIALS_MFGP + 2)))
    assert len(asked) == N_COSTS
    assert max(asked) > min(asked)


def test_a_config_of_too_many_weights_is_not_tried(
    finished: tuple[Path, StudyResult], tmp_path: Path
) -> None:
    setup = make_study(tmp_path)._setup
    assert isinstance(setup, TrainingSetup)
    weights = [total_weights(setup, record.config) for record in finished[1].records]
    assert max(weights[1:]) > min(weights[1:])
    most = int(max(weights[1:])) - 1
    records = optimise(make_study(tmp_path / "b", make_settings(max_weights=most))).records
    assert max(total_weights(setup, record.config) for record in records[1:]) <= most


def test_another_seed_gives_other_trials(
    finished: tuple[Path, StudyResult], tmp_path: Path
) -> None:
    other = optimise(make_study(tmp_path, make_settings(seed=2)))
    assert numbers(other) != numbers(finished[1])


def test_a_study_stopped_in_the_middle_of_a_trial_ends_as_if_it_had_not_been(
    finished: tuple[Path, StudyResult], tmp_path: Path
) -> None:
    stopped = optimise(make_study(tmp_path), Watch(stop_at_evaluation=5))
    assert stopped.ended_by == "request"
    assert len(stopped.records) == 1
    assert make_run(tmp_path).checkpoint(1).exists()
    watch = Watch()
    continued = optimise(make_study(tmp_path), watch)
    assert watch.started[0] == (1, True)
    assert numbers(continued) == numbers(finished[1])
    assert not make_run(tmp_path).checkpoint(1).exists()


def test_a_process_that_dies_in_a_trial_loses_no_completed_one(
    finished: tuple[Path, StudyResult], tmp_path: Path
) -> None:
    class Dies(Watch):
        def trial_advanced(self, step: int, total_steps: int, stop_loss: float) -> None:
            super().trial_advanced(step, total_steps, stop_loss)
            if self.n_evaluations == 5:
                raise SystemExit(137)

    with pytest.raises(SystemExit):
        optimise(make_study(tmp_path), Dies())
    assert numbers(optimise(make_study(tmp_path))) == numbers(finished[1])


def test_a_process_that_dies_between_record_and_database_does_not_train_again(
    finished: tuple[Path, StudyResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(sync: object, study: object, number: int, now: object) -> None:
        if now is not None and make_run(tmp_path).record(number).exists():
            raise SystemExit(137)

    settings = make_settings(storage="sqlite")
    with monkeypatch.context() as patch:
        patch.setattr(OptunaSync, "_tell", die)
        with pytest.raises(SystemExit):
            optimise(make_study(tmp_path, settings))
    watch = Watch()
    assert numbers(optimise(make_study(tmp_path, settings), watch)) == numbers(finished[1])
    assert [number for number, _ in watch.started] == [1, 2, 3]


def test_trials_are_a_total_and_not_an_addition(
    finished: tuple[Path, StudyResult], tmp_path: Path
) -> None:
    optimise(make_study(tmp_path, make_settings(2)))
    watch = Watch()
    result = optimise(make_study(tmp_path, make_settings(4)), watch)
    assert [number for number, _ in watch.started] == [2, 3]
    assert numbers(result) == numbers(finished[1])


def test_a_trial_that_is_not_among_the_best_third_of_a_rung_is_pruned_there(
    finished: tuple[Path, StudyResult],
) -> None:
    for record in finished[1].records:
        steps = [rung.step for rung in record.rungs]
        assert steps == [1, 4, 12][: len(steps)]
        assert (record.state is TrialState.COMPLETE) == (steps[-1] == 12)
        assert record.scores == record.rungs[-1].scores
        assert {step for step, _ in record.stop_losses} >= set(steps)


def test_a_time_limit_keeps_the_trial_under_way(tmp_path: Path) -> None:
    ticks = iter(range(1000))
    study = make_study(tmp_path, make_settings(time_limit_seconds=8.0))
    watch = Watch()
    result = study.optimise(watch, should_stop=watch.wants_stop, clock=lambda: float(next(ticks)))
    assert result.ended_by == "time limit"
    assert make_run(tmp_path).checkpoint(len(result.records)).exists()


def test_a_damaged_checkpoint_costs_time_and_not_the_trial(
    finished: tuple[Path, StudyResult], tmp_path: Path
) -> None:
    optimise(make_study(tmp_path), Watch(stop_at_evaluation=5))
    checkpoint = make_run(tmp_path).checkpoint(1)
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    assert numbers(optimise(make_study(tmp_path))) == numbers(finished[1])


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_process_that_dies_while_a_config_is_proposed_proposes_the_same_again(
    finished: tuple[Path, StudyResult],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
) -> None:
    optimise(make_study(tmp_path, make_settings(1)))
    save = TrialStore.save_proposal

    def save_and_die(self: TrialStore, number: int, config: dict[str, Any]) -> None:
        if moment == "after":
            save(self, number, config)
        raise SystemExit(137)

    with monkeypatch.context() as patch:
        patch.setattr(TrialStore, "save_proposal", save_and_die)
        with pytest.raises(SystemExit):
            optimise(make_study(tmp_path))
    assert make_run(tmp_path).trial_folder(1).exists()
    assert numbers(optimise(make_study(tmp_path))) == numbers(finished[1])


def test_resuming_with_the_printed_command_reaches_the_last_total_asked_for(tmp_path: Path) -> None:
    optimise(make_study(tmp_path, make_settings(1)))
    make_study(tmp_path, make_settings(3))
    stored = load_json(make_run(tmp_path).manifest)["settings"]
    assert stored["trials"] == 3


def test_a_failing_trial_is_recorded_as_failed_and_the_study_goes_on(tmp_path: Path) -> None:
    wild = {"NHITS_Q": {**SMALL_SPACE["NHITS_Q"], "lr": {"values": [1e30]}}}
    result = optimise(make_study(tmp_path, make_settings(2, space=wild)))
    assert [record.state for record in result.records] == [TrialState.FAILED] * 2
    assert result.outcome is None
    stored = load_json(make_run(tmp_path).record(0))
    assert "learning rate of 1e+30" in stored["reason"]
    assert "Traceback" in stored["traceback"]
    assert stored["scores"] == {}
    assert not make_run(tmp_path).best_params.exists()


def test_a_study_is_not_continued_under_other_conditions(tmp_path: Path) -> None:
    optimise(make_study(tmp_path, make_settings(1)))
    with pytest.raises(
        StoreError, match=r"target_coverage was 80.0, now 70.0.*choose another --job-id"
    ):
        make_study(tmp_path, make_settings(2, target_coverage=70.0))


def leave_dead_claims(folder: Path, n: int) -> None:
    """Leave the claims of processes that are killed over a trial, one after the other."""
    folder.mkdir(parents=True, exist_ok=True)
    owner = {"host": "h", "machine": machine_id(), "pid": 1, "worker": 0, "started": time.time()}
    for number in range(n):
        (folder / f"claim.{number}").write_text(json.dumps(owner), encoding="utf-8")


def test_a_trial_that_kills_its_processes_fails_and_the_study_goes_on(tmp_path: Path) -> None:
    study = make_study(tmp_path, make_settings(3, max_deaths=3))
    for number, n_deaths in ((0, 2), (1, 3)):
        leave_dead_claims(make_run(tmp_path).trial_folder(number), n_deaths)
    result = optimise(study)
    states = [record.state for record in result.records]
    assert states[1] is TrialState.FAILED
    assert states[0] is not TrialState.FAILED
    assert len(states) == 3
    assert result.records[1].reason.startswith("3 processes died over it")
    assert not list(make_run(tmp_path).trials_folder.rglob("claim.*"))


def test_deaths_before_the_last_checkpoint_do_not_count(tmp_path: Path) -> None:
    settings = make_settings(1, max_deaths=3)
    optimise(make_study(tmp_path, settings), Watch(stop_at_evaluation=1))
    run = make_run(tmp_path)
    assert run.checkpoint(0).exists()
    (run.trial_folder(0) / "claim.0").unlink()
    leave_dead_claims(run.trial_folder(0), 3)
    later = time.time() + 10.0
    os.utime(run.checkpoint(0), (later, later))
    (record,) = optimise(make_study(tmp_path, settings)).records
    assert record.state is TrialState.COMPLETE


def test_a_device_that_broke_spoils_no_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    with monkeypatch.context() as broken:
        broken.setattr("paretocast.training.trial.start_training", fail)
        broken.setattr("paretocast.study.study.device_answers", lambda _: False)
        with pytest.raises(ExecutionError, match=r"does not answer any more \(RuntimeError: CUDA"):
            optimise(make_study(tmp_path, make_settings(2)))
    assert not list(make_run(tmp_path).trials_folder.rglob("record.json"))
    result = optimise(make_study(tmp_path, make_settings(2)))
    assert all(record.state is not TrialState.FAILED for record in result.records)


def test_a_late_writer_does_not_put_an_older_result_in_place_of_a_newer(tmp_path: Path) -> None:
    slow = make_study(tmp_path, make_settings(2), shared=True)
    optimise(slow)
    older = slow.outcome()
    assert older is not None
    optimise(make_study(tmp_path, make_settings(3), shared=True))
    slow._save_best_params(older)
    assert load_json(make_run(tmp_path).best_params)["n_trials"] == 3


def test_a_process_that_was_held_up_keeps_the_config_that_another_proposed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study(tmp_path, make_settings(1), shared=True)
    theirs = {**study._suggest(0), "lr": 1.25e-4}

    def propose_late(number: int) -> Config:
        TrialStore(make_run(tmp_path)).save_proposal(number, theirs)
        return {**theirs, "lr": 9e-3}

    monkeypatch.setattr(study, "_suggest", propose_late)
    (record,) = optimise(study).records
    assert record.config == theirs
    assert load_json(make_run(tmp_path).proposal(0))["config"] == theirs


def test_the_device_of_one_worker_is_not_that_of_the_study(tmp_path: Path) -> None:
    make_study(tmp_path, make_settings(2, device="auto"))
    make_study(tmp_path, make_settings(2, device="cuda:1"), shared=True)
    assert load_json(make_run(tmp_path).manifest)["settings"]["device"] == "auto"
    make_study(tmp_path, make_settings(5, device="cuda:1"), shared=True)
    settings = load_json(make_run(tmp_path).manifest)["settings"]
    assert (settings["trials"], settings["device"]) == (5, "auto")


def test_a_study_is_not_continued_on_other_data(tmp_path: Path) -> None:
    optimise(make_study(tmp_path, make_settings(1)))
    series = make_series()
    values = series.values.copy()
    values[100] += 1.0
    with pytest.raises(StoreError, match="was made on other data and cannot be continued"):
        make_study(tmp_path, make_settings(2), task=make_task(with_values(series, values)))


def test_no_test_value_can_change_a_search(
    finished: tuple[Path, StudyResult], tmp_path: Path
) -> None:
    series = make_series()
    values: NDArray[np.float64] = series.values.copy()
    values[24 * 102 :] = 1e6
    covariates = tuple(
        replace(c, values=np.where(np.arange(len(series)) < 24 * 102, c.values, -1e6))
        for c in series.covariates
    )
    task = make_task(replace(series, values=values, covariates=covariates))
    assert numbers(optimise(make_study(tmp_path, task=task))) == numbers(finished[1])


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    optimise(make_study(tmp_path, make_settings(1)))
    make_run(tmp_path).record(0).write_text("{", encoding="utf-8")
    with pytest.raises(StoreError, match=r"record\.json is damaged"):
        make_study(tmp_path)


@pytest.mark.parametrize(
    ("content", "told"), [(b"PK", "is damaged"), (None, "cannot be read: No such file")]
)
def test_a_trial_without_its_forecasts_has_no_part_in_the_recommendation_and_is_named(
    tmp_path: Path, content: bytes | None, told: str
) -> None:
    whole = optimise(make_study(tmp_path, make_settings(2)))
    path = make_run(tmp_path).forecasts(0)
    path.unlink() if content is None else path.write_bytes(content)
    result = optimise(make_study(tmp_path, make_settings(2)))
    assert whole.notes == ()
    (note,) = result.notes
    start = "trial 0 had no part in the recommendation"
    assert note.startswith(f"{start}: {path} {told}")
    assert note.endswith("; train the trial again or leave it out")
    assert result.choice is not None
    assert 0 not in {*result.choice.best_of_model.values(), *dict(result.choice.members)}


def test_a_study_none_of_whose_forecasts_can_be_read_says_that_nothing_is_recommended(
    tmp_path: Path,
) -> None:
    optimise(make_study(tmp_path, make_settings(1)))
    make_run(tmp_path).forecasts(0).unlink()
    result = optimise(make_study(tmp_path, make_settings(1)))
    assert result.choice is None
    assert result.notes == (
        "nothing is recommended: the forecasts of no complete trial can be read",
    )
