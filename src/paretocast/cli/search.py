"""A search from settings to its result: in this process, or by several that it starts."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paretocast.cli.console import stderr_console
from paretocast.errors import ExecutionError, StoreError

if TYPE_CHECKING:
    from types import FrameType
    from typing import Self

    from paretocast.cli.progress import StudyProgress
    from paretocast.cluster.local_workers import LocalWorkers, WorkerEnd
    from paretocast.data.task import Task
    from paretocast.settings import TuneSettings
    from paretocast.study.study import Study, StudyResult
    from paretocast.workspace.files import RunDirectory

STORAGE_VARIABLE = "PARETOCAST_STORAGE"
THREADS_VARIABLE = "OMP_NUM_THREADS"
SECONDS_BETWEEN_LOOKS = 0.5


def load_task(settings: TuneSettings) -> Task:
    """The task of a search, with warnings and assumptions said on stderr."""
    from rich.markup import escape

    from paretocast.data import load_dataset
    from paretocast.data.task import Task

    console = stderr_console()
    dataset = load_dataset(
        settings.dataset,
        data_dir=None if settings.data_dir is None else Path(settings.data_dir),
        covariates=settings.covariates,
    )
    for finding in dataset.findings:
        if finding.severity == "warning":
            console.print(f"[yellow]warning[/yellow] {escape(str(finding))}", highlight=False)
    task = Task.from_settings(settings, dataset=dataset)
    say_assumptions(task)
    return task


def say_assumptions(task: Task) -> None:
    """Say on stderr what the scores take for granted."""
    from rich.markup import escape

    for note in assumptions(task):
        stderr_console().print(f"[yellow]note[/yellow] {escape(note)}", highlight=False)


def assumptions(task: Task) -> tuple[str, ...]:
    """What the scores take for granted, in sentences."""
    ahead = [c.name for c in task.series.covariates if c.role == "forecast"]
    if not ahead:
        return ()
    return (
        (
            f"{', '.join(ahead)}: observed values stand in for forecasts over the horizon, "
            "so the scores assume a perfect weather forecast"
        ),
    )


def search(settings: TuneSettings, run: RunDirectory, task: Task) -> StudyResult:
    """Run the trials, alone or with `settings.workers` processes, and show how it goes."""
    from rich.markup import escape

    from paretocast.cli.progress import StudyProgress

    stderr_console().print(
        f"[bold]{settings.model}[/bold] on [bold]{run.dataset}[/bold], study {run.job_id}: "
        f"{len(task.issues['train'])} training windows, "
        f"judged on {len(task.issues['tune'])} daily forecasts",
        highlight=False,
    )
    with StopRequest() as stop:
        study = open_study(settings, run, task, shared=settings.workers > 1)
        for note in study.notes:
            stderr_console().print(f"[yellow]note[/yellow] {escape(note)}", highlight=False)
        with StudyProgress(
            n_trials=settings.trials,
            n_done=len(study.records),
            time_limit_seconds=settings.time_limit_seconds,
        ) as progress:
            if settings.workers == 1:
                return study.optimise(progress, should_stop=stop)
            return _with_workers(study, settings, run, progress=progress, stop=stop)


def work(settings: TuneSettings, run: RunDirectory, task: Task, *, index: int) -> StudyResult:
    """Take part in a search as one worker of several, without display."""
    from paretocast.cluster.local_workers import is_orphan
    from paretocast.study.worker_reports import Reporter

    reporter = Reporter(run, index=index, pid=os.getpid())
    with StopRequest() as stop:
        study = open_study(settings, run, task, shared=True, worker=index)
        result = study.optimise(reporter, should_stop=lambda: stop() or is_orphan(os.environ))
    reporter.leave()
    return result


def open_study(
    settings: TuneSettings, run: RunDirectory, task: Task, *, shared: bool, worker: int = 0
) -> Study:
    """Load the libraries, put the task on its device and open the study there."""
    with stderr_console().status("loading the model library"):
        from paretocast.study.study import Study
        from paretocast.training import use_threads
        from paretocast.training.setup import TrainingSetup

        use_threads(settings.threads or default_threads())
        setup = TrainingSetup.from_settings(settings, task)
        return Study(settings, run, setup, shared=shared, worker=worker)


class StopRequest:
    """Ctrl-C and SIGTERM as a question the search can ask; a second Ctrl-C ends at once."""

    def __init__(self) -> None:
        self._wanted = self._at_once = False
        self._before: dict[int, Any] = {}
        self._hook_before = sys.unraisablehook

    def __call__(self) -> bool:
        """Whether somebody asked; raises KeyboardInterrupt if twice."""
        if self._at_once:
            raise KeyboardInterrupt
        return self._wanted

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._on_signal)
        self._hook_before, sys.unraisablehook = sys.unraisablehook, self._on_unraisable
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        sys.unraisablehook = self._hook_before

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._wanted = True
        signal.signal(signal.SIGINT, self._on_second)
        stderr_console().print(
            "stopping after this step; Ctrl-C again ends at once and loses what was trained "
            "since the last rung"
        )

    def _on_second(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._at_once = True  # the next question raises, should Python drop this one
        raise KeyboardInterrupt

    def _on_unraisable(self, dropped: sys.UnraisableHookArgs) -> None:
        """What is raised while Python tidies up goes no further; this one comes again."""
        if dropped.exc_type is not KeyboardInterrupt:
            self._hook_before(dropped)


def _with_workers(
    study: Study,
    settings: TuneSettings,
    run: RunDirectory,
    *,
    progress: StudyProgress,
    stop: StopRequest,
) -> StudyResult:
    """Start the workers, show what they do until all have ended, and say what became of them."""
    started = time.monotonic()
    failed: list[WorkerEnd] = []
    timed_out = False
    with _start_workers(settings, run) as workers:
        asked = False
        while True:
            running = workers.n_running()
            _show(study, run, progress, n_workers=settings.workers)
            for end in workers.newly_ended():
                if end.code != 0 and not asked:
                    failed.append(end)
                    progress.say(f"worker {end.index} {end.reason}; its trial goes to the others")
            if running == 0:
                break
            limit = settings.time_limit_seconds
            timed_out = limit is not None and time.monotonic() - started >= limit
            if (stop() or timed_out) and not asked:
                asked = True
                workers.ask_to_stop()
            time.sleep(SECONDS_BETWEEN_LOOKS)
    result = study.conclude(asked=stop())
    if failed and result.ended_by in {"trials", "patience"}:
        stderr_console().print(
            f"[yellow]{len(failed)} of {settings.workers} workers ended early[/yellow], the others "
            f"did their work; logs in {run.worker_log(0).parent}",
            highlight=False,
        )
    elif failed and not stop() and not timed_out:
        last = failed[-1]
        raise ExecutionError(
            f"all workers ended, {len(result.records)} of {settings.trials} trials are finished; "
            f"worker {last.index} {last.reason} (log {run.worker_log(last.index)}). "
            "Finished trials are kept: put that right and repeat the command with "
            f"--job-id {run.job_id} --resume"
        )
    return result


def _start_workers(settings: TuneSettings, run: RunDirectory) -> LocalWorkers:
    from paretocast.cluster.local_workers import LocalWorkers

    indices = range(settings.workers)
    command = [sys.executable, "-m", "paretocast", "worker", "--model", settings.model]
    command += ["--dataset", settings.dataset, "--workspace", str(run.workspace)]
    command += ["--job-id", run.job_id, "--resume"]
    threads = max(1, default_threads() // settings.workers)
    environment = {THREADS_VARIABLE: str(settings.threads or threads)}
    if settings.storage is not None:
        environment[STORAGE_VARIABLE] = settings.storage  # its password is on no disk and no list
    for index in indices:
        run.worker_report(index).unlink(missing_ok=True)
    return LocalWorkers(
        [[*command, "--index", str(i), *_device_options(settings, i)] for i in indices],
        logs=[run.worker_log(index) for index in indices],
        environment=environment,
    )


def _device_options(settings: TuneSettings, index: int) -> list[str]:
    """Workers take turns on the GPUs, unless one was named."""
    from paretocast.training import cuda_devices

    devices = cuda_devices() if settings.device in {"auto", "cuda"} else ()
    return ["--device", devices[index % len(devices)]] if devices else []


def _show(study: Study, run: RunDirectory, progress: StudyProgress, *, n_workers: int) -> None:
    from paretocast.study.worker_reports import load_report

    try:
        ended = study.refresh()
    except StoreError:
        return  # a file system that hiccups; what lasts is told when the study is concluded
    outcome = study.outcome() if ended else None
    for record in ended:
        progress.trial_ended(record, outcome)
    reports = (load_report(run, index) for index in range(n_workers))
    progress.show_workers([report for report in reports if report is not None])


def default_threads() -> int:
    """As the environment says, else the cores this process may use: on a shared node not all."""
    given = os.environ.get(THREADS_VARIABLE, "")
    if given.isdigit() and int(given) > 0:
        return int(given)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
