"""The promises of every executor: this machine, a stand-in for Slurm, and a real Slurm."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from clusters import Cluster
from paretocast.cluster.background import BackgroundExecutor
from paretocast.cluster.base import Executor, Job, JobReport, JobState
from paretocast.cluster.slurm import SlurmExecutor
from paretocast.errors import ExecutionError

ENDED = {JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED}


@pytest.fixture(
    scope="module", params=["background", pytest.param("slurm", marks=pytest.mark.slurm)]
)
def executor(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Executor:
    if request.param == "background":
        return BackgroundExecutor(tmp_path_factory.mktemp("jobs"))
    cluster: Cluster = request.getfixturevalue("cluster")
    return SlurmExecutor(environment=cluster.environment)


def make_job(
    folder: Path,
    body: str,
    *,
    n_elements: int = 1,
    n_at_once: int | None = None,
    after: tuple[str, ...] = (),
) -> Job:
    pattern = str(folder / ("out_%A_%a" if n_elements > 1 else "out_%j"))
    lines = ["#!/bin/bash", f"#SBATCH --output={pattern}.log", f"#SBATCH --error={pattern}.err"]
    lines += ["#SBATCH --job-name=contract", "#SBATCH --mem=100M", "#SBATCH --time=2"]
    limit = "" if n_at_once is None else f"%{n_at_once}"
    lines += [f"#SBATCH --array=0-{n_elements - 1}{limit}"] * (n_elements > 1)
    if after:
        lines.append(f"#SBATCH --dependency=afterok:{':'.join(after)}")
        lines.append("#SBATCH --kill-on-invalid-dep=yes")
    return Job(
        name="contract",
        script="\n".join([*lines, body, ""]),
        folder=folder,
        log=f"{pattern}.log",
        error_log=f"{pattern}.err",
        n_elements=n_elements,
        after=after,
        n_at_once=n_at_once,
    )


def wait_for(executor: Executor, job_id: str, states: set[JobState] = ENDED) -> JobReport:
    deadline = time.monotonic() + 60.0
    while (report := executor.poll([job_id])[job_id]).state not in states:
        assert time.monotonic() < deadline, report
        time.sleep(0.1)
    return report


def text_of(job: Job, job_id: str) -> list[str]:
    paths = [Path(path) for pair in job.log_paths(job_id) for path in pair]
    return [path.read_text("utf-8") for path in paths if path.is_file()]


def test_a_job_runs_in_its_folder_and_its_output_is_found(
    executor: Executor, tmp_path: Path
) -> None:
    job = make_job(tmp_path, "pwd; echo oops >&2")
    job_id = executor.submit(job)
    report = wait_for(executor, job_id)
    assert report.state is JobState.COMPLETED
    assert [element.exit_code for element in report.elements] == [0]
    assert text_of(job, job_id) == [f"{tmp_path}\n", "oops\n"]


def test_the_exit_code_of_a_failed_job_is_known(executor: Executor, tmp_path: Path) -> None:
    report = wait_for(executor, executor.submit(make_job(tmp_path, "exit 7")))
    assert report.state is JobState.FAILED
    assert report.deciding_element is not None
    assert report.deciding_element.exit_code == 7


def test_a_cancelled_job_ends(executor: Executor, tmp_path: Path) -> None:
    job = make_job(tmp_path, "echo on; sleep 50")
    job_id = executor.submit(job)
    wait_for(executor, job_id, {JobState.RUNNING})
    executor.cancel([job_id])
    assert wait_for(executor, job_id).state is JobState.CANCELLED


def test_cancelling_what_has_ended_is_no_error(executor: Executor, tmp_path: Path) -> None:
    job_id = executor.submit(make_job(tmp_path, "true"))
    wait_for(executor, job_id)
    executor.cancel([job_id])
    assert wait_for(executor, job_id).state is JobState.COMPLETED


def test_elements_know_their_number_and_fail_alone(executor: Executor, tmp_path: Path) -> None:
    job = make_job(
        tmp_path, 'echo "$SLURM_ARRAY_TASK_ID"; exit "$SLURM_ARRAY_TASK_ID"', n_elements=2
    )
    job_id = executor.submit(job)
    report = wait_for(executor, job_id)
    assert report.state is JobState.FAILED
    assert {e.job_id: (e.state, e.exit_code) for e in report.elements} == {
        f"{job_id}_0": (JobState.COMPLETED, 0),
        f"{job_id}_1": (JobState.FAILED, 1),
    }
    assert text_of(job, job_id) == ["0\n", "", "1\n", ""]


def test_one_element_after_the_other_where_one_may_run_and_each_is_known_by_itself(
    executor: Executor, tmp_path: Path
) -> None:
    body = 'k=$SLURM_ARRAY_TASK_ID; mkdir held || exit 9; sleep 0.5; rmdir held; exit "$k"'
    job_id = executor.submit(make_job(tmp_path, body, n_elements=3, n_at_once=1))
    last = f"{job_id}_2"
    assert executor.poll([last])[last].state is JobState.PENDING
    executor.cancel([last])
    wait_for(executor, job_id)
    reports = executor.poll([f"{job_id}_0", f"{job_id}_1", last])
    assert [(r.state, len(r.elements)) for r in reports.values()] == [
        (JobState.COMPLETED, 1),
        (JobState.FAILED, 1),
        (JobState.CANCELLED, 1),
    ]
    assert reports[f"{job_id}_1"].elements[0].exit_code == 1  # 9 if two ran at once


def test_a_job_starts_after_the_one_it_follows(executor: Executor, tmp_path: Path) -> None:
    first = executor.submit(make_job(tmp_path, "sleep 1; touch first"))
    job = make_job(tmp_path, "ls first", after=(first,))
    second = executor.submit(job)
    assert executor.poll([second])[second].state is JobState.PENDING
    assert wait_for(executor, second).state is JobState.COMPLETED
    assert text_of(job, second)[0] == "first\n"


def test_a_job_behind_a_failed_one_never_starts(executor: Executor, tmp_path: Path) -> None:
    first = executor.submit(make_job(tmp_path, "exit 1"))
    job = make_job(tmp_path, "echo started", after=(first,))
    second = executor.submit(job)
    assert wait_for(executor, second).state is JobState.CANCELLED
    assert text_of(job, second) == []


def test_a_job_of_another_machine_is_not_cancelled_by_its_process_id(tmp_path: Path) -> None:
    executor = BackgroundExecutor(tmp_path / "jobs")
    job = tmp_path / "jobs" / "bg-1"
    job.mkdir(parents=True)
    stored = {"job_id": "bg-1", "host": "another", "n_elements": 1, "after": []}
    stored |= {"folder": "jobs", "log": "out.log", "error_log": "err.log"}
    (job / "job.json").write_text(json.dumps(stored), encoding="utf-8")
    with pytest.raises(ExecutionError, match="bg-1 was started on another; cancel it there"):
        executor.cancel(["bg-1"])


def test_a_job_is_found_by_its_mark_while_it_waits_or_runs_and_after(
    executor: Executor, tmp_path: Path
) -> None:
    plain = replace(make_job(tmp_path, "true"), mark="paretocast-one")
    array = replace(make_job(tmp_path, "sleep 50", n_elements=2), mark="paretocast-two")
    ended, runs = executor.submit(plain), executor.submit(array)
    wait_for(executor, ended)
    found = executor.find(["paretocast-one", "paretocast-two", "paretocast-none"])
    executor.cancel([runs])
    assert found == {"paretocast-one": ended, "paretocast-two": runs}


def test_an_unknown_job_has_no_elements(executor: Executor) -> None:
    assert executor.poll(["987654"]) == {"987654": JobReport()}
    assert executor.poll(["987654"])["987654"].state is JobState.UNKNOWN


def test_no_job_is_no_question(executor: Executor) -> None:
    assert executor.poll([]) == {}
    executor.cancel([])
