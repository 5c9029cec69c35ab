"""Status of all experiments of a workspace: read files, ask the scheduler, update the table."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from paretocast.cluster import tracking
from paretocast.cluster.handover import recover
from paretocast.cluster.status import Evidence, ExperimentStatus, State, experiment_status
from paretocast.cluster.tracking import ExperimentRow, Submission, submission_row
from paretocast.errors import ExecutionError, StoreError
from paretocast.formatting import from_here
from paretocast.workspace.progress import first_line, inspect_levels, inspect_run, last_lines
from paretocast.workspace.runs import (
    SINGLE_STAGE,
    RunDirectory,
    find_runs,
    stage_1_result,
    stage_2_result,
    unlisted,
)
from paretocast.workspace.stored import load_manifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from paretocast.cluster.base import Executor, JobReport

_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:Z|[+-]\d\d:\d\d)")


@dataclass(frozen=True)
class StatusReport:
    """All experiments of a workspace.

    Attributes
    ----------
    experiments : tuple of ExperimentStatus
        The oldest first.
    notes : tuple of str
        Reasons why something could not be found out.
    """

    experiments: tuple[ExperimentStatus, ...]
    notes: tuple[str, ...]


def collect_status(workspace: Path, executor: Executor | None, *, now: datetime) -> StatusReport:
    """Return the status of all experiments of a workspace.

    Parameters
    ----------
    executor : Executor or None
        Asked for the jobs; None asks nobody.
    now : datetime
        With a zone.
    """
    notes = unlisted(workspace)
    if executor is not None:
        with contextlib.suppress(ExecutionError):  # which is told below
            notes += recover(workspace, executor)
    submissions, problems = tracking.read_submissions(workspace)
    notes += problems
    reports: Mapping[str, JobReport | None] = {}
    if executor is not None:
        try:
            reports = executor.poll(_open_jobs(workspace, submissions))
        except ExecutionError as error:
            notes.append(f"the scheduler was not asked: {error}")
    evidence = [
        _evidence_of_submission(workspace, submission, reports.get(submission.jobs[-1].job_id))
        for submission in submissions
    ]
    submitted = {submission.id for submission in submissions}
    for run in sorted(find_runs(workspace), key=lambda run: _written_at(run.manifest)):
        if run.study_name not in submitted:
            try:
                evidence.append(_evidence_of_study(run))
            except OSError as error:  # one that cannot be read hides no other
                notes.append(f"{run.study_name} is left out: {run.folder}: {error.strerror}")
    return StatusReport(
        tuple(experiment_status(facts, now=now) for facts in evidence), tuple(notes)
    )


def update_table(workspace: Path, experiments: Iterable[ExperimentStatus], *, anew: bool) -> None:
    """Bring the table of experiments up to date, or make it anew from these experiments.

    Raises
    ------
    StoreError
        If the table is damaged, unless it is made anew, or cannot be written.
    """
    rows = {experiment.id: experiment.current_row() for experiment in experiments}
    if anew or rows:
        tracking.update_rows(workspace, lambda before: {**before, **rows}, anew=anew)


def result_path(workspace: Path, row: ExperimentRow) -> Path:
    """The file that an experiment is for."""
    if row.stage == "1":
        return stage_1_result(workspace, row.model, row.dataset)
    if row.stage == "2":
        return stage_2_result(workspace, row.model, row.dataset)
    return row.run_directory(workspace).best_params


def _open_jobs(workspace: Path, submissions: Iterable[Submission]) -> list[str]:
    """Last jobs of the experiments that were not finished when last looked at."""
    try:
        rows = tracking.load_rows(workspace)
    except StoreError:
        rows = {}
    return [
        submission.jobs[-1].job_id
        for submission in submissions
        if (row := rows.get(submission.id)) is None
        or row.state != State.FINISHED
        or row.job_ids != submission_row(submission).job_ids
    ]


def _evidence_of_submission(
    workspace: Path, submission: Submission, report: JobReport | None
) -> Evidence:
    job = submission.jobs[-1]
    row = submission_row(submission)
    run = row.run_directory(workspace)
    result = result_path(workspace, row)
    log, errors = _deciding_logs(submission, report)
    row = replace(row, started=_started(submission), ended=_ended(run, result), log=log)
    fresh = _written_at(result) >= datetime.fromisoformat(job.submitted) if row.stage else True
    return Evidence(
        row=replace(row, results=_relative(result, workspace)),
        report=report,
        progress=inspect_run(run) if row.stage != "2" else inspect_levels(result, fresh=fresh),
        has_result=result.is_file() and fresh,
        after=job.after,
        has_pages=run.page("study").is_file() or row.stage == "2",
        last_lines=last_lines(Path(errors)) or last_lines(Path(log)),
        source=_from_here(submission.source, Path(submission.folder)),
    )


def _evidence_of_study(run: RunDirectory) -> Evidence:
    """Facts about a study that no job was submitted for."""
    notes: tuple[str, ...] = ()
    try:
        settings = load_manifest(run)["settings"]
        trials = str(settings.get("trials", ""))
        strategy = str(settings.get("strategy", SINGLE_STAGE))
        source = _from_here(str(settings.get("dataset", run.dataset)), Path.cwd())
    except StoreError as error:
        trials, strategy, source, notes = "", "", run.dataset, (str(error),)
    row = ExperimentRow(
        id=run.study_name,
        job_ids="",
        model=run.model,
        dataset=run.dataset,
        stage="",
        strategy=strategy,
        trials=trials,
        workers="",
        submitted="",
        ended=_ended(run, run.best_params),
        results=_relative(run.best_params, run.workspace),
    )
    progress = inspect_run(run)
    return Evidence(
        row=row,
        report=None,
        progress=replace(progress, problems=(*notes, *progress.problems)),
        has_result=run.best_params.is_file(),
        source=source,
    )


def _from_here(source: str, folder: Path) -> str:
    """A data set as a command in this folder names it: a user's own file by its path."""
    if not source.lower().endswith(".toml"):
        return source
    return str(from_here(folder / source))


def _deciding_logs(submission: Submission, report: JobReport | None) -> tuple[str, str]:
    """Output and errors of the element that gave the job its state."""
    logs = submission.jobs[-1].logs
    if not logs:
        return "", ""
    element = None if report is None else report.deciding_element
    number = element.job_id.rpartition("_")[2] if element and "_" in element.job_id else "0"
    return logs[min(int(number), len(logs) - 1)]


def _started(submission: Submission) -> str:
    """The earliest stamp that a job left in its log."""
    stamps = []
    for job in submission.jobs:
        for log, _ in job.logs:
            if match := _STAMP.match(first_line(Path(log))):
                stamps.append(datetime.fromisoformat(match[0]))
    return min(stamps).isoformat() if stamps else ""


def _ended(run: RunDirectory, result: Path) -> str:
    """Time at which a trial or the result was written last."""
    paths = [*run.trials_folder.glob("*/record.json"), result]
    latest = max(_written_at(path) for path in paths)
    return "" if latest == _NEVER else latest.isoformat(timespec="seconds")


def _written_at(path: Path) -> datetime:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError:
        return _NEVER


def _relative(path: Path, workspace: Path) -> str:
    """A file's path below the workspace; empty where there is no file."""
    return str(path.relative_to(workspace)) if path.is_file() else ""


_NEVER = datetime.min.replace(tzinfo=UTC)
