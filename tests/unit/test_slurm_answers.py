"""Odd answers of Slurm's commands, given by stand-ins on PATH."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from paretocast.cluster.base import ElementReport, Job, JobReport, JobState, expand_pattern
from paretocast.cluster.slurm import SlurmExecutor, parse_elapsed, parse_state
from paretocast.errors import ExecutionError

FakeSlurm = Callable[..., SlurmExecutor]
NO_ACCOUNTING = "echo 'Slurm accounting storage is disabled' >&2; exit 1"
FORGOTTEN = "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1"


@pytest.fixture
def fake(tmp_path: Path) -> FakeSlurm:
    """A Slurm whose commands are the given lines of shell; a missing one is not on PATH."""

    def make(answer_seconds: float = 20.0, **commands: str) -> SlurmExecutor:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        for name, lines in commands.items():
            path = folder / name
            path.write_text(f"#!/bin/bash\n{lines}\n", encoding="utf-8")
            path.chmod(0o755)
        places = f"{folder}:/usr/bin:/bin" if commands else str(folder)
        return SlurmExecutor(
            environment={**os.environ, "PATH": places}, answer_seconds=answer_seconds
        )

    return make


def job(folder: Path) -> Job:
    return Job(name="hpo_x", script="#!/bin/bash\n", folder=folder, log="a_%j", error_log="b_%j")


def only(report: JobReport) -> ElementReport:
    (element,) = report.elements
    return element


@pytest.mark.parametrize(
    ("answer", "job_id"),
    [("echo 812", "812"), ("echo '812;north'", "812"), ("echo Welcome to North; echo 812", "812")],
)
def test_the_job_id_is_found_in_the_answer(
    fake: FakeSlurm, tmp_path: Path, answer: str, job_id: str
) -> None:
    assert fake(sbatch=answer).submit(job(tmp_path)) == job_id


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("echo 'sbatch: error: invalid partition' >&2; exit 1", "exit code 1: .*invalid partition"),
        ("echo Submitted", "no job id but 'Submitted'; the job may be in the queue"),
        ("true", "no job id but nothing"),
        ("head -c 900 /dev/zero | tr '\\0' x", "no job id but 'x{300}…'"),
        ("printf '\\xff\\xfe'", "no job id"),
        ("exec sleep 30", r"no answer within 0.3 s; the job may be in the queue.*--name=hpo_x"),
    ],
)
def test_a_submission_that_went_wrong_says_so_and_never_guesses(
    fake: FakeSlurm, tmp_path: Path, answer: str, message: str
) -> None:
    seconds = 0.3 if "sleep" in answer else 20.0
    with pytest.raises(ExecutionError, match=message):
        fake(seconds, sbatch=answer).submit(job(tmp_path))


def test_a_machine_without_slurm_is_named_as_such(fake: FakeSlurm, tmp_path: Path) -> None:
    slurm = fake()
    with pytest.raises(ExecutionError, match="sbatch is not there: is this machine part of"):
        slurm.submit(job(tmp_path))
    with pytest.raises(ExecutionError, match="squeue is not there"):
        slurm.poll(["1"])


def test_the_script_reaches_sbatch_as_it_is(fake: FakeSlurm, tmp_path: Path) -> None:
    slurm = fake(sbatch=f"cat > {tmp_path}/seen; pwd > {tmp_path}/where; echo 1")
    slurm.submit(job(tmp_path))
    assert (tmp_path / "seen").read_text() == "#!/bin/bash\n"
    assert (tmp_path / "where").read_text() == f"{tmp_path}\n"


def test_another_jobs_variables_do_not_reach_the_new_one(
    fake: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "7")
    monkeypatch.setenv("SLURM_CONF", "/etc/mine.conf")
    monkeypatch.setenv("SQUEUE_FORMAT", "%j")
    fake(sbatch=f"env > {tmp_path}/seen; echo 1").submit(job(tmp_path))
    variables = (tmp_path / "seen").read_text()
    assert "SLURM_CONF=/etc/mine.conf" in variables
    assert "SLURM_ARRAY_JOB_ID" not in variables
    assert "SQUEUE_FORMAT" not in variables


def test_a_waiting_job_says_why(fake: FakeSlurm) -> None:
    slurm = fake(squeue="echo '812|PENDING|0:00|(Resources)'")
    element = only(slurm.poll(["812"])["812"])
    assert (element.state, element.reason) == (JobState.PENDING, "Resources")


def test_elements_that_have_not_started_are_counted(fake: FakeSlurm) -> None:
    slurm = fake(
        squeue="echo '812_[2-3,5%4]|PENDING|0:00|Priority'; echo '812_0|RUNNING|1:05|None'"
    )
    report = slurm.poll(["812"])["812"]
    assert report.state is JobState.RUNNING
    assert [element.job_id for element in report.elements] == ["812_2", "812_3", "812_5", "812_0"]
    assert report.count(JobState.PENDING) == 3


def test_accounting_knows_how_a_job_ended(fake: FakeSlurm) -> None:
    slurm = fake(squeue="true", sacct="echo '812|OUT_OF_MEMORY|0:125|61'; echo '9|FAILED|3:0|1'")
    reports = slurm.poll(["812", "9"])
    assert only(reports["812"]) == ElementReport(
        "812", JobState.OUT_OF_MEMORY, exit_code=128 + 125, elapsed_seconds=61.0
    )
    assert only(reports["9"]).exit_code == 3


def test_without_accounting_the_controller_knows_it(fake: FakeSlurm) -> None:
    line = "JobId=5 ArrayJobId=4 ArrayTaskId=1 JobState=TIMEOUT Reason=TimeLimit RunTime=00:01:07"
    slurm = fake(squeue="true", sacct=NO_ACCOUNTING, scontrol=f"echo '{line} ExitCode=0:15'")
    assert only(slurm.poll(["4"])["4"]) == ElementReport(
        "4_1", JobState.TIMEOUT, reason="TimeLimit", exit_code=143, elapsed_seconds=67.0
    )


LAGS = {
    "one record for the array": "echo '5|FAILED|1:0|2'",
    "an element is missing": "echo '5_1|FAILED|1:0|2'",
    "still running": "echo '5_[0-1]|RUNNING|0:0|2'",
    "nothing yet": "true",
}


@pytest.mark.parametrize("sacct", LAGS.values(), ids=LAGS.keys())
def test_elements_stay_apart_while_the_accounting_lags_behind(fake: FakeSlurm, sacct: str) -> None:
    squeue = "echo '5_0|COMPLETED|0:01|None'; echo '5_1|FAILED|0:02|NonZeroExitCode'"
    scontrol = (
        "echo 'JobId=6 ArrayJobId=5 ArrayTaskId=0 JobState=COMPLETED ExitCode=0:0'; "
        "echo 'JobId=5 ArrayJobId=5 ArrayTaskId=1 JobState=FAILED ExitCode=1:0'"
    )
    report = fake(squeue=squeue, sacct=sacct, scontrol=scontrol).poll(["5"])["5"]
    assert {e.job_id: (e.state, e.exit_code) for e in report.elements} == {
        "5_0": (JobState.COMPLETED, 0),
        "5_1": (JobState.FAILED, 1),
    }


def test_what_squeue_says_is_kept_where_nobody_knows_more(fake: FakeSlurm) -> None:
    squeue = "echo '5_0|COMPLETED|0:01|None'; echo '5_1|TIMEOUT|0:02|TimeLimit'"
    report = fake(squeue=squeue, sacct=NO_ACCOUNTING, scontrol="echo garbage").poll(["5"])["5"]
    assert (report.state, len(report.elements)) == (JobState.TIMEOUT, 2)


def test_elements_that_the_controller_has_forgotten_are_in_the_accounting(fake: FakeSlurm) -> None:
    sacct = "echo '5_0|FAILED|3:0|1'; echo '5_1|COMPLETED|0:0|2'"
    report = fake(squeue="echo '5_1|COMPLETED|0:02|None'", sacct=sacct).poll(["5"])["5"]
    assert report.state is JobState.FAILED
    assert report.deciding_element == ElementReport(
        "5_0", JobState.FAILED, exit_code=3, elapsed_seconds=1.0
    )


def test_an_element_removed_before_it_started_is_cancelled(fake: FakeSlurm) -> None:
    slurm = fake(
        squeue="echo '812_0|PENDING|0:00|Priority'",
        sacct="echo '812_[0]|PENDING|0:0|0'",  # as of 812_1 there never was anything
        scontrol=FORGOTTEN,
    )
    reports = slurm.poll(["812_0", "812_1", "9_1"])
    assert [str(report.state) for report in reports.values()] == ["pending", "cancelled", "unknown"]


def test_the_controller_is_asked_once_for_all_elements_of_an_array(
    fake: FakeSlurm, tmp_path: Path
) -> None:
    line = "JobId=812 ArrayJobId=812 ArrayTaskId=$i JobState=COMPLETED ExitCode=0:0"
    slurm = fake(
        squeue="true",
        sacct=NO_ACCOUNTING,
        scontrol=f'echo asked >> "{tmp_path}/asked"; for i in 0 1 2; do echo "{line}"; done',
    )
    reports = slurm.poll(["812_0", "812_1", "812_2"])
    assert {report.state for report in reports.values()} == {JobState.COMPLETED}
    assert (tmp_path / "asked").read_text().split() == ["asked"]


def test_a_job_that_everybody_has_forgotten_is_unknown(fake: FakeSlurm) -> None:
    slurm = fake(squeue="true", sacct="true", scontrol=FORGOTTEN)
    assert slurm.poll(["812"])["812"].state is JobState.UNKNOWN


@pytest.mark.parametrize("answer", ["echo '<html>503</html>'", "echo 'squeue: bad'; exit 1"])
def test_a_garbled_queue_is_an_error_and_not_an_empty_one(fake: FakeSlurm, answer: str) -> None:
    with pytest.raises(ExecutionError, match=r"squeue (answered what|failed with exit code 1)"):
        fake(squeue=answer, sacct="true", scontrol=FORGOTTEN).poll(["812"])


def test_garbled_accounting_is_passed_over(fake: FakeSlurm) -> None:
    slurm = fake(squeue="true", sacct="echo '???'", scontrol="echo 'JobId=812 JobState=COMPLETED'")
    assert slurm.poll(["812"])["812"].state is JobState.COMPLETED


def test_a_state_of_a_newer_slurm_is_unknown(fake: FakeSlurm) -> None:
    slurm = fake(squeue="echo '812|FLYING|0:01|None'", sacct="true", scontrol=FORGOTTEN)
    assert slurm.poll(["812"])["812"].state is JobState.UNKNOWN


def test_an_array_beyond_the_limit_of_the_cluster_is_cut_to_it(
    fake: FakeSlurm, tmp_path: Path
) -> None:
    script = "#!/bin/bash\n#SBATCH --array=0-1999%10\n"
    large = replace(job(tmp_path), script=script, n_elements=2000)
    slurm = fake(scontrol="echo 'MaxArraySize            = 1001'")
    assert slurm.fitted(large).n_elements == 1001
    assert "--array=0-1000%10\n" in slurm.fitted(large).script
    small = replace(large, n_elements=8)
    assert slurm.fitted(small) == small
    assert fake(scontrol="exit 1").fitted(large) == large


def test_what_a_partition_has_is_named_where_a_job_asks_for_more(
    fake: FakeSlurm, tmp_path: Path
) -> None:
    slurm = fake(
        sbatch="echo 'error: CPU count per node can not be satisfied' >&2; exit 1",
        sinfo='[ "$3" = --partition=gpu ] && echo "gpu* 64 256000+"',
    )
    asking = replace(job(tmp_path), script="#!/bin/bash\n#SBATCH --partition=gpu\n")
    with pytest.raises(
        ExecutionError, match="gpu has nodes of 64 processors and 256000 MB, lower cpus"
    ):
        slurm.submit(asking)


def test_only_job_ids_are_handed_to_scancel(fake: FakeSlurm, tmp_path: Path) -> None:
    slurm = fake(scancel=f'echo "$@" >> {tmp_path}/seen')
    with pytest.raises(ExecutionError, match="--user=me"):
        slurm.cancel(["812", "--user=me"])
    assert not (tmp_path / "seen").exists()
    slurm.cancel(["812", "9_3"])
    assert (tmp_path / "seen").read_text() == "812 9_3\n"


def test_a_log_path_with_a_backslash_is_refused(fake: FakeSlurm, tmp_path: Path) -> None:
    odd = Job(name="x", script="", folder=tmp_path, log="a\\b", error_log="c")
    with pytest.raises(ExecutionError, match="backslash"):
        fake(sbatch="echo 1").submit(odd)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0:00", 0),
        ("1:05", 65),
        ("1:02:03", 3723),
        ("2-00:00:01", 172801),
        ("INVALID", None),
        ("", None),
        ("5", None),
        ("x-1:00", None),
    ],
)
def test_elapsed_times_are_read(text: str, seconds: float | None) -> None:
    assert parse_elapsed(text) == seconds


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("CANCELLED by 1000", JobState.CANCELLED),
        ("NODE_FAIL", JobState.NODE_FAIL),
        ("COMPLETING", JobState.RUNNING),
        ("CANCELLED+", JobState.CANCELLED),
        ("", JobState.UNKNOWN),
    ],
)
def test_states_are_read(text: str, state: JobState) -> None:
    assert parse_state(text) is state


def test_percent_signs_in_a_pattern_stay_what_they_are() -> None:
    assert expand_pattern("/50%%j/%x/a_%j", "812", 0) == "/50%j/%x/a_812"


def test_the_worst_element_names_a_jobs_state() -> None:
    def report(*states: JobState) -> JobState:
        return JobReport(tuple(ElementReport(str(i), s) for i, s in enumerate(states))).state

    assert report(JobState.COMPLETED, JobState.FAILED) is JobState.FAILED
    assert report(JobState.FAILED, JobState.RUNNING) is JobState.RUNNING
    assert report(JobState.COMPLETED, JobState.PENDING) is JobState.PENDING
    assert report() is JobState.UNKNOWN
