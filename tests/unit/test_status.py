from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from paretocast.cluster.base import ElementReport, JobReport, JobState
from paretocast.cluster.status import (
    Evidence,
    State,
    experiment_status,
    likely_cause,
    next_commands,
)
from paretocast.cluster.tracking import ExperimentRow
from paretocast.workspace.progress import Progress

NOW = datetime(2026, 1, 1, 13, 0, tzinfo=UTC)
ROW = ExperimentRow(
    id="NHITS_Q_heat_812",
    job_ids="812",
    model="NHITS_Q",
    dataset="heat",
    stage="",
    strategy="single-stage",
    trials="10",
    workers="2",
    submitted="2026-01-01T11:00:00+00:00",
    started="2026-01-01T12:00:00+00:00",
    ended="2026-01-01T12:30:00+00:00",
)
HALF = Progress(n_complete=3, n_pruned=1, n_failed=1, fit_seconds=500.0)
WHOLE = replace(HALF, n_complete=8, best_mae=0.1, best_picp=80.0)
HPO = Path("hpo")


def report(*states: JobState, reason: str = "") -> JobReport:
    return JobReport(tuple(ElementReport(f"812_{i}", s, reason) for i, s in enumerate(states)))


def evidence(
    job: JobReport | None,
    progress: Progress = HALF,
    *,
    row: ExperimentRow = ROW,
    has_result: bool = True,
    last_lines: tuple[str, ...] = (),
) -> Evidence:
    return Evidence(
        row=row, report=job, progress=progress, has_result=has_result, last_lines=last_lines
    )


@pytest.mark.parametrize(
    ("job", "progress", "state"),
    [
        (report(JobState.PENDING), Progress(), State.QUEUED),
        (report(JobState.RUNNING, JobState.FAILED), HALF, State.RUNNING),
        (report(JobState.COMPLETED, JobState.COMPLETED), WHOLE, State.FINISHED),
        (report(JobState.COMPLETED, JobState.FAILED), WHOLE, State.FINISHED),
        (report(JobState.COMPLETED, JobState.FAILED), HALF, State.FAILED),
        (report(JobState.TIMEOUT), HALF, State.FAILED),
        (report(JobState.CANCELLED), HALF, State.CANCELLED),
        (report(JobState.COMPLETED), HALF, State.UNFINISHED),
        (JobReport(), HALF, State.UNFINISHED),
        (JobReport(), WHOLE, State.FINISHED),
        (None, replace(HALF, n_running=1), State.RUNNING),
        (report(JobState.CANCELLED), replace(HALF, n_running=1), State.CANCELLED),
        (None, WHOLE, State.FINISHED),
        (None, HALF, State.UNFINISHED),
    ],
)
def test_the_state_follows_from_the_job_and_the_trials(
    job: JobReport | None, progress: Progress, state: State
) -> None:
    assert experiment_status(evidence(job, progress), now=NOW).state is state


def test_trials_without_a_result_are_no_success() -> None:
    all_failed = Progress(n_failed=10)
    status = experiment_status(
        evidence(report(JobState.FAILED), all_failed, has_result=False), now=NOW
    )
    assert status.state is State.FAILED


def test_a_search_that_lost_patience_is_finished() -> None:
    lines = ("ended by patience at 5 trials",)
    patience = evidence(report(JobState.COMPLETED), HALF, last_lines=lines)
    assert experiment_status(patience, now=NOW).state is State.FINISHED


def test_time_counts_until_now_while_it_runs_and_until_the_last_trial_afterwards() -> None:
    assert experiment_status(evidence(report(JobState.RUNNING)), now=NOW).elapsed_seconds == 3600.0
    assert experiment_status(evidence(report(JobState.FAILED)), now=NOW).elapsed_seconds == 1800.0
    waiting = replace(ROW, started="", ended="")
    status = experiment_status(evidence(report(JobState.PENDING), row=waiting), now=NOW)
    assert status.elapsed_seconds is None


def test_the_rest_is_a_mean_trial_for_each_left_shared_by_the_workers() -> None:
    # 5 trials took 500 s, 5 are left, 2 workers run: 5 * 100 / 2
    both = report(JobState.RUNNING, JobState.RUNNING)
    assert experiment_status(evidence(both), now=NOW).rest_seconds == 250.0
    half = report(JobState.RUNNING, JobState.FAILED)
    assert experiment_status(evidence(half), now=NOW).rest_seconds == 500.0
    assert experiment_status(evidence(both, Progress()), now=NOW).rest_seconds is None
    assert experiment_status(evidence(report(JobState.FAILED)), now=NOW).rest_seconds is None


@pytest.mark.parametrize(
    ("reason", "detail"),
    [
        ("Dependency", "waits for the job it follows"),
        ("DependencyNeverSatisfied", "never starts"),
        ("QOSMaxJobsPerUserLimit", "QOSMaxJobsPerUserLimit"),
    ],
)
def test_a_waiting_job_says_what_it_waits_for(reason: str, detail: str) -> None:
    status = experiment_status(evidence(report(JobState.PENDING, reason=reason)), now=NOW)
    assert status.detail.startswith(detail)


def test_a_job_that_was_just_submitted_behind_another_waits_for_it() -> None:
    status = experiment_status(replace(evidence(report(JobState.PENDING)), after=("811",)), now=NOW)
    assert status.detail == "waits for the job it follows"


def test_a_job_that_was_not_started_for_its_dependency_says_so() -> None:
    row = replace(ROW, started="", ended="")
    cancelled = evidence(report(JobState.CANCELLED), Progress(), row=row, has_result=False)
    status = experiment_status(replace(cancelled, after=("811",)), now=NOW)
    assert status.detail == "never started: job 811, which it follows, did not end well"


@pytest.mark.parametrize(
    ("state", "exit_code", "lines", "cause"),
    [
        (JobState.TIMEOUT, 15, (), "time limit"),
        (JobState.OUT_OF_MEMORY, 0, (), "ran out of memory: raise memory"),
        (JobState.FAILED, 137, (), "ran out of memory"),
        (JobState.FAILED, 1, ("MemoryError",), "ran out of memory"),
        (JobState.FAILED, 1, ("slurmstepd: error: Detected 1 oom-kill event(s)",), "of memory"),
        (JobState.NODE_FAIL, None, (), "its node failed"),
        (
            JobState.FAILED,
            1,
            ("error: heat.csv.gz is not in the data folder; set PARETOCAST_DATA",),
            "missing data: error: heat.csv.gz",
        ),
        (JobState.FAILED, 1, ("error: all 3 trials failed",), "all 3 trials failed"),
        (
            JobState.FAILED,
            1,
            ("Traceback (most recent call last):", "  x", "numpy.linalg.LinAlgError: singular"),
            "Python error: numpy.linalg.LinAlgError: singular",
        ),
        (JobState.FAILED, 127, ("line 9: paretocast: command not found",), "the environment on"),
        (JobState.FAILED, 2, ("│ No such option: --sed     │",), "No such option: --sed"),
        (JobState.FAILED, 139, ("odd",), "was killed by signal 11"),
        (JobState.FAILED, 3, (), "ended with exit code 3"),
        (JobState.FAILED, None, (), "its log may say why"),
    ],
)
def test_the_likely_cause_is_named(
    state: JobState, exit_code: int | None, lines: tuple[str, ...], cause: str
) -> None:
    assert cause in likely_cause(ElementReport("812", state, exit_code=exit_code), lines)


def test_a_failed_experiment_is_to_be_resubmitted() -> None:
    failed = experiment_status(evidence(report(JobState.FAILED)), now=NOW)
    (line,) = next_commands([failed], workspace=HPO)
    assert line.endswith("after 5 of 10 trials: paretocast resubmit NHITS_Q_heat_812")


def test_a_later_experiment_stands_in_the_place_of_a_failed_one() -> None:
    failed = experiment_status(evidence(report(JobState.FAILED)), now=NOW)
    later = replace(ROW, id="NHITS_Q_heat_900", job_ids="900")
    running = experiment_status(evidence(report(JobState.RUNNING), row=later), now=NOW)
    assert next_commands([failed, running], workspace=Path("my dir")) == (
        "follow the jobs: paretocast status --watch --workspace 'my dir'",
    )


def test_a_finished_stage_1_invites_its_stage_2() -> None:
    row = replace(ROW, stage="1", strategy="two-stage")
    first = experiment_status(evidence(report(JobState.COMPLETED), WHOLE, row=row), now=NOW)
    (line,) = next_commands([first], workspace=HPO)
    assert line == (
        "stage 2 of NHITS_Q heat can be submitted: paretocast submit NHITS_Q heat --stage 2"
    )
    second = replace(row, id="NHITS_Q_heat_813", stage="2")
    waiting = experiment_status(evidence(report(JobState.PENDING), Progress(), row=second), now=NOW)
    lines = next_commands([first, waiting], workspace=HPO)
    assert not any("can be submitted" in line for line in lines)


def test_a_local_study_is_continued_by_tune() -> None:
    local = replace(ROW, id="NHITS_Q_heat_mine", job_ids="")
    status = experiment_status(evidence(None, row=local), now=NOW)
    (line,) = next_commands([status], workspace=HPO)
    assert line.endswith("paretocast tune --model NHITS_Q --dataset heat --job-id mine --resume")
    by_path = replace(evidence(None, row=local), source="my data/zone.toml")
    (line,) = next_commands([experiment_status(by_path, now=NOW)], workspace=HPO)
    assert "--dataset 'my data/zone.toml' --job-id mine" in line


def test_pages_that_nobody_wrote_are_offered() -> None:
    whole = replace(evidence(report(JobState.COMPLETED), WHOLE), has_pages=False)
    (line,) = next_commands([experiment_status(whole, now=NOW)], workspace=HPO)
    assert line.startswith("pages of NHITS_Q_heat_812: paretocast tune")


def test_the_row_and_the_json_hold_what_was_found() -> None:
    status = experiment_status(evidence(report(JobState.COMPLETED), WHOLE), now=NOW)
    row = status.current_row()
    assert (row.state, row.best_mae, row.best_picp) == ("finished", "0.1", "80.00")
    content = status.as_json()
    assert (content["n_completed"], content["n_pruned"], content["n_failed"]) == (8, 1, 1)
    assert (content["trials"], content["job_ids"], content["stage"]) == (10, ["812"], None)
