"""Plan, submit, resubmit and cancel experiments."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from paretocast.cluster import tracking
from paretocast.cluster.auto import new_mark
from paretocast.cluster.base import NoAnswerError
from paretocast.cluster.handover import Handover, find_interrupted
from paretocast.cluster.script import SearchRequest, job_script, series_script
from paretocast.cluster.status import State
from paretocast.cluster.tracking import SubmittedJob
from paretocast.errors import ExecutionError, ParetocastError, StoreError
from paretocast.formatting import count
from paretocast.workspace import files
from paretocast.workspace.runs import find_runs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from paretocast.cluster.base import Executor, Job, JobReport
    from paretocast.cluster.profiles import Profile
    from paretocast.cluster.status import ExperimentStatus
    from paretocast.cluster.tracking import Submission

# The order in which a budget is best spent: data set by data set, models in their registered order.
PRIORITY_DATASETS = ("heat", "water_centrum", "water_tommerby")


@dataclass(frozen=True)
class PlannedSubmission:
    """A requested search with the decision whether and how to submit it.

    Attributes
    ----------
    skipped : str
        Reason to submit nothing; empty if it is to be submitted.
    refused : bool
        That reason is a failure rather than good news.
    study_id : str or None
        The study to continue; None starts one.
    after : tuple of str
        Job ids to wait for.
    after_index : int or None
        Index in the plan of the submission whose job to wait for, once it has an id.
    """

    request: SearchRequest
    skipped: str = ""
    refused: bool = False
    study_id: str | None = None
    after: tuple[str, ...] = ()
    after_index: int | None = None


def plan(
    requests: Sequence[SearchRequest], experiments: Sequence[ExperimentStatus]
) -> tuple[PlannedSubmission, ...]:
    """Return the decision on each request, in order, given the status of the experiments.

    What is finished or active is skipped. A study that has trials and no job is continued. Stage 2
    waits for its stage 1, is submitted at once if that is finished, and refused otherwise.
    """
    planned: list[PlannedSubmission] = []
    for request in requests:
        submission = _plan_one(request, _same(experiments, request, stage=request.stage))
        if not submission.skipped and request.stage == 2:
            first = _same(experiments, request, stage=1)
            submission = _behind_stage_1(submission, first, planned)
        planned.append(submission)
    return tuple(planned)


def submit(
    request: SearchRequest,
    profile: Profile,
    executor: Executor,
    *,
    program: tuple[str, ...],
    now: datetime,
    study_id: str | None = None,
    after: tuple[str, ...] = (),
    tell: Callable[[Submission], None] = lambda _submission: None,
) -> Submission:
    """Hand a search over and keep a record of it.

    Where a process that made the same request was killed before it could tell the id of its job,
    that job is recorded and told, and none is handed over.

    Parameters
    ----------
    study_id : str or None
        The study to continue; None starts one with the id of its job.
    now : datetime
        With a zone.
    tell : callable
        Called with the submission once it has its record; until it returns the request counts as
        interrupted.

    Raises
    ------
    ExecutionError
        If the scheduler refuses.
    StoreError
        If the workspace cannot be written to; nothing has been submitted then, or the message
        says what.
    """
    job = job_script(request, profile, program=program, study_id=study_id, after=after)
    job = replace(executor.fitted(job), mark=new_mark(profile.executor))
    request = replace(request, n_workers=job.n_elements)
    pending = tracking.new_submission(
        request,
        profile=profile.model_dump(mode="json"),
        job=SubmittedJob(
            job.mark, now.isoformat(timespec="seconds"), job.log_paths(job.mark), after
        ),
        study_id=study_id,
    )
    (submission,) = _hand_over(job, (pending,), request, executor, lambda found: tell(found[0]))
    return submission


def submit_series(
    requests: Sequence[SearchRequest],
    profile: Profile,
    executor: Executor,
    *,
    program: tuple[str, ...],
    now: datetime,
    tell: Callable[[tuple[Submission, ...]], None] = lambda _submissions: None,
) -> tuple[tuple[Submission, ...], ...]:
    """Hand over searches that differ by their data set alone, in as few array jobs as will do.

    Every search is an experiment of its own, whose job is an element of the array; its study has
    the id of the array. An array whose process was killed is not handed over again, as by `submit`.

    Parameters
    ----------
    now : datetime
        With a zone.
    tell : callable
        Called with those of each array once they have their records, as by `submit`.

    Returns
    -------
    tuple of tuple of Submission
        Those of each array, in the order of its elements.

    Raises
    ------
    ExecutionError, StoreError
        As `submit` does, with the number of searches that are submitted.
    """
    arrays: list[tuple[Submission, ...]] = []
    for part in series_parts(requests, executor):
        try:
            arrays.append(
                _submit_part(part, profile, executor, program=program, now=now, tell=tell)
            )
        except ParetocastError as error:
            done = sum(map(len, arrays))
            raise type(error)(f"{error} ({done} of {len(requests)} submitted)") from error
    return tuple(arrays)


def series_parts(
    requests: Sequence[SearchRequest], executor: Executor
) -> tuple[Sequence[SearchRequest], ...]:
    """Return the searches of each array job that many series need: no more than one may have."""
    most = executor.most_elements() or len(requests)
    return tuple(requests[start : start + most] for start in range(0, len(requests), most))


def series_job(
    requests: Sequence[SearchRequest], profile: Profile, *, program: tuple[str, ...]
) -> Job:
    """Return the job that runs the searches of one part: an array, or a plain job for one."""
    if len(requests) == 1:
        return job_script(requests[0], profile, program=program)
    return series_script(requests, profile, program=program, n_at_once=series_at_once(profile))


def series_at_once(profile: Profile) -> int | None:
    """Return the series that may run at the same time; None for as many as the cluster lets.

    Nothing else holds them back on this machine: there they are as many as its cores suffice for.
    """
    if profile.max_running is None and profile.executor == "background":
        return max(1, len(os.sched_getaffinity(0)) // profile.cpus)
    return profile.max_running


def _submit_part(
    requests: Sequence[SearchRequest],
    profile: Profile,
    executor: Executor,
    *,
    program: tuple[str, ...],
    now: datetime,
    tell: Callable[[tuple[Submission, ...]], None],
) -> tuple[Submission, ...]:
    """Hand over an array of searches, or a plain job where there is one alone."""
    if len(requests) == 1:
        alone = submit(
            requests[0],
            profile,
            executor,
            program=program,
            now=now,
            tell=lambda found: tell((found,)),
        )
        return (alone,)
    job = replace(series_job(requests, profile, program=program), mark=new_mark(profile.executor))
    submitted = now.isoformat(timespec="seconds")
    pending = tuple(
        tracking.new_submission(
            request,
            profile=profile.model_dump(mode="json"),
            job=SubmittedJob(f"{job.mark}_{element}", submitted, (logs,)),
            study_id=job.mark,
        )
        for element, (request, logs) in enumerate(
            zip(requests, job.log_paths(job.mark), strict=True)
        )
    )
    return _hand_over(job, pending, requests[0], executor, tell)


def _hand_over(
    job: Job,
    pending: tuple[Submission, ...],
    request: SearchRequest,
    executor: Executor,
    tell: Callable[[tuple[Submission, ...]], None],
) -> tuple[Submission, ...]:
    """Hand over a job with its mark, unless an interrupted process has, and record it.

    Parameters
    ----------
    pending : tuple of Submission
        Of the job, with its mark in place of its id.
    request : SearchRequest
        The first one, which says where workspace and logs are.
    """
    workspace = request.folder / request.workspace
    files.create_folder(request.logs)
    interrupted = find_interrupted(workspace, executor, pending)
    if interrupted is None:
        handover = Handover.begin(workspace, job.mark, pending, job.script)
        job_id = _handed_over(handover, job, executor)
    else:
        handover, job_id = interrupted
    try:
        submissions = handover.record(workspace, job_id)
        tell(submissions)
        handover.end()
    except StoreError as error:
        raise StoreError(
            f"job {job_id} is submitted, but its record could not be kept: {error}; "
            "paretocast status keeps it once it can"
        ) from error
    finally:
        handover.release()
    return submissions


def _handed_over(handover: Handover, job: Job, executor: Executor) -> str:
    """The id of a job that is handed over now; what is unclear stays to be looked up."""
    try:
        return executor.submit(job)
    except BaseException as error:
        refused = isinstance(error, ExecutionError) and not isinstance(error, NoAnswerError)
        (handover.end if refused else handover.release)()
        raise


def request_of(submission: Submission, workspace: Path) -> SearchRequest:
    """Return the request behind a submission.

    Parameters
    ----------
    workspace : Path
        The one that holds the submission, absolute: it may have been moved.
    """
    folder = Path(submission.folder)
    return SearchRequest(
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
    """Return the submission of an experiment.

    Raises
    ------
    StoreError
        If there is none of that id, or an array of many; the message lists what there is.
    """
    found = find_all(workspace, experiment_id)
    if len(found) > 1:
        first, *_, last = (submission.id for submission in found)
        raise StoreError(
            f"{experiment_id} is an array of {len(found)} experiments, {first} to {last}; name one"
        )
    return found[0]


def find_all(workspace: Path, experiment_id: str) -> tuple[Submission, ...]:
    """Return the submission of an experiment, or those of all in an array job of that id.

    Raises
    ------
    StoreError
        If there is none of that id; the message lists what there is.
    """
    submissions, problems = tracking.read_submissions(workspace)
    found = tuple(
        submission
        for submission in submissions
        if experiment_id
        in {submission.id, submission.study_id, *(job.job_id for job in submission.jobs)}
    )
    # A damaged file is told if it may be of the one that is looked for, or of the same array.
    names = {tracking.submission_path(each.run_directory(workspace)).name for each in found}
    if told := [text for text in problems if not found or any(name in text for name in names)]:
        raise StoreError(told[0])
    if found:
        return found
    for run in find_runs(workspace):
        if experiment_id in {run.study_name, run.job_id}:
            raise StoreError(
                f"{run.study_name} in {workspace} was not submitted but started by `paretocast "
                "tune`: Ctrl-C there ends it, and the command that `paretocast status` shows goes "
                "on with it"
            )
    latest = ", ".join(submission.id for submission in submissions[-10:]) or "none"
    raise StoreError(f"experiment {experiment_id!r} is not in {workspace}; the last ones: {latest}")


def cancel(
    submissions: Sequence[Submission], executor: Executor
) -> list[tuple[Submission, tuple[str, ...]]]:
    """End the jobs of experiments, and return the ids of those that were active with each."""
    reports = executor.poll([job.job_id for each in submissions for job in each.jobs])
    ended = [
        (each, tuple(job.job_id for job in each.jobs if reports[job.job_id].state.active))
        for each in submissions
    ]
    executor.cancel([job_id for _, job_ids in ended for job_id in job_ids])
    return ended


def refuse_if_active(submission: Submission, executor: Executor) -> None:
    """Raise if a job of the experiment waits or runs: two would work on the same trials.

    Raises
    ------
    ExecutionError
        If so.
    """
    for job_id, report in _active_jobs(submission, executor).items():
        raise ExecutionError(
            f"job {job_id} of {submission.id} is {report.state}: it goes on by itself; "
            f"end it with paretocast cancel {submission.id} first"
        )


def _active_jobs(submission: Submission, executor: Executor) -> dict[str, JobReport]:
    reports = executor.poll([job.job_id for job in submission.jobs])
    return {job_id: report for job_id, report in reports.items() if report.state.active}


def _plan_one(request: SearchRequest, experiments: Sequence[ExperimentStatus]) -> PlannedSubmission:
    """The decision on one request, without regard to other stages."""
    for experiment in experiments:
        if experiment.state.active:
            job = _last_job(experiment)
            where = f"job {job}" if job else "outside Slurm"
            return PlannedSubmission(
                request, skipped=f"{experiment.state} as {experiment.id} ({where})"
            )
    for experiment in experiments:
        if experiment.state is State.FINISHED:
            n_ended = experiment.progress.n_ended
            trials = f", {count(n_ended, 'trial')}" if n_ended else ""
            return PlannedSubmission(request, skipped=f"finished as {experiment.id}{trials}")
    begun = [experiment.row for experiment in experiments if experiment.progress.n_ended > 0]
    return PlannedSubmission(request, study_id=begun[-1].study_id if begun else None)


def _behind_stage_1(
    second: PlannedSubmission,
    experiments: Sequence[ExperimentStatus],
    planned: Sequence[PlannedSubmission],
) -> PlannedSubmission:
    """A stage 2 behind its stage 1, which is planned or among the experiments."""
    request = second.request
    for index, earlier in enumerate(planned):
        if _subject(earlier.request, earlier.request.stage) == _subject(request, 1):
            if not earlier.skipped:
                return replace(second, after_index=index)
            break
    active = [experiment for experiment in experiments if experiment.state.active]
    if active:
        return replace(second, after=(_last_job(active[-1]),))
    if any(experiment.state is State.FINISHED for experiment in experiments):
        return second
    last = f"{experiments[-1].id} is {experiments[-1].state}" if experiments else "there is none"
    return replace(
        second,
        skipped=(
            f"its stage 1 neither finished nor runs ({last}): "
            f"paretocast submit {request.model} {request.dataset} --stage 1, "
            "or --stage all for both"
        ),
        refused=True,
    )


def _same(
    experiments: Sequence[ExperimentStatus], request: SearchRequest, *, stage: int | None
) -> list[ExperimentStatus]:
    """Experiments on the model and data set of a request."""
    subject = _subject(request, stage)
    return [experiment for experiment in experiments if experiment.row.subject == subject]


def _subject(request: SearchRequest, stage: int | None) -> tuple[str, str, str]:
    return request.model, request.dataset, "" if stage is None else str(stage)


def _last_job(experiment: ExperimentStatus) -> str:
    return experiment.row.job_ids.rpartition(" ")[2]
