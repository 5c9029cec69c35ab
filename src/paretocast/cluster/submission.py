"""Submitting, resubmitting and cancelling experiments, and what `submit --all` would do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from paretocast.cluster import tracking
from paretocast.cluster.script import Request, job_script
from paretocast.cluster.status import State
from paretocast.cluster.tracking import SubmittedJob
from paretocast.errors import ExecutionError, StoreError
from paretocast.workspace import files
from paretocast.workspace.files import RunDirectory

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from paretocast.cluster.base import Executor
    from paretocast.cluster.profiles import Profile
    from paretocast.cluster.status import ExperimentStatus
    from paretocast.cluster.tracking import Submission

# The order in which a budget is best spent: data set by data set, models in their registered order.
PRIORITY_DATASETS = ("heat", "water_centrum", "water_tommerby")


@dataclass(frozen=True)
class Step:
    """What is to be done about one wanted search.

    Attributes
    ----------
    request : Request
        What is wanted.
    skipped : str
        Why nothing is to be done; empty if it is to be submitted.
    refused : bool
        Whether that is a failure rather than good news.
    study_id : str or None
        The study to continue; None starts one.
    after : tuple of str
        Job ids to wait for.
    after_step : int or None
        Index of the step whose job to wait for, once it has an id.
    """

    request: Request
    skipped: str = ""
    refused: bool = False
    study_id: str | None = None
    after: tuple[str, ...] = ()
    after_step: int | None = None


def plan(requests: Sequence[Request], standings: Iterable[ExperimentStatus]) -> tuple[Step, ...]:
    """What to do about each request, in order, given where the experiments stand.

    What is finished or active is skipped. A study that has trials and no job is continued. Stage 2
    waits for its stage 1, is submitted at once if that is finished, and refused otherwise.
    """
    known = tuple(standings)
    steps: list[Step] = []
    for request in requests:
        same = _of(known, request, stage=request.stage)
        step = _planned(request, same)
        if not step.skipped and request.stage == 2:
            step = _behind_stage_1(step, _of(known, request, stage=1), steps)
        steps.append(step)
    return tuple(steps)


def submit(
    request: Request,
    profile: Profile,
    executor: Executor,
    *,
    program: tuple[str, ...],
    now: datetime,
    study_id: str | None = None,
    after: tuple[str, ...] = (),
) -> Submission:
    """Hand a search over and keep a record of it.

    Parameters
    ----------
    study_id : str or None
        The study to continue; None starts one with the id of its job.
    now : datetime
        With a zone.

    Raises
    ------
    ExecutionError
        If the scheduler refuses.
    StoreError
        If the workspace cannot be written to; nothing has been submitted then, or the message
        says what.
    """
    job = job_script(request, profile, program=program, study_id=study_id, after=after)
    workspace = request.folder / request.workspace
    files.create_folder(request.logs)
    files.create_folder(workspace / "tracking")
    job_id = executor.submit(job)
    submitted = SubmittedJob(
        job_id, now.isoformat(timespec="seconds"), job.log_paths(job_id), after
    )
    fresh = tracking.new_submission(request, profile=profile.model_dump(mode="json"), job=submitted)
    submission = replace(fresh, study_id=study_id or job_id)
    try:
        if study_id is not None:
            submission = _with_earlier_jobs(workspace, submission)
        tracking.record_submission(workspace, submission)
        files.save_text(tracking.script_path(workspace, submission), job.script)
    except StoreError as error:
        raise StoreError(
            f"job {job_id} is submitted, but its record could not be kept: {error}"
        ) from error
    return submission


def request_of(submission: Submission, workspace: Path) -> Request:
    """The request behind a submission.

    Parameters
    ----------
    workspace : Path
        Where the submission was found, absolute: it may have been moved.
    """
    folder = Path(submission.folder)
    return Request(
        model=submission.model,
        dataset=submission.dataset,
        source=submission.source,
        trials=submission.trials,
        stage=submission.stage,
        n_workers=submission.n_workers,
        options=submission.options,
        folder=folder,
        workspace=workspace.relative_to(folder) if workspace.is_relative_to(folder) else workspace,
    )


def find(workspace: Path, experiment_id: str) -> Submission:
    """The submission of an experiment.

    Raises
    ------
    StoreError
        If there is none of that id; the message lists what there is.
    """
    submissions = tracking.find_submissions(workspace)
    for one in submissions:
        if experiment_id in {one.id, one.study_id, *(job.job_id for job in one.jobs)}:
            return one
    for run in files.find_runs(workspace):
        if experiment_id in {run.study_name, run.job_id}:
            raise StoreError(
                f"{run.study_name} in {workspace} was not submitted but started by `paretocast "
                "tune`: Ctrl-C there ends it, and the command that `paretocast status` shows goes "
                "on with it"
            )
    known = ", ".join(one.id for one in submissions[-10:]) or "none"
    raise StoreError(f"experiment {experiment_id!r} is not in {workspace}; the last ones: {known}")


def cancel(submission: Submission, executor: Executor) -> tuple[str, ...]:
    """End the jobs of an experiment; the ids of those that were active."""
    reports = executor.poll([job.job_id for job in submission.jobs])
    active = tuple(job_id for job_id, report in reports.items() if report.state.active)
    executor.cancel(active)
    return active


def refuse_if_active(submission: Submission, executor: Executor) -> None:
    """Raise if a job of the experiment waits or runs: two would work on the same trials.

    Raises
    ------
    ExecutionError
        If so.
    """
    reports = executor.poll([job.job_id for job in submission.jobs])
    for job_id, report in reports.items():
        if report.state.active:
            raise ExecutionError(
                f"job {job_id} of {submission.id} is {report.state}: it goes on by itself; "
                f"end it with paretocast cancel {submission.id} first"
            )


def _planned(request: Request, same: Sequence[ExperimentStatus]) -> Step:
    """The step for one request, without regard to other stages."""
    for one in same:
        if one.stand.active:
            job = one.evidence.row.job_ids.rpartition(" ")[2]
            where = f"job {job}" if job else "outside Slurm"
            return Step(request, skipped=f"{one.stand} as {one.id} ({where})")
    for one in same:
        if one.stand is State.FINISHED:
            ended = one.evidence.progress.n_ended
            trials = f", {ended} trials" if ended else ""
            return Step(request, skipped=f"finished as {one.id}{trials}")
    begun = [one for one in same if one.evidence.progress.n_ended > 0]
    if not begun:
        return Step(request)
    row = begun[-1].evidence.row
    study_id = row.id.removeprefix(f"{row.model}_{row.dataset}_")
    return Step(request, study_id=study_id)


def _behind_stage_1(step: Step, first: Sequence[ExperimentStatus], steps: Sequence[Step]) -> Step:
    for index, earlier in enumerate(steps):
        wanted = (step.request.model, step.request.dataset, 1)
        if (earlier.request.model, earlier.request.dataset, earlier.request.stage) == wanted:
            if not earlier.skipped:
                return replace(step, after_step=index)
            break
    active = [one for one in first if one.stand.active]
    if active:
        return replace(step, after=(active[-1].evidence.row.job_ids.rpartition(" ")[2],))
    if any(one.stand is State.FINISHED for one in first):
        return step
    name = f"{step.request.model} {step.request.dataset}"
    stood = f"{first[-1].id} is {first[-1].stand}" if first else "there is none"
    return replace(
        step,
        skipped=(
            f"its stage 1 neither finished nor runs ({stood}): "
            f"paretocast submit {name} --stage 1, or --stage all for both"
        ),
        refused=True,
    )


def _of(
    standings: Iterable[ExperimentStatus], request: Request, *, stage: int | None
) -> list[ExperimentStatus]:
    key = (request.model, request.dataset, "" if stage is None else str(stage))
    rows = ((one.evidence.row, one) for one in standings)
    return [one for row, one in rows if (row.model, row.dataset, row.stage) == key]


def _with_earlier_jobs(workspace: Path, submission: Submission) -> Submission:
    run = RunDirectory(workspace, submission.model, submission.dataset, submission.study_id)
    path = tracking.submission_path(run)
    if not path.exists():
        return submission  # the study was begun without a job
    earlier = tracking.load_submission(path)
    return replace(submission, jobs=(*earlier.jobs, *submission.jobs))
