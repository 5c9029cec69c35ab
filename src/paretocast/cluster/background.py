"""Job scripts as processes of this machine that outlive the terminal they were started from.

For machines without a scheduler. A job is a folder: `job.json` says what to run, `k.guard` names
the process that runs element k and is locked as long as that lives, `k.exit` says how it ended.
There is no queue: a job waits for those it follows, and for nothing else. Of an array that may not
run all at once, element k is started by the guard of element k - n when that one has ended.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paretocast.cluster.base import (
    ElementReport,
    Executor,
    Job,
    JobReport,
    JobState,
    expand_pattern,
)
from paretocast.errors import ExecutionError, StoreError
from paretocast.workspace import files
from paretocast.workspace.stored import BackgroundJobFile, load, save

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LOCAL_PREFIX = "local-"  # how the ids of these jobs begin
MODULE = "paretocast.cluster.background"  # a guard that starts another one is `__main__` itself
GRACE_SECONDS = 30.0
LOOK_SECONDS = 0.2
MOST_ELEMENTS = 10_000  # that its file takes
NEVER_STARTED = "Dependency"


class BackgroundExecutor(Executor):
    """Jobs that lie in one folder.

    Parameters
    ----------
    folder : Path
        Made where it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()

    def most_elements(self) -> int | None:
        """Return the elements that an array job may have."""
        return MOST_ELEMENTS

    def submit(self, job: Job) -> str:
        """Start a job and return its id."""
        job_id = f"{LOCAL_PREFIX}{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        home = self._folder / job_id
        try:
            home.mkdir(parents=True)
            files.save_text(home / "script.sh", job.script, private=True)
            content = {
                "job_id": job_id,
                "host": socket.gethostname(),
                "folder": str(job.folder),
                "log": job.log,
                "error_log": job.error_log,
                "n_elements": job.n_elements,
                "n_at_once": job.n_at_once,
                "after": job.after,
                "mark": job.mark,
            }
            save(home / "job.json", content)
            for element in range(min(job.n_elements, job.n_at_once or job.n_elements)):
                _start_guard(home, element)
        except OSError as error:
            raise ExecutionError(f"job {job.name} cannot be started: {error}") from error
        return job_id

    def find(self, marks: Sequence[str]) -> Mapping[str, str]:
        """Return the ids of jobs by their marks."""
        found = {}
        for path in sorted(self._folder.glob("*/job.json")):
            with contextlib.suppress(StoreError):  # whoever asks for that job is told
                found[_load_job(path.parent)["mark"]] = path.parent.name
        return {mark: found[mark] for mark in marks if mark in found}

    def poll(self, job_ids: Sequence[str]) -> Mapping[str, JobReport]:
        """Return a report for each id."""
        return {job_id: self._report(job_id) for job_id in job_ids}

    def cancel(self, job_ids: Sequence[str]) -> None:
        """End jobs, waiting or running.

        Raises
        ------
        ExecutionError
            If one was started on another machine: its process ids mean nothing here.
        """
        for job_id in job_ids:
            home = self._home(job_id)
            if not (home / "job.json").is_file():
                continue
            host = _load_job(home)["host"]
            if host != socket.gethostname():
                raise ExecutionError(f"job {job_id} was started on {host}; cancel it there")
            active = [e for e in self._report(job_id).elements if e.state.active]
            numbers = [int(_element_of(element.job_id) or 0) for element in active]
            for number in numbers:  # all of them first, so that none starts the next
                (home / f"{number}.cancelled").touch()
            for number in numbers:
                with contextlib.suppress(ProcessLookupError, FileNotFoundError):
                    os.killpg(int((home / f"{number}.guard").read_text("ascii")), signal.SIGTERM)

    def _home(self, job_id: str) -> Path:
        """The folder of a job, which may be named by one of its elements."""
        return self._folder / job_id.partition("_")[0]

    def _report(self, job_id: str) -> JobReport:
        home, asked = self._home(job_id), _element_of(job_id)
        if not (home / "job.json").is_file():
            return JobReport()
        job = _load_job(home)
        n_elements = int(job["n_elements"])
        elements = range(n_elements) if asked is None else [asked]
        return JobReport(
            tuple(
                _element_report(job, home, element, home.name + f"_{element}" * (n_elements > 1))
                for element in elements
                if element < n_elements
            )
        )


def guard(home: Path, element: int) -> None:
    """Run one element of a job to its end, write down how it ended, and start the next one."""
    try:
        _run_element(home, element)
    finally:
        job = _load_job(home)
        following = element + (job["n_at_once"] or job["n_elements"])
        if following < job["n_elements"]:
            _start_guard(home, following)


def _run_element(home: Path, element: int) -> None:
    asked: list[float] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: asked.append(time.monotonic()))
    job = _load_job(home)
    if (home / f"{element}.cancelled").exists():
        _write_exit(home, element, NEVER_STARTED)
        return
    others = BackgroundExecutor(home.parent)
    while any(report.state.active for report in others.poll(job["after"]).values()):
        if asked:
            _write_exit(home, element, NEVER_STARTED)
            return
        time.sleep(LOOK_SECONDS)
    if any(r.state is not JobState.COMPLETED for r in others.poll(job["after"]).values()):
        _write_exit(home, element, NEVER_STARTED)
        return
    (home / f"{element}.started").touch()
    with (
        Path(expand_pattern(job["log"], job["job_id"], element)).open("ab") as log,
        Path(expand_pattern(job["error_log"], job["job_id"], element)).open("ab") as error_log,
        subprocess.Popen(
            ["bash", str(home / "script.sh")],
            cwd=job["folder"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=error_log,
            env=_environment(job, element),
        ) as process,
    ):
        passed_on = False
        while process.poll() is None:
            if asked and not passed_on:  # it may have come before there was a script to hear it
                passed_on = True
                os.killpg(os.getpgrp(), signal.SIGTERM)
            if asked and time.monotonic() - asked[0] > GRACE_SECONDS:
                process.kill()
            time.sleep(LOOK_SECONDS)
    code = process.returncode
    _write_exit(home, element, str(code if code >= 0 else 128 - code))


def _start_guard(home: Path, element: int) -> None:
    """Start a process that keeps the lock of its file until it ends."""
    with (home / f"{element}.guard").open("w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        process = subprocess.Popen(
            [sys.executable, "-m", MODULE, str(home), str(element)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=(file.fileno(),),
        )
        file.write(str(process.pid))
        # It outlives this process. Popen warns of a child that is still running when it is
        # collected, unless it believes that the child has ended.
        process.returncode = 0


def _element_of(job_id: str) -> int | None:
    """The element that an id names; None of the id of a whole job."""
    number = job_id.partition("_")[2]
    return int(number) if number.isdigit() else None


def _waits(job: Mapping[str, Any], home: Path, element: int) -> bool:
    """True if an element is still to be started by one before it."""
    step = job["n_at_once"] or job["n_elements"]
    before = range(element - step, -1, -step)
    return (
        any(_is_locked(home / f"{number}.guard") for number in before)
        and not (home / f"{element}.guard").exists()
    )


def _element_report(job: Mapping[str, Any], home: Path, element: int, name: str) -> ElementReport:
    if _waits(job, home, element):
        cancelled = (home / f"{element}.cancelled").exists()
        return ElementReport(name, JobState.CANCELLED if cancelled else JobState.PENDING)
    alive = _is_locked(home / f"{element}.guard")
    exit_path, started_path = home / f"{element}.exit", home / f"{element}.started"
    started = started_path.stat().st_mtime if started_path.exists() else None
    if exit_path.exists():  # looked for after the lock: a guard writes it before it ends
        elapsed = None if started is None else max(0.0, exit_path.stat().st_mtime - started)
        text = exit_path.read_text("ascii")
        if text == NEVER_STARTED:
            return ElementReport(name, JobState.CANCELLED, reason=NEVER_STARTED)
        state = JobState.COMPLETED if text == "0" else JobState.FAILED
        if state is JobState.FAILED and (home / f"{element}.cancelled").exists():
            state = JobState.CANCELLED
        return ElementReport(name, state, exit_code=int(text), elapsed_seconds=elapsed)
    if not alive:
        return ElementReport(name, JobState.NODE_FAIL, reason="its process is gone")
    if started is None:
        return ElementReport(name, JobState.PENDING)
    return ElementReport(name, JobState.RUNNING, elapsed_seconds=time.time() - started)


def _is_locked(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _environment(job: Mapping[str, Any], element: int) -> dict[str, str]:
    """Environment as a script expects it on a cluster, save that nobody requeues it."""
    names = {"SLURM_JOB_ID": str(job["job_id"])}
    if job["n_elements"] > 1:
        names |= {"SLURM_ARRAY_JOB_ID": job["job_id"], "SLURM_ARRAY_TASK_ID": str(element)}
    others = {name: text for name, text in os.environ.items() if not name.startswith("SLURM_")}
    return {**others, **names}


def _write_exit(home: Path, element: int, text: str) -> None:
    temporary = home / f".{element}.exit"
    temporary.write_text(text, encoding="ascii")
    temporary.replace(home / f"{element}.exit")


def _load_job(home: Path) -> dict[str, Any]:
    content = load(home / "job.json", BackgroundJobFile, advice="remove its folder")
    host = content.get("host") or socket.gethostname()
    return {"n_at_once": None, "mark": "", **content, "host": host}


if __name__ == "__main__":
    guard(Path(sys.argv[1]), int(sys.argv[2]))
