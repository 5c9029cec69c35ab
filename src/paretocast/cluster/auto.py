"""One executor for this machine and its cluster, told apart by the ids of jobs."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from paretocast.cluster.background import LOCAL_PREFIX, BackgroundExecutor
from paretocast.cluster.base import Executor, Job, JobReport
from paretocast.cluster.slurm import SlurmExecutor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

BACKGROUND, SLURM = "background", "slurm"


class AutoExecutor(Executor):
    """Jobs of this machine and of its cluster.

    Parameters
    ----------
    workspace : Path
        Background jobs lie in its folder `jobs`.
    submit_to : str
        `background` or `slurm`, for new jobs.
    """

    def __init__(self, workspace: Path, *, submit_to: str = SLURM) -> None:
        self._background = BackgroundExecutor(workspace / "jobs")
        self._slurm = SlurmExecutor()
        self._submit_to: Executor = self._background if submit_to == BACKGROUND else self._slurm

    def most_elements(self) -> int | None:
        """Return the elements that an array job may have on the side that takes it."""
        return self._submit_to.most_elements()

    def fitted(self, job: Job) -> Job:
        """Return the job within the limits of the side that takes it."""
        return self._submit_to.fitted(job)

    def submit(self, job: Job) -> str:
        """Hand a job over and return its id."""
        return self._submit_to.submit(job)

    def find(self, marks: Sequence[str]) -> Mapping[str, str]:
        """Return the ids of jobs by their marks; each side is asked for its own marks alone."""
        here, there = _split(marks)
        found = self._background.find(here)
        return {**found, **(self._slurm.find(there) if there else {})}

    def poll(self, job_ids: Sequence[str]) -> Mapping[str, JobReport]:
        """Return a report for each id; each side is asked for its own jobs alone."""
        here, there = _split(job_ids)
        return {**self._background.poll(here), **self._slurm.poll(there)}

    def cancel(self, job_ids: Sequence[str]) -> None:
        """End jobs, waiting or running."""
        here, there = _split(job_ids)
        self._background.cancel(here)
        self._slurm.cancel(there)


def new_mark(submit_to: str) -> str:
    """Return a text that no other job has, for one of either side."""
    prefix = LOCAL_PREFIX if submit_to == BACKGROUND else ""
    return f"{prefix}paretocast-{secrets.token_hex(8)}"


def _split(job_ids: Sequence[str]) -> tuple[list[str], list[str]]:
    """Ids or marks of background jobs, and all others."""
    here = [job_id for job_id in job_ids if job_id.startswith(LOCAL_PREFIX)]
    return here, [job_id for job_id in job_ids if job_id not in here]
