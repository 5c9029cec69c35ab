"""Decisions of `submit` and its files, with an executor that only remembers."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from paretocast.cluster.base import ElementReport, Executor, Job, JobReport, JobState
from paretocast.cluster.collect import StatusReport, collect_status, result_path, update_table
from paretocast.cluster.handover import find_interrupted
from paretocast.cluster.profiles import Profile
from paretocast.cluster.script import SearchRequest
from paretocast.cluster.status import State
from paretocast.cluster.submission import (
    cancel,
    find,
    find_all,
    plan,
    refuse_if_active,
    request_of,
    submit,
    submit_series,
)
from paretocast.cluster.tracking import (
    Submission,
    load_rows,
    load_submission,
    read_submissions,
    submission_path,
    submission_row,
    table_path,
)
from paretocast.errors import ExecutionError, StoreError
from paretocast.workspace.files import save_json
from paretocast.workspace.runs import RunDirectory
from runs import SCORES, manifest_content, record_content

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


class Notebook(Executor):
    """Gives job ids 1, 2, 3, …, and the state it was told for each."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.states: dict[str, JobState] = {}

    def submit(self, job: Job) -> str:
        self.jobs.append(job)
        self.states[str(len(self.jobs))] = JobState.PENDING
        return str(len(self.jobs))

    def find(self, marks: Sequence[str]) -> Mapping[str, str]:
        ids = {job.mark: str(number) for number, job in enumerate(self.jobs, start=1)}
        return {mark: ids[mark] for mark in marks if mark in ids}

    def poll(self, job_ids: Sequence[str]) -> Mapping[str, JobReport]:
        return {
            job_id: JobReport((ElementReport(job_id, self.states[job_id]),))
            if job_id in self.states
            else JobReport()
            for job_id in job_ids
        }

    def cancel(self, job_ids: Sequence[str]) -> None:
        for job_id in job_ids:
            self.states[job_id] = JobState.CANCELLED


class DyingNotebook(Notebook):
    """Ends its process while a job is handed over."""

    def __init__(self, *, after_the_job: bool, dies: bool = True) -> None:
        super().__init__()
        self.after_the_job, self.dies = after_the_job, dies

    def submit(self, job: Job) -> str:
        if self.dies and not self.after_the_job:
            raise KeyboardInterrupt
        job_id = super().submit(job)
        if self.dies:
            raise KeyboardInterrupt
        return job_id


PLAIN_JOB = Job(name="j", script="", folder=Path(), log="a", error_log="b")


def find_submissions(folder: Path) -> list[Submission]:
    return list(read_submissions(folder / "hpo")[0])


def make_request(
    folder: Path, *, stage: int | None = None, model: str = "NHITS_Q"
) -> SearchRequest:
    return SearchRequest(
        model=model,
        dataset="heat",
        source="heat",
        trials=2,
        stage=stage,
        n_workers=1,
        options=(),
        folder=folder,
        workspace=Path("hpo"),
    )


def hand_over(request: SearchRequest, executor: Executor, **more: object) -> Submission:
    return submit(request, Profile(), executor, program=("p",), now=NOW, **more)  # type: ignore[arg-type]


def look(folder: Path, executor: Executor | None) -> StatusReport:
    return collect_status(folder / "hpo", executor, now=NOW)


def finish(folder: Path, submission: Submission, *, n_trials: int = 2) -> None:
    """The files that a search of two trials leaves."""
    workspace = folder / "hpo"
    run = RunDirectory(workspace, submission.model, submission.dataset, submission.study_id)
    for number in range(n_trials):
        scores = {**SCORES, "mae": 0.1 + number}
        save_json(run.record(number), record_content(number, scores=scores, fit_seconds=5.0))
    result = result_path(workspace, submission_row(submission))
    save_json(result, {"not": "checked here"})
    os.utime(result, (time.time(), time.time()))


def test_a_submission_leaves_its_record_its_script_and_its_row(tmp_path: Path) -> None:
    executor = Notebook()
    submission = hand_over(make_request(tmp_path), executor)
    assert submission.id == "NHITS_Q_heat_1"
    script = (tmp_path / "hpo" / "logs" / "hpo_NHITS_Q_heat_1.sh").read_text("utf-8")
    assert script == executor.jobs[0].script
    assert list(load_rows(tmp_path / "hpo")) == ["NHITS_Q_heat_1"]
    assert find(tmp_path / "hpo", "1") == find(tmp_path / "hpo", "NHITS_Q_heat_1") == submission
    assert request_of(submission, tmp_path / "hpo") == make_request(tmp_path)


def test_nothing_is_submitted_where_nothing_can_be_written(tmp_path: Path) -> None:
    executor = Notebook()
    (tmp_path / "hpo").write_text("a file", encoding="utf-8")
    with pytest.raises(StoreError, match="cannot be written to"):
        hand_over(make_request(tmp_path), executor)
    assert executor.jobs == []


def test_a_job_whose_record_cannot_be_kept_is_named(tmp_path: Path) -> None:
    table = table_path(tmp_path / "hpo")
    table.parent.mkdir(parents=True)
    table.write_text("garbage", encoding="utf-8")
    with pytest.raises(StoreError, match="job 1 is submitted, but its record could not be kept"):
        hand_over(make_request(tmp_path), Notebook())


def test_a_job_of_a_process_that_died_before_the_record_is_found_again(tmp_path: Path) -> None:
    executor = DyingNotebook(after_the_job=True)
    with pytest.raises(KeyboardInterrupt):
        hand_over(make_request(tmp_path), executor)
    assert find_submissions(tmp_path) == []
    executor.dies = False
    (experiment,) = look(tmp_path, executor).experiments
    assert (experiment.id, experiment.state) == ("NHITS_Q_heat_1", State.QUEUED)
    (submission,) = find_submissions(tmp_path)
    assert submission.jobs[0].logs == executor.jobs[0].log_paths("1")
    script = (tmp_path / "hpo" / "logs" / "hpo_NHITS_Q_heat_1.sh").read_text("utf-8")
    assert script == executor.jobs[0].script
    assert list((tmp_path / "hpo" / "tracking" / "submitting").iterdir()) == []


def test_the_same_request_after_a_death_hands_no_second_job_over(tmp_path: Path) -> None:
    executor = DyingNotebook(after_the_job=True)
    with pytest.raises(KeyboardInterrupt):
        hand_over(make_request(tmp_path), executor)
    executor.dies = False
    other = hand_over(make_request(tmp_path, model="TFT_Q"), executor)
    same = hand_over(make_request(tmp_path), executor)
    assert [other.study_id, same.study_id] == ["2", "1"]
    assert len(executor.jobs) == 2
    assert hand_over(make_request(tmp_path), executor).study_id == "3"  # asked for anew


def test_a_submission_counts_as_interrupted_until_its_id_is_told(tmp_path: Path) -> None:
    executor = Notebook()

    def broken(_: Submission) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        hand_over(make_request(tmp_path), executor, tell=broken)
    assert hand_over(make_request(tmp_path), executor).study_id == "1"
    assert len(executor.jobs) == 1
    assert len(find_submissions(tmp_path)) == 1


def test_a_continued_study_keeps_its_jobs_once_after_a_death(tmp_path: Path) -> None:
    executor = DyingNotebook(after_the_job=True, dies=False)
    hand_over(make_request(tmp_path), executor)
    executor.dies = True
    with pytest.raises(KeyboardInterrupt):
        hand_over(make_request(tmp_path), executor, study_id="1")
    executor.dies = False
    look(tmp_path, executor)
    (submission,) = find_submissions(tmp_path)
    assert (submission.study_id, [job.job_id for job in submission.jobs]) == ("1", ["1", "2"])


def test_a_death_before_the_job_is_forgotten_and_the_request_handed_over(tmp_path: Path) -> None:
    executor = DyingNotebook(after_the_job=False)
    with pytest.raises(KeyboardInterrupt):
        hand_over(make_request(tmp_path), executor)
    executor.dies = False
    assert look(tmp_path, executor).experiments == ()
    assert list((tmp_path / "hpo" / "tracking" / "submitting").iterdir()) == []
    assert hand_over(make_request(tmp_path), executor).study_id == "1"


def test_a_job_that_may_be_on_its_way_is_waited_for(tmp_path: Path) -> None:
    executor = DyingNotebook(after_the_job=False)
    now = datetime.now(UTC)
    with pytest.raises(KeyboardInterrupt):
        submit(make_request(tmp_path), Profile(), executor, program=("p",), now=now)
    executor.dies = False
    assert "interrupted a moment ago" in look(tmp_path, executor).notes[0]
    (left,) = (tmp_path / "hpo" / "tracking" / "submitting").iterdir()
    wanted = [load_submission(left / "submission.json")]

    def sbatch_answers(_: float) -> None:
        executor.jobs.append(replace(PLAIN_JOB, mark=left.name))

    found = find_interrupted(tmp_path / "hpo", executor, wanted, pause=sbatch_answers)
    assert found is not None
    assert found[1] == "1"
    found[0].release()


def test_a_living_submission_is_left_alone(tmp_path: Path) -> None:
    executor, seen = Notebook(), []

    def look_meanwhile(_: Submission) -> None:
        seen.append(hand_over(make_request(tmp_path), executor).study_id)
        seen.extend(look(tmp_path, executor).notes)

    hand_over(make_request(tmp_path), executor, tell=look_meanwhile)
    assert seen == ["2"]


def test_a_refused_job_leaves_nothing_behind(tmp_path: Path) -> None:
    class Refusing(Notebook):
        def submit(self, job: Job) -> str:
            raise ExecutionError("no such partition")

    with pytest.raises(ExecutionError, match="no such partition"):
        hand_over(make_request(tmp_path), Refusing())
    assert list((tmp_path / "hpo" / "tracking" / "submitting").iterdir()) == []


def test_an_unknown_experiment_lists_those_there_are(tmp_path: Path) -> None:
    hand_over(make_request(tmp_path), Notebook())
    with pytest.raises(StoreError, match=r"'x' is not in .*; the last ones: NHITS_Q_heat_1"):
        find(tmp_path / "hpo", "x")


def test_a_resubmission_continues_the_study_under_a_new_job(tmp_path: Path) -> None:
    executor = Notebook()
    request = make_request(tmp_path)
    hand_over(request, executor)
    again = hand_over(request, executor, study_id="1")
    assert (again.id, [job.job_id for job in again.jobs]) == ("NHITS_Q_heat_1", ["1", "2"])
    assert "--job-id 1\n" in executor.jobs[1].script
    assert load_rows(tmp_path / "hpo")["NHITS_Q_heat_1"].job_ids == "1 2"


def test_cancel_ends_what_is_active_and_nothing_else(tmp_path: Path) -> None:
    executor = Notebook()
    submission = hand_over(make_request(tmp_path), executor)
    with pytest.raises(ExecutionError, match="paretocast cancel NHITS_Q_heat_1 first"):
        refuse_if_active(submission, executor)
    assert cancel([submission], executor) == [(submission, ("1",))]
    assert cancel([submission], executor) == [(submission, ())]
    refuse_if_active(submission, executor)


def test_what_is_queued_or_finished_is_skipped_and_named(tmp_path: Path) -> None:
    executor = Notebook()
    queued = hand_over(make_request(tmp_path), executor)
    done = hand_over(make_request(tmp_path, model="TFT_Q"), executor)
    executor.states["2"] = JobState.COMPLETED
    finish(tmp_path, done)
    models = ("NHITS_Q", "TFT_Q", "TIMESNET_Q")
    requests = [make_request(tmp_path, model=model) for model in models]
    planned = plan(requests, look(tmp_path, executor).experiments)
    assert [submission.skipped for submission in planned] == [
        f"queued as {queued.id} (job 1)",
        f"finished as {done.id}, 2 trials",
        "",
    ]


def test_a_study_that_stopped_half_way_is_continued(tmp_path: Path) -> None:
    executor = Notebook()
    half = hand_over(make_request(tmp_path), executor)
    finish(tmp_path, half, n_trials=1)
    executor.states["1"] = JobState.FAILED
    (planned,) = plan([make_request(tmp_path)], look(tmp_path, executor).experiments)
    assert (planned.skipped, planned.study_id) == ("", "1")


def test_a_job_that_failed_before_its_first_trial_is_begun_anew(tmp_path: Path) -> None:
    executor = Notebook()
    hand_over(make_request(tmp_path), executor)
    executor.states["1"] = JobState.FAILED
    (planned,) = plan([make_request(tmp_path)], look(tmp_path, executor).experiments)
    assert (planned.skipped, planned.study_id) == ("", None)


def test_stage_2_waits_for_a_stage_1_of_the_same_submission(tmp_path: Path) -> None:
    planned = plan([make_request(tmp_path, stage=1), make_request(tmp_path, stage=2)], ())
    assert [submission.after_index for submission in planned] == [None, 0]


def test_stage_2_waits_for_a_stage_1_that_runs(tmp_path: Path) -> None:
    executor = Notebook()
    hand_over(make_request(tmp_path, stage=1), executor)
    executor.states["1"] = JobState.RUNNING
    (planned,) = plan([make_request(tmp_path, stage=2)], look(tmp_path, executor).experiments)
    assert (planned.skipped, planned.after) == ("", ("1",))


def test_stage_2_starts_at_once_when_stage_1_is_finished(tmp_path: Path) -> None:
    executor = Notebook()
    first = hand_over(make_request(tmp_path, stage=1), executor)
    executor.states["1"] = JobState.COMPLETED
    finish(tmp_path, first)
    (planned,) = plan([make_request(tmp_path, stage=2)], look(tmp_path, executor).experiments)
    assert (planned.skipped, planned.after, planned.refused) == ("", (), False)


def test_stage_2_is_refused_without_a_stage_1(tmp_path: Path) -> None:
    executor = Notebook()
    (planned,) = plan([make_request(tmp_path, stage=2)], ())
    assert planned.refused
    assert "neither finished nor runs (there is none)" in planned.skipped
    hand_over(make_request(tmp_path, stage=1), executor)
    executor.states["1"] = JobState.FAILED
    (planned,) = plan([make_request(tmp_path, stage=2)], look(tmp_path, executor).experiments)
    assert planned.refused
    assert "NHITS_Q_heat_1 is failed" in planned.skipped
    assert "paretocast submit NHITS_Q heat --stage 1" in planned.skipped


def test_an_old_result_of_a_stage_does_not_hide_that_its_job_failed(tmp_path: Path) -> None:
    executor = Notebook()
    submission = submit(
        make_request(tmp_path, stage=2),
        Profile(),
        executor,
        program=("p",),
        now=datetime.now(UTC),
    )
    finish(tmp_path, submission)
    result = result_path(tmp_path / "hpo", submission_row(submission))
    os.utime(result, (0, 0))
    executor.states["1"] = JobState.FAILED
    (experiment,) = look(tmp_path, executor).experiments
    assert experiment.state is State.FAILED


def test_stage_2_shows_the_coverage_of_its_levels(tmp_path: Path) -> None:
    executor = Notebook()
    submission = hand_over(make_request(tmp_path, stage=2), executor)
    executor.states["1"] = JobState.COMPLETED
    result = result_path(tmp_path / "hpo", submission_row(submission))
    save_json(result, {"picp": 81.5})
    (experiment,) = look(tmp_path, executor).experiments
    assert (experiment.state, experiment.progress.best_picp) == (State.FINISHED, 81.5)
    assert (experiment.as_json()["trials"], experiment.current_row().best_picp) == (None, "81.50")
    result.write_text("{}", encoding="utf-8")
    (experiment,) = look(tmp_path, executor).experiments
    assert "calibrated_quantiles.json is damaged" in experiment.progress.problems[0]


def test_the_table_is_made_anew_from_the_run_directories(tmp_path: Path) -> None:
    executor = Notebook()
    for model in ("NHITS_Q", "TFT_Q"):
        hand_over(make_request(tmp_path, model=model), executor)
    before = load_rows(tmp_path / "hpo")
    table = table_path(tmp_path / "hpo")
    table.write_text("garbage", encoding="utf-8")
    update_table(tmp_path / "hpo", look(tmp_path, executor).experiments, anew=True)
    after = load_rows(tmp_path / "hpo")
    assert {row.id: row.job_ids for row in after.values()} == {
        row.id: row.job_ids for row in before.values()
    }


def test_a_study_without_a_job_is_shown_too(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "hpo", "NHITS_Q", "my_zone", "mine")
    save_json(run.manifest, manifest_content(trials=8))
    (experiment,) = look(tmp_path, Notebook()).experiments
    assert (experiment.id, experiment.row.trials, experiment.state) == (
        "NHITS_Q_my_zone_mine",
        "8",
        State.UNFINISHED,
    )


def test_a_finished_experiment_is_not_asked_for_again(tmp_path: Path) -> None:
    executor = Notebook()
    finish(tmp_path, hand_over(make_request(tmp_path), executor))
    executor.states["1"] = JobState.COMPLETED
    update_table(tmp_path / "hpo", look(tmp_path, executor).experiments, anew=False)
    executor.states["1"] = JobState.FAILED  # would show if it were asked for
    (experiment,) = look(tmp_path, executor).experiments
    assert (experiment.state, experiment.evidence.report) == (State.FINISHED, None)
    hand_over(make_request(tmp_path), executor, study_id="1")
    (experiment,) = look(tmp_path, executor).experiments
    assert experiment.state is State.QUEUED


def test_a_silent_scheduler_is_noted_and_the_files_still_count(tmp_path: Path) -> None:
    class Silent(Notebook):
        def poll(self, job_ids: Sequence[str]) -> Mapping[str, JobReport]:
            raise ExecutionError("squeue gave no answer within 60 s")

    finish(tmp_path, hand_over(make_request(tmp_path), Notebook()))
    report = look(tmp_path, Silent())
    assert [experiment.state for experiment in report.experiments] == [State.FINISHED]
    assert report.notes == ("the scheduler was not asked: squeue gave no answer within 60 s",)


def test_a_damaged_submission_does_not_hide_the_others(tmp_path: Path) -> None:
    executor = Notebook()
    hand_over(make_request(tmp_path), executor)
    (tmp_path / "hpo" / "results" / "NHITS_Q_heat" / "submission_9.json").write_text("{")
    report = look(tmp_path, executor)
    assert [experiment.id for experiment in report.experiments] == ["NHITS_Q_heat_1"]
    assert "submission_9.json is damaged" in report.notes[0]


def test_a_job_is_dated_by_the_first_line_of_its_log(tmp_path: Path) -> None:
    executor = Notebook()
    submission = hand_over(make_request(tmp_path), executor)
    log = Path(submission.jobs[0].logs[0][0])
    log.write_text("2026-01-01T11:59:00+00:00 job 1 on n1, restart 0\n", encoding="utf-8")
    executor.states["1"] = JobState.RUNNING
    (experiment,) = look(tmp_path, executor).experiments
    assert experiment.elapsed_seconds == 60.0


def test_damaged_files_of_a_run_are_reported_and_not_counted(tmp_path: Path) -> None:
    executor = Notebook()
    submission = hand_over(make_request(tmp_path), executor)
    finish(tmp_path, submission)
    run = RunDirectory(tmp_path / "hpo", "NHITS_Q", "heat", "1")
    run.record(0).write_text("{", encoding="utf-8")
    run.best_params.write_text(json.dumps({"best_mae": 1.0}), encoding="utf-8")
    (experiment,) = look(tmp_path, executor).experiments
    assert experiment.progress.n_complete == 1
    problems = " ".join(experiment.progress.problems)
    assert "record.json is damaged" in problems
    assert "best_params_NHITS_Q_heat_1.json is damaged: schema_version is missing" in problems


class SmallCluster(Notebook):
    """Takes arrays of three elements at most."""

    def most_elements(self) -> int | None:
        return 3


def test_many_series_are_arrays_of_what_the_cluster_takes(tmp_path: Path) -> None:
    executor = SmallCluster()
    requests = [replace(make_request(tmp_path), dataset=f"zone_{i}") for i in range(7)]
    arrays = submit_series(requests, Profile(), executor, program=("p",), now=NOW)
    assert [job.n_elements for job in executor.jobs] == [3, 3, 1]
    jobs = [submission.jobs[-1].job_id for array in arrays for submission in array]
    assert jobs == ["1_0", "1_1", "1_2", "2_0", "2_1", "2_2", "3"]
    ids = [submission.id for array in arrays for submission in array]
    assert ids[3:5] == ["NHITS_Q_zone_3_2", "NHITS_Q_zone_4_2"]
    assert list(load_rows(tmp_path / "hpo")) == ids
    logs = [log for array in arrays for submission in array for log, _ in submission.jobs[-1].logs]
    assert logs[4].endswith("hpo_NHITS_Q_zone_3_and_2_more_2_1.log")
    scripts = {path.name for path in (tmp_path / "hpo" / "logs").glob("*.sh")}
    assert "hpo_NHITS_Q_zone_3_and_2_more_2.sh" in scripts


def test_an_array_whose_process_died_is_recorded_whole_and_not_handed_over_twice(
    tmp_path: Path,
) -> None:
    executor = DyingNotebook(after_the_job=True)
    requests = [replace(make_request(tmp_path), dataset=f"zone_{i}") for i in range(3)]
    with pytest.raises(KeyboardInterrupt):
        submit_series(requests, Profile(), executor, program=("p",), now=NOW)
    executor.dies = False
    ((first, second, third),) = submit_series(
        requests, Profile(), executor, program=("p",), now=NOW
    )
    assert len(executor.jobs) == 1
    assert [each.jobs[-1].job_id for each in (first, second, third)] == ["1_0", "1_1", "1_2"]
    assert {each.study_id for each in (first, second, third)} == {"1"}
    assert sorted(load_rows(tmp_path / "hpo")) == sorted(each.id for each in (first, second, third))
    assert list((tmp_path / "hpo" / "tracking" / "submitting").iterdir()) == []


def test_the_id_of_an_array_names_all_its_experiments_and_none_alone(tmp_path: Path) -> None:
    executor = Notebook()
    requests = [replace(make_request(tmp_path), dataset=f"zone_{i}") for i in range(3)]
    ((first, second, third),) = submit_series(
        requests, Profile(), executor, program=("p",), now=NOW
    )
    assert find_all(tmp_path / "hpo", "1") == (first, second, third)
    assert find(tmp_path / "hpo", "1_1") == second
    with pytest.raises(StoreError, match="1 is an array of 3 experiments, NHITS_Q_zone_0_1 to"):
        find(tmp_path / "hpo", "1")


def test_a_damaged_submission_is_told_of_its_array_and_keeps_no_other_from_being_found(
    tmp_path: Path,
) -> None:
    executor = Notebook()
    requests = [replace(make_request(tmp_path), dataset=f"zone_{i}") for i in range(2)]
    ((first, _),) = submit_series(requests, Profile(), executor, program=("p",), now=NOW)
    other = hand_over(make_request(tmp_path), executor)
    submission_path(first.run_directory(tmp_path / "hpo")).write_text("{")
    assert find(tmp_path / "hpo", other.id) == other
    for name in ("1", first.id, "nothing"):
        with pytest.raises(StoreError, match=r"NHITS_Q_zone_0/submission_1\.json is damaged"):
            find(tmp_path / "hpo", name)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\xff", "is damaged"),
        (b"id\n", "lacks the columns"),
        (b"id\n" + b"x" * 200_000, "is damaged: field larger"),
    ],
)
def test_a_damaged_table_is_told_and_made_anew(tmp_path: Path, content: bytes, told: str) -> None:
    executor = Notebook()
    submission = hand_over(make_request(tmp_path), executor)
    table_path(tmp_path / "hpo").write_bytes(content)
    with pytest.raises(StoreError, match=rf"experiments\.csv {told}.*status --rebuild"):
        load_rows(tmp_path / "hpo")
    update_table(tmp_path / "hpo", look(tmp_path, executor).experiments, anew=True)
    assert list(load_rows(tmp_path / "hpo")) == [submission.id]


@pytest.mark.parametrize("closed", ["NHITS_Q_heat", "NHITS_Q_heat/trials_1", ""])
def test_a_folder_that_may_not_be_listed_is_told_and_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed: str
) -> None:
    workspace, results = tmp_path / "hpo", tmp_path / "hpo" / "results"
    for dataset in ("heat", "water"):
        run = RunDirectory(workspace, "NHITS_Q", dataset, "1")
        save_json(run.manifest, manifest_content())
        save_json(run.record(0), record_content(0))
    list_folder = os.listdir

    def listed(folder: Path) -> list[str]:
        if Path(folder) == results / closed:
            raise PermissionError(13, "Permission denied", str(folder))
        return list_folder(folder)

    monkeypatch.setattr(os, "listdir", listed)
    report = look(tmp_path, None)
    told = [*report.notes, *(text for e in report.experiments for text in e.progress.problems)]
    assert told == [f"{results / closed} cannot be read: Permission denied"]
    (whole,) = [e for e in report.experiments if e.id == "NHITS_Q_water_1"]
    assert whole.progress.n_complete == 1
