"""States of experiments and next commands, from the scheduler's reports and our own files.

Nothing here reads a file, a clock or a scheduler.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from paretocast.cluster.base import JobReport, JobState
from paretocast.cluster.commands import resume_command, workspace_option
from paretocast.workspace.runs import TWO_STAGE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from paretocast.cluster.base import ElementReport
    from paretocast.cluster.tracking import ExperimentRow
    from paretocast.workspace.progress import Progress


class State(StrEnum):
    """State of an experiment."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNFINISHED = "unfinished"

    @property
    def active(self) -> bool:
        """True if a job of it waits or runs."""
        return self in {State.QUEUED, State.RUNNING}


@dataclass(frozen=True)
class Evidence:
    """Facts about one experiment, from its files and the scheduler.

    Attributes
    ----------
    row : ExperimentRow
        Its row in the table of experiments, made from its submission or its manifest.
    report : JobReport or None
        Of the scheduler on its last job; None if no scheduler was asked or answered.
    progress : Progress
        Of its run directory.
    has_result : bool
        The file that the experiment is for is there.
    after : tuple of str
        Jobs that its own job follows.
    has_pages : bool
        The pages for people are there: a worker may have died over them.
    last_lines : tuple of str
        End of the log of the element that gave the job its state.
    source : str
        The data set as a command in this folder names it; empty where that is its name.
    """

    row: ExperimentRow
    report: JobReport | None
    progress: Progress
    has_result: bool
    after: tuple[str, ...] = ()
    has_pages: bool = True
    last_lines: tuple[str, ...] = ()
    source: str = ""


@dataclass(frozen=True)
class ExperimentStatus:
    """An experiment's state, with the facts behind it: a line of `paretocast status`.

    Attributes
    ----------
    detail : str
        Reason why it waits, or what went wrong, in one sentence; empty without any.
    elapsed_seconds : float or None
        Since it started, until it ended if it did.
    rest_seconds : float or None
        Estimate until all trials are done; None where there is no ground for one.
    """

    evidence: Evidence
    state: State
    detail: str
    elapsed_seconds: float | None
    rest_seconds: float | None

    @property
    def id(self) -> str:
        """The experiment's id."""
        return self.row.id

    @property
    def row(self) -> ExperimentRow:
        """The experiment's row in the table, without its state and results of now."""
        return self.evidence.row

    @property
    def progress(self) -> Progress:
        """The experiment's trials."""
        return self.evidence.progress

    @property
    def source(self) -> str:
        """The data set as a command in this folder names it."""
        return self.evidence.source or self.row.dataset

    def current_row(self) -> ExperimentRow:
        """The row of the table of experiments as of now."""
        progress = self.progress
        return replace(
            self.row,
            state=str(self.state),
            best_mae="" if progress.best_mae is None else f"{progress.best_mae:.6g}",
            best_picp="" if progress.best_picp is None else f"{progress.best_picp:.2f}",
        )

    def as_json(self) -> dict[str, Any]:
        """Return the status for programs, as values of JSON."""
        row, progress = self.row, self.progress
        return {
            "id": row.id,
            "model": row.model,
            "dataset": row.dataset,
            "stage": int(row.stage) if row.stage else None,
            "strategy": row.strategy,
            "job_ids": row.job_ids.split(),
            "state": str(self.state),
            "detail": self.detail,
            "trials": int(row.trials) if row.trials.isdigit() else None,
            "n_completed": progress.n_complete,
            "n_pruned": progress.n_pruned,
            "n_failed": progress.n_failed,
            "n_running": progress.n_running,
            "n_put_away": progress.n_put_away,
            "best_mae": progress.best_mae,
            "best_picp": progress.best_picp,
            "submitted": row.submitted or None,
            "started": row.started or None,
            "ended": row.ended or None,
            "elapsed_seconds": self.elapsed_seconds,
            "rest_seconds": self.rest_seconds,
            "log": row.log or None,
            "results": row.results or None,
            "problems": list(progress.problems),
            "last_lines": list(self.evidence.last_lines) if self.state is State.FAILED else [],
        }


def experiment_status(evidence: Evidence, *, now: datetime) -> ExperimentStatus:
    """Return the status that follows from the facts about one experiment."""
    state = _state(evidence)
    return ExperimentStatus(
        evidence=evidence,
        state=state,
        detail=_detail(evidence, state),
        elapsed_seconds=_elapsed_seconds(evidence.row, state, now),
        rest_seconds=_rest_seconds(evidence, state),
    )


def likely_cause(element: ElementReport, last_lines: Sequence[str]) -> str:
    """Return the likely cause of a failure and what to do, from its state, else from its log."""
    text = "\n".join(last_lines)
    if element.state is JobState.OUT_OF_MEMORY or element.exit_code == 137:
        return _OUT_OF_MEMORY
    if element.state in _CAUSES:
        return _CAUSES[element.state]
    for pattern, before in _TRACES:
        if match := pattern.search(text):
            return f"{before}{match['words'].strip()}"
    if _NO_MEMORY.search(text):
        return _OUT_OF_MEMORY
    return _describe_exit(element.exit_code)


def next_commands(experiments: Sequence[ExperimentStatus], *, workspace: Path) -> tuple[str, ...]:
    """Return sentences on what to do next, each with a command at its end."""
    option = workspace_option(workspace)
    lines = []
    latest = {experiment.row.subject: experiment for experiment in experiments}
    for experiment in experiments:
        row = experiment.row
        if latest[row.subject] is not experiment:
            continue  # a later one has replaced it
        if experiment.state in {State.FAILED, State.CANCELLED, State.UNFINISHED}:
            lines.append(_continue(experiment, workspace))
        elif experiment.state is not State.FINISHED:
            continue
        elif row.strategy == TWO_STAGE and row.stage == "1":
            second = latest.get((row.model, row.dataset, "2"))
            if second is None or second.state in {State.CANCELLED, State.FAILED}:
                source = shlex.quote(experiment.source)
                lines.append(
                    f"stage 2 of {row.model} {row.dataset} can be submitted: "
                    f"paretocast submit {row.model} {source} --stage 2{option}"
                )
        elif not experiment.evidence.has_pages:
            command = resume_command(row.run_directory(workspace), experiment.source)
            lines.append(f"pages of {row.id}: {command}")
    if any(experiment.state.active for experiment in experiments):
        lines.append(f"follow the jobs: paretocast status --watch{option}")
    return tuple(lines)


_OUT_OF_MEMORY = "ran out of memory: raise memory in the profile or lower batch_size, then resubmit"
_CAUSES = {
    JobState.TIMEOUT: (
        "reached its time limit before it could pause: raise signal_seconds in the profile, "
        "then resubmit"
    ),
    JobState.NODE_FAIL: "its node failed: resubmit",
}
_NO_MEMORY = re.compile(
    r"oom[-_ ]kill|out of memory|MemoryError|Cannot allocate memory", re.IGNORECASE
)
_TRACES = (
    (re.compile(r"^(?P<words>.*(?:PARETOCAST_DATA|--data-dir).*)$", re.M), "missing data: "),
    (re.compile(r"^error: (?P<words>.+)$", re.M), ""),
    (re.compile(r"^│ (?P<words>.*?)\s*│$", re.M), "wrong usage: "),
    (
        re.compile(r"^(?P<words>(?!\w*MemoryError)[\w.]+(?:Error|Exception)\b.*)$", re.M),
        "Python error: ",
    ),
    (
        re.compile(r"^(?P<words>.*(?:command not found|No such file|unknown module).*)$", re.M),
        "the environment on the node: ",
    ),
)


def _describe_exit(code: int | None) -> str:
    if code is None:
        return "ended by itself; its log may say why"
    if code > 128:
        return f"was killed by signal {code - 128}"
    return f"ended with exit code {code}"


def _state(evidence: Evidence) -> State:
    state = JobState.UNKNOWN if evidence.report is None else evidence.report.state
    if state is JobState.RUNNING or (state is JobState.UNKNOWN and evidence.progress.n_running):
        return State.RUNNING
    if state is JobState.PENDING:
        return State.QUEUED
    if evidence.has_result and _all_trials_ended(evidence):
        return State.FINISHED
    if state.broken:
        return State.FAILED
    if state is JobState.CANCELLED:
        return State.CANCELLED
    return State.UNFINISHED


def _all_trials_ended(evidence: Evidence) -> bool:
    """True if the search has nothing left to do; one that lost patience says so in its log."""
    n_trials = int(evidence.row.trials) if evidence.row.trials.isdigit() else 0
    lost_patience = any("ended by patience" in line for line in evidence.last_lines)
    return evidence.progress.n_ended >= n_trials or lost_patience


def _detail(evidence: Evidence, state: State) -> str:
    report = evidence.report or JobReport()
    element = report.deciding_element
    match state:
        case State.FAILED if element is not None:
            return likely_cause(element, evidence.last_lines)
        case State.CANCELLED if evidence.after and not evidence.row.started:
            followed = ", ".join(evidence.after)
            return f"never started: job {followed}, which it follows, did not end well"
        case State.QUEUED if element is not None:
            reason = element.reason or ("Dependency" if evidence.after else "")
            return _WAITING.get(reason, reason)
        case State.UNFINISHED if evidence.row.job_ids:
            return _UNFINISHED if element is not None else _FORGOTTEN
        case State.FINISHED if n_broken := sum(e.state.broken for e in report.elements):
            return f"{n_broken} of its {len(report.elements)} workers failed on the way"
        case _:
            return ""


_UNFINISHED = "its job ended before all trials were done"
_FORGOTTEN = "the scheduler does not know its job any more"
_WAITING = {
    "Dependency": "waits for the job it follows",
    "DependencyNeverSatisfied": "never starts: the job it follows did not complete; cancel it",
    "BeginTime": "was requeued, starts again shortly",
    "Resources": "waits for resources",
    "Priority": "waits behind jobs of higher priority",
}


def _elapsed_seconds(row: ExperimentRow, state: State, now: datetime) -> float | None:
    if not row.started:
        return None
    start = datetime.fromisoformat(row.started)
    end = now if state is State.RUNNING or not row.ended else datetime.fromisoformat(row.ended)
    return max(0.0, (end - start).total_seconds())


def _rest_seconds(evidence: Evidence, state: State) -> float | None:
    """Training time of a mean trial, for the trials left, shared by the workers."""
    progress = evidence.progress
    if not state.active or not progress.n_ended or not evidence.row.trials.isdigit():
        return None
    left = int(evidence.row.trials) - progress.n_ended
    if left <= 0:
        return None
    workers = int(evidence.row.workers) if evidence.row.workers.isdigit() else 1
    if evidence.report is not None:
        workers = evidence.report.count(JobState.RUNNING) or workers
    return progress.fit_seconds / progress.n_ended * left / max(1, min(workers, left))


def _continue(experiment: ExperimentStatus, workspace: Path) -> str:
    row = experiment.row
    if not row.job_ids:
        command = resume_command(row.run_directory(workspace), experiment.source)
        return f"{row.id} can be continued: {command}"
    ended = f" after {experiment.progress.n_ended} of {row.trials} trials" if row.trials else ""
    option = workspace_option(workspace)
    return f"{row.id} {experiment.state}{ended}: paretocast resubmit {row.id}{option}"
