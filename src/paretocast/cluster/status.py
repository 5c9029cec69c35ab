"""Where experiments stand and what to do next: what the scheduler says joined with our own files.

Nothing here reads a file, a clock or a scheduler.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paretocast.cluster.base import JobReport, JobState
from paretocast.workspace.files import TWO_STAGE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paretocast.cluster.base import ElementReport
    from paretocast.cluster.tracking import Row
    from paretocast.workspace.progress import Progress


class State(StrEnum):
    """Where an experiment stands."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNFINISHED = "unfinished"

    @property
    def active(self) -> bool:
        """Whether a job of it waits or runs."""
        return self in {State.QUEUED, State.RUNNING}


@dataclass(frozen=True)
class Evidence:
    """What is known about one experiment.

    Attributes
    ----------
    row : Row
        Its row in the table of experiments, made from its submission or its manifest.
    report : JobReport or None
        What the scheduler says about its last job; None if no scheduler was asked or answered.
    progress : Progress
        Of its run directory.
    has_result : bool
        Whether the file that the experiment is for is there.
    after : tuple of str
        Jobs that its own job follows.
    has_pages : bool
        Whether the pages for people are there: a worker may have died over them.
    last_lines : tuple of str
        End of the log of the element that gave the job its state.
    source : str
        The data set as a command in this folder names it; empty where it is a named one.
    """

    row: Row
    report: JobReport | None
    progress: Progress
    has_result: bool
    after: tuple[str, ...] = ()
    has_pages: bool = True
    last_lines: tuple[str, ...] = ()
    source: str = ""

    @property
    def dataset(self) -> str:
        """The data set for a command."""
        return shlex.quote(self.source or self.row.dataset)


@dataclass(frozen=True)
class ExperimentStatus:
    """One line of `paretocast status`.

    Attributes
    ----------
    detail : str
        Why it waits or what went wrong, one sentence; empty if there is nothing to say.
    elapsed_seconds : float or None
        Since it started, until it ended if it did.
    rest_seconds : float or None
        Estimate until all trials are done; None where there is no ground for one.
    """

    evidence: Evidence
    stand: State
    detail: str
    elapsed_seconds: float | None
    rest_seconds: float | None

    @property
    def id(self) -> str:
        """The experiment's id."""
        return self.evidence.row.id

    def row(self) -> Row:
        """The row of the table of experiments as of now."""
        progress = self.evidence.progress
        return replace(
            self.evidence.row,
            state=str(self.stand),
            best_mae="" if progress.best_mae is None else f"{progress.best_mae:.6g}",
            best_picp="" if progress.best_picp is None else f"{progress.best_picp:.2f}",
        )

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        row, progress = self.evidence.row, self.evidence.progress
        return {
            "id": row.id,
            "model": row.model,
            "dataset": row.dataset,
            "stage": int(row.stage) if row.stage else None,
            "strategy": row.strategy,
            "job_ids": row.job_ids.split(),
            "state": str(self.stand),
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
            "last_lines": list(self.evidence.last_lines) if self.stand is State.FAILED else [],
        }


def standing(evidence: Evidence, *, now: datetime) -> ExperimentStatus:
    """Join what is known about one experiment."""
    stand = _stand(evidence)
    return ExperimentStatus(
        evidence=evidence,
        stand=stand,
        detail=_detail(evidence, stand),
        elapsed_seconds=_elapsed(evidence.row, stand, now),
        rest_seconds=_rest(evidence, stand),
    )


def likely_cause(element: ElementReport, last_lines: Sequence[str]) -> str:
    """Why a job most likely failed, and what to do: its state, else the last lines of its log."""
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


def next_commands(standings: Sequence[ExperimentStatus], *, workspace: Path) -> tuple[str, ...]:
    """What to do next, each a sentence that ends in a command."""
    place = "" if workspace == Path("hpo") else f" --workspace {shlex.quote(str(workspace))}"
    lines = []
    latest = {
        (s.evidence.row.model, s.evidence.row.dataset, s.evidence.row.stage): s for s in standings
    }
    for one in standings:
        row = one.evidence.row
        if latest[row.model, row.dataset, row.stage] is not one:
            continue  # a later experiment stands in its place
        if row.strategy == TWO_STAGE and row.stage == "1" and one.stand is State.FINISHED:
            second = latest.get((row.model, row.dataset, "2"))
            if second is None or second.stand in {State.CANCELLED, State.FAILED}:
                lines.append(
                    f"stage 2 of {row.model} {row.dataset} can be submitted: "
                    f"paretocast submit {row.model} {one.evidence.dataset} --stage 2{place}"
                )
        elif one.stand is State.FINISHED and not one.evidence.has_pages:
            lines.append(f"pages of {row.id}: {_resume(one, place)}")
        elif one.stand in {State.FAILED, State.CANCELLED, State.UNFINISHED}:
            lines.append(_continue(one, place))
    if any(one.stand.active for one in standings):
        lines.append(f"follow the jobs: paretocast status --watch{place}")
    return tuple(lines)


_OUT_OF_MEMORY = "ran out of memory: raise memory in the profile or lower batch_size, then resubmit"
_CAUSES = {
    JobState.TIMEOUT: (
        "reached its time limit before it was put away: raise signal_seconds in the profile, "
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


def _stand(evidence: Evidence) -> State:
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
    """Whether the search has nothing left to do; one that lost patience says so in its log."""
    wanted = int(evidence.row.trials) if evidence.row.trials.isdigit() else 0
    patient = not any("ended by patience" in line for line in evidence.last_lines)
    return evidence.progress.n_ended >= wanted or not patient


def _detail(evidence: Evidence, stand: State) -> str:
    report = evidence.report or JobReport()
    element = report.telling
    match stand:
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


def _elapsed(row: Row, stand: State, now: datetime) -> float | None:
    if not row.started:
        return None
    start = datetime.fromisoformat(row.started)
    end = now if stand is State.RUNNING or not row.ended else datetime.fromisoformat(row.ended)
    return max(0.0, (end - start).total_seconds())


def _rest(evidence: Evidence, stand: State) -> float | None:
    """Training time of a mean trial, for the trials left, shared by the workers."""
    progress = evidence.progress
    if not stand.active or not progress.n_ended or not evidence.row.trials.isdigit():
        return None
    left = int(evidence.row.trials) - progress.n_ended
    if left <= 0:
        return None
    workers = int(evidence.row.workers) if evidence.row.workers.isdigit() else 1
    if evidence.report is not None:
        workers = evidence.report.count(JobState.RUNNING) or workers
    return progress.fit_seconds / progress.n_ended * left / max(1, min(workers, left))


def _continue(one: ExperimentStatus, place: str) -> str:
    row = one.evidence.row
    if not row.job_ids:
        return f"{row.id} can be continued: {_resume(one, place)}"
    ended = f" after {one.evidence.progress.n_ended} of {row.trials} trials" if row.trials else ""
    return f"{row.id} {one.stand}{ended}: paretocast resubmit {row.id}{place}"


def _resume(one: ExperimentStatus, place: str) -> str:
    row = one.evidence.row
    study_id = row.id.removeprefix(f"{row.model}_{row.dataset}_")
    return (
        f"paretocast tune --model {row.model} --dataset {one.evidence.dataset} "
        f"--job-id {study_id} --resume{place}"
    )
