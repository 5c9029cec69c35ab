"""A study in this process, or in several that it starts on this machine."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Protocol

from paretocast.cluster import STORAGE_VARIABLE
from paretocast.cluster.commands import study_options
from paretocast.cluster.local_workers import LocalWorkers, has_parent, is_orphan
from paretocast.data.pooled import PooledTask
from paretocast.errors import ExecutionError, StoreError
from paretocast.study.study import Observer, Study
from paretocast.study.worker_reports import Reporter, load_report
from paretocast.training import cuda_devices, use_threads
from paretocast.training.pooling import AnySetup, PooledSetup
from paretocast.training.setup import TrainingSetup

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from paretocast.cluster.local_workers import WorkerEnd
    from paretocast.data.task import Task
    from paretocast.settings import TuneSettings
    from paretocast.study.study import StudyResult
    from paretocast.study.worker_reports import WorkerReport
    from paretocast.workspace.runs import RunDirectory

__all__ = [
    "WorkersObserver",
    "available_cores",
    "default_threads",
    "has_parent",
    "open_study",
    "optimise",
    "work",
]

THREADS_VARIABLE = "OMP_NUM_THREADS"
WAITING_VARIABLE = "OMP_WAIT_POLICY"  # read once, when torch is loaded
SECONDS_BETWEEN_LOOKS = 0.5


class WorkersObserver(Observer, Protocol):
    """An observer that can show several workers at once."""

    def show_workers(self, reports: Sequence[WorkerReport]) -> None:
        """Take the latest report of every worker that has made one."""

    def say(self, line: str) -> None:
        """Take a sentence about a worker that has ended early."""


def open_study(
    settings: TuneSettings,
    run: RunDirectory,
    task: Task | PooledTask,
    *,
    shared: bool = False,
    worker: int = 0,
) -> Study:
    """Put a task on its device and open the study there, a new one or one to continue."""
    use_threads(settings.threads or default_threads())
    setup: AnySetup = (
        PooledSetup.from_settings(settings, task)
        if isinstance(task, PooledTask)
        else TrainingSetup.from_settings(settings, task)
    )
    return Study(settings, run, setup, shared=shared, worker=worker)


def optimise(
    study: Study,
    settings: TuneSettings,
    run: RunDirectory,
    *,
    observer: WorkersObserver,
    should_stop: Callable[[], bool],
) -> StudyResult:
    """Run the trials of an opened study, alone or with `settings.workers` processes.

    Raises
    ------
    ExecutionError
        If all workers ended before the study was complete.
    """
    if settings.workers == 1:
        return study.optimise(observer, should_stop=should_stop)
    return _with_workers(study, settings, run, observer=observer, should_stop=should_stop)


def work(
    settings: TuneSettings,
    run: RunDirectory,
    task: Task | PooledTask,
    *,
    index: int,
    should_stop: Callable[[], bool],
) -> StudyResult:
    """Take part in a study as one worker of several."""
    reporter = Reporter(run, index=index, pid=os.getpid())
    study = open_study(settings, run, task, shared=True, worker=index)
    result = study.optimise(reporter, should_stop=lambda: should_stop() or is_orphan(os.environ))
    reporter.leave()
    return result


def default_threads() -> int:
    """CPU threads: as the environment says, else all cores, or one where threads would spin.

    Threads wait for each other at every step. Those that spin meanwhile keep their cores from
    other processes and from the thread they wait for: docs/performance.md has the measurement.
    """
    if (stated := _stated_threads()) is not None:
        return stated
    sleep = os.environ.get(WAITING_VARIABLE, "").upper() == "PASSIVE"
    return available_cores() if sleep else 1


def available_cores() -> int:
    """CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _stated_threads() -> int | None:
    stated = os.environ.get(THREADS_VARIABLE, "")
    return int(stated) if stated.isdigit() and int(stated) > 0 else None


def _with_workers(
    study: Study,
    settings: TuneSettings,
    run: RunDirectory,
    *,
    observer: WorkersObserver,
    should_stop: Callable[[], bool],
) -> StudyResult:
    """Start the workers, show them until all have ended, and say what became of them."""
    started = time.monotonic()
    limit = settings.time_limit_seconds
    failed: list[WorkerEnd] = []
    timed_out = False
    with _start_workers(settings, run) as workers:
        asked = False
        while True:
            running = workers.n_running()
            _show(study, run, observer, n_workers=settings.workers)
            for end in workers.newly_ended():
                if end.code != 0 and not asked:
                    failed.append(end)
                    observer.say(f"worker {end.index} {end.reason}; its trial goes to the others")
            if running == 0:
                break
            timed_out = limit is not None and time.monotonic() - started >= limit
            if (should_stop() or timed_out) and not asked:
                asked = True
                workers.ask_to_stop()
            time.sleep(SECONDS_BETWEEN_LOOKS)
    result = study.conclude(asked=should_stop())
    if failed and result.ended_by in {"trials", "patience"}:
        observer.say(
            f"{len(failed)} of {settings.workers} workers ended early, the others did their work; "
            f"logs in {run.worker_log(0).parent}"
        )
    elif failed and not should_stop() and not timed_out:
        last = failed[-1]
        raise ExecutionError(
            f"all workers ended, {len(result.records)} of {settings.trials} trials are finished; "
            f"worker {last.index} {last.reason} (log {run.worker_log(last.index)}). "
            "Finished trials are kept: put that right and repeat the command with "
            f"--job-id {run.job_id} --resume"
        )
    return result


def _start_workers(settings: TuneSettings, run: RunDirectory) -> LocalWorkers:
    indices = range(settings.workers)
    command = [sys.executable, "-m", "paretocast", "worker"]
    command += study_options(run, settings.dataset)
    threads = max(1, (_stated_threads() or available_cores()) // settings.workers)
    environment = {THREADS_VARIABLE: str(settings.threads or threads)}
    if settings.storage is not None:
        environment[STORAGE_VARIABLE] = settings.storage  # its password is on no disk and no list
    for index in indices:
        run.worker_report(index).unlink(missing_ok=True)
    return LocalWorkers(
        [[*command, "--index", str(i), *device_options(settings, i)] for i in indices],
        logs=[run.worker_log(index) for index in indices],
        environment=environment,
    )


def device_options(settings: TuneSettings, index: int) -> list[str]:
    """Options that give a worker its device: they take turns on the GPUs, unless one is named."""
    devices = cuda_devices() if settings.device in {"auto", "cuda"} else ()
    return ["--device", devices[index % len(devices)]] if devices else []


def _show(study: Study, run: RunDirectory, observer: WorkersObserver, *, n_workers: int) -> None:
    try:
        ended = study.refresh()
    except StoreError:
        return  # a file system that hiccups; what lasts is told when the study is concluded
    outcome = study.outcome() if ended else None
    for record in ended:
        observer.trial_ended(record, outcome)
    reports = (load_report(run, index) for index in range(n_workers))
    observer.show_workers([report for report in reports if report is not None])
