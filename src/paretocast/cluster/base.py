"""The contract of an executor: hand over a script, follow it, end it.

A *job* is one script; an array job runs the same script in several *elements*. A job's id is the
text the scheduler gave it, element k of an array job is written `ID_k`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from paretocast.errors import ExecutionError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


class JobState(StrEnum):
    """State of a job or of one of its elements."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMEOUT = "time limit"
    OUT_OF_MEMORY = "out of memory"
    NODE_FAIL = "node failure"
    UNKNOWN = "unknown"

    @property
    def active(self) -> bool:
        """True if the job waits or runs."""
        return self in {JobState.PENDING, JobState.RUNNING}

    @property
    def broken(self) -> bool:
        """True if the job ended, and neither by itself nor by request."""
        return self in {
            JobState.FAILED,
            JobState.TIMEOUT,
            JobState.OUT_OF_MEMORY,
            JobState.NODE_FAIL,
        }


# The first of these that any element is in is the state of the job.
_PRECEDENCE = (
    JobState.RUNNING,
    JobState.PENDING,
    JobState.OUT_OF_MEMORY,
    JobState.TIMEOUT,
    JobState.NODE_FAIL,
    JobState.FAILED,
    JobState.CANCELLED,
    JobState.UNKNOWN,
    JobState.COMPLETED,
)


@dataclass(frozen=True)
class ElementReport:
    """One element of a job as the scheduler sees it.

    Attributes
    ----------
    job_id : str
        `ID`, or `ID_k` in an array.
    reason : str
        Cause of waiting or of the end, in the scheduler's words; empty if it says nothing.
    exit_code : int or None
        Of the script; None while it has not ended or where nobody knows.
    elapsed_seconds : float or None
        Since its last start.
    """

    job_id: str
    state: JobState
    reason: str = ""
    exit_code: int | None = None
    elapsed_seconds: float | None = None


@dataclass(frozen=True)
class JobReport:
    """A job as the scheduler sees it; no element at all where it does not know the job."""

    elements: tuple[ElementReport, ...] = ()

    @property
    def state(self) -> JobState:
        """Running if any element runs, completed only if all are."""
        states = {element.state for element in self.elements}
        return next((state for state in _PRECEDENCE if state in states), JobState.UNKNOWN)

    @property
    def deciding_element(self) -> ElementReport | None:
        """The element that gave the job its state."""
        return next((e for e in self.elements if e.state is self.state), None)

    def count(self, state: JobState) -> int:
        """Number of elements in a state."""
        return sum(element.state is state for element in self.elements)


@dataclass(frozen=True)
class Job:
    """A script to be handed over.

    Attributes
    ----------
    name : str
        For people and for the scheduler's lists.
    script : str
        A bash script that finds its place, its environment and its options by itself.
    folder : Path
        The folder that the script is submitted from.
    log, error_log : str
        Paths of its output, with `%j` for the job id; in an array `%A` and `%a`.
    n_elements : int
        Above 1, the script runs so many times, each with its SLURM_ARRAY_TASK_ID.
    after : tuple of str
        Ids of jobs that must have completed before this one starts.
    mark : str
        By which `find` knows the job again; empty for none.
    n_at_once : int or None
        Elements that may run at the same time, which the script tells Slurm; None for all.
    """

    name: str
    script: str
    folder: Path
    log: str
    error_log: str
    n_elements: int = 1
    after: tuple[str, ...] = ()
    mark: str = ""
    n_at_once: int | None = None

    def log_paths(self, job_id: str) -> tuple[tuple[str, str], ...]:
        """Output and error output of every element, once the id is known."""
        return tuple(
            (
                expand_pattern(self.log, job_id, element),
                expand_pattern(self.error_log, job_id, element),
            )
            for element in range(self.n_elements)
        )


def expand_pattern(pattern: str, job_id: str, element: int) -> str:
    """Return the path that a log pattern stands for.

    >>> expand_pattern("hpo_%A_%a.log", "812", 3)
    'hpo_812_3.log'
    """
    parts = {"%%": "%", "%j": job_id, "%A": job_id, "%a": str(element)}
    text, position = "", 0
    while position < len(pattern):
        token = pattern[position : position + 2]
        text += parts.get(token, pattern[position])
        position += 2 if token in parts else 1
    return text


class NoAnswerError(ExecutionError):
    """The scheduler gave no answer, or none that says whether it did what it was asked for."""


class Executor(ABC):
    """A scheduler that runs jobs."""

    def most_elements(self) -> int | None:
        """Return the elements that an array job may have; None where there is no limit."""
        return None

    def fitted(self, job: Job) -> Job:
        """Return the job within the limits of the scheduler: an array of fewer elements, say."""
        return job

    @abstractmethod
    def submit(self, job: Job) -> str:
        """Hand a job over and return its id.

        Raises
        ------
        ExecutionError
            If it was refused.
        NoAnswerError
            If nobody can tell whether it was accepted.
        """

    @abstractmethod
    def find(self, marks: Sequence[str]) -> Mapping[str, str]:
        """Return the ids of jobs by their marks, without those that are not known.

        Raises
        ------
        ExecutionError
            If the scheduler does not answer.
        """

    @abstractmethod
    def poll(self, job_ids: Sequence[str]) -> Mapping[str, JobReport]:
        """Return a report for each id, one without elements for a job that is not known.

        Raises
        ------
        ExecutionError
            If the scheduler does not answer.
        """

    @abstractmethod
    def cancel(self, job_ids: Sequence[str]) -> None:
        """End jobs, waiting or running; one that has ended already is left alone.

        Raises
        ------
        ExecutionError
            If the scheduler refuses.
        """
