"""Submissions that may have been handed over, kept for when their process dies before the record.

Before a job is handed over, its submissions (one, or those of the elements of an array) are written
into a folder of their own, with a mark in place of the job's id; the scheduler keeps the mark with
the job. The folder goes once they have their records and their user the job's id. What a dead
process left there is looked up by its mark.
"""

from __future__ import annotations

import itertools
import shutil
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from paretocast.cluster import tracking
from paretocast.errors import StoreError
from paretocast.workspace import files
from paretocast.workspace.claims import Claim

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import Self

    from paretocast.cluster.base import Executor
    from paretocast.cluster.tracking import Submission

# The scheduler's command outlives a killed process, and has answered by then or never will.
UNCLEAR_SECONDS = 120.0
# So long a submission waits for a job of the same kind that may be on its way.
WAIT_SECONDS = 10.0
LOOK_SECONDS = 0.5
SUBMISSION = "submission.json"  # of a folder, written last; those of further elements beside it


@dataclass(frozen=True)
class Handover:
    """Submissions of one job on its way to the scheduler, in a folder that this process works in.

    Attributes
    ----------
    submissions : tuple of Submission
        With the mark in place of the id of the job.
    """

    submissions: tuple[Submission, ...]
    folder: Path
    claim: Claim

    @classmethod
    def begin(
        cls, workspace: Path, mark: str, submissions: tuple[Submission, ...], script: str
    ) -> Self:
        """Keep what is about to be handed over.

        Raises
        ------
        StoreError
            If the workspace cannot be written to.
        """
        folder = _folder(workspace) / mark
        claim = Claim.take(folder)
        if claim is None:
            raise StoreError(f"{folder} belongs to another process")
        handover = cls(submissions, folder, claim)
        try:
            files.save_text(folder / "script.sh", script, private=True)
            for element in reversed(range(len(submissions))):
                tracking.save_submission(_part(folder, element), submissions[element])
        except StoreError:
            handover.end()
            raise
        return handover

    @classmethod
    def take_over(cls, folder: Path) -> Self | None:
        """The handover of a dead process; None if it is alive, or another process is at it already.

        Raises
        ------
        StoreError
            If it is damaged.
        """
        claim = Claim.take(folder)
        if claim is None:
            return None
        try:
            parts = (_part(folder, element) for element in itertools.count())
            paths = itertools.takewhile(files.exists, parts)
            submissions = tuple(tracking.load_submission(path) for path in paths)
            if not submissions:
                raise StoreError(f"{folder / SUBMISSION} is not there")
            return cls(submissions, folder, claim)
        except BaseException:
            claim.release()
            raise

    @property
    def mark(self) -> str:
        """The text that the scheduler keeps with the job."""
        return self.folder.name

    @property
    def age_seconds(self) -> float:
        """Seconds since it was begun, by the clock of this machine."""
        begun = datetime.fromisoformat(self.submissions[0].jobs[-1].submitted)
        return (datetime.now(UTC) - begun).total_seconds()

    def record(self, workspace: Path, job_id: str) -> tuple[Submission, ...]:
        """Record the submissions under the id of their job, and return them.

        Raises
        ------
        StoreError
            If the record cannot be kept.
        """
        named = (_with_job_id(submission, self.mark, job_id) for submission in self.submissions)
        submissions = tuple(
            submission
            if submission.study_id == job_id
            else _with_earlier_jobs(workspace, submission)
            for submission in named
        )
        tracking.record_submissions(workspace, submissions)
        script = files.load_text(self.folder / "script.sh")
        files.save_text(tracking.script_path(workspace, submissions, job_id), script, private=True)
        return submissions

    def release(self) -> None:
        """Leave it to others."""
        self.claim.release()

    def end(self) -> None:
        """Remove it: nothing is left to be done. Without its submission it counts no more."""
        (self.folder / SUBMISSION).unlink(missing_ok=True)
        self.claim.release()
        shutil.rmtree(self.folder, ignore_errors=True)


def recover(workspace: Path, executor: Executor) -> tuple[str, ...]:
    """Record the jobs of interrupted submissions; return why some are still unclear.

    Raises
    ------
    ExecutionError
        If the scheduler does not answer.
    """
    notes: list[str] = []
    left = _left_behind(workspace, notes)
    try:
        job_ids = executor.find([handover.mark for handover in left]) if left else {}
        for handover in left:
            if (job_id := job_ids.get(handover.mark)) is not None:
                handover.record(workspace, job_id)
                handover.end()
            elif handover.age_seconds > UNCLEAR_SECONDS:
                handover.end()
            else:
                first = handover.submissions[0]
                notes.append(
                    f"a submission of {first.model} on {first.dataset} was interrupted a moment "
                    "ago: whether its job reached the scheduler is clear after "
                    f"{UNCLEAR_SECONDS:.0f} s"
                )
    except StoreError as error:
        notes.append(f"an interrupted submission cannot be recorded: {error}")
    finally:
        for handover in left:
            handover.release()
    return tuple(notes)


def find_interrupted(
    workspace: Path,
    executor: Executor,
    wanted: Sequence[Submission],
    *,
    pause: Callable[[float], None] = time.sleep,
) -> tuple[Handover, str] | None:
    """Return an interrupted handover of the same requests, with the id of its job, if it has one.

    Parameters
    ----------
    wanted : sequence of Submission
        What is to be handed over, whatever the id of its job.
    pause : callable
        Waits so many seconds for a job that may be on its way.
    """
    found = None
    for handover in _left_behind(workspace, []):
        if found is None and [*map(_asked, handover.submissions)] == [*map(_asked, wanted)]:
            job_id = _awaited(handover, executor, pause)
            if job_id is not None:
                found = handover, job_id
                continue
        handover.release()
    return found


def _awaited(handover: Handover, executor: Executor, pause: Callable[[float], None]) -> str | None:
    """The id of the job, which may be on its way; None if it has not come in time."""
    while True:
        job_id = executor.find([handover.mark]).get(handover.mark)
        if job_id is not None or handover.age_seconds > WAIT_SECONDS:
            return job_id
        pause(LOOK_SECONDS)


def _folder(workspace: Path) -> Path:
    return workspace / "tracking" / "submitting"


def _part(folder: Path, element: int) -> Path:
    """The file for the submission of an element of a job."""
    return folder / (f"submission_{element}.json" if element else SUBMISSION)


def _left_behind(workspace: Path, notes: list[str]) -> list[Handover]:
    """Handovers of dead processes, the oldest first; a damaged one is told in a note."""
    left = []
    for folder in sorted(_folder(workspace).glob("*")):
        try:
            handover = Handover.take_over(folder)
        except StoreError as error:
            if not files.exists(folder / SUBMISSION):  # it died before anything began
                shutil.rmtree(folder, ignore_errors=True)
                continue
            notes.append(str(error))
            continue
        if handover is not None:
            left.append(handover)
    return sorted(left, key=lambda handover: -handover.age_seconds)


def _asked(submission: Submission) -> Submission:
    """A submission without what differs from one time to the next."""
    job = replace(submission.jobs[-1], job_id="", submitted="", logs=())
    job_id = submission.jobs[-1].job_id
    own = {job_id, job_id.rpartition("_")[0]}  # of the job, of the array that it is an element of
    study_id = "" if submission.study_id in own else submission.study_id
    return replace(submission, study_id=study_id, jobs=(job,))


def _with_job_id(submission: Submission, mark: str, job_id: str) -> Submission:
    job = submission.jobs[-1]
    logs = tuple(
        (log.replace(mark, job_id), errors.replace(mark, job_id)) for log, errors in job.logs
    )
    return replace(
        submission,
        study_id=submission.study_id.replace(mark, job_id),
        jobs=(replace(job, job_id=job.job_id.replace(mark, job_id), logs=logs),),
    )


def _with_earlier_jobs(workspace: Path, submission: Submission) -> Submission:
    path = tracking.submission_path(submission.run_directory(workspace))
    if not path.exists():
        return submission  # the study was begun without a job
    own = submission.jobs[-1]
    earlier = (job for job in tracking.load_submission(path).jobs if job.job_id != own.job_id)
    return replace(submission, jobs=(*earlier, own))
