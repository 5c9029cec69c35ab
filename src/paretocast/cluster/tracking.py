"""Submitted searches: a file per submission, and a table of all of them.

The *submission file* in the run directory is the truth: what was asked, for which cluster, under
which job ids. `tracking/experiments.csv` has a row per experiment for people and spreadsheets. It
can be made anew from the run directories at any time, so nothing is lost with it. An *experiment*
is one study; its id is the study's name.
"""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from paretocast.cluster.profiles import Profile
from paretocast.errors import SettingsError, StoreError
from paretocast.toml import parse_table
from paretocast.workspace import files
from paretocast.workspace.claims import StudyLock
from paretocast.workspace.runs import SINGLE_STAGE, TWO_STAGE, RunDirectory
from paretocast.workspace.stored import SubmissionFile, load, save

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from paretocast.cluster.script import SearchRequest

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class SubmittedJob:
    """One job of an experiment.

    Attributes
    ----------
    job_id : str
        As the scheduler gave it.
    submitted : str
        ISO 8601 with its zone.
    logs : tuple of (output, errors)
        Paths per element, as text.
    after : tuple of str
        Job ids it waits for.
    """

    job_id: str
    submitted: str
    logs: tuple[tuple[str, str], ...]
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class Submission:
    """One experiment's request to a cluster, with all jobs so far.

    Attributes
    ----------
    folder : str
        The folder in which its jobs run.
    source : str
        The data set as the user named it.
    options : tuple of str
        Further options of the search.
    profile : dict
        The cluster profile it was submitted with.
    """

    model: str
    dataset: str
    study_id: str
    source: str
    trials: int
    stage: int | None
    n_workers: int
    options: tuple[str, ...]
    folder: str
    profile: Mapping[str, Any]
    jobs: tuple[SubmittedJob, ...]

    @property
    def id(self) -> str:
        """The experiment's id."""
        return f"{self.model}_{self.dataset}_{self.study_id}"

    @property
    def strategy(self) -> str:
        """Strategy of the search that the experiment is, or is one stage of."""
        return SINGLE_STAGE if self.stage is None else TWO_STAGE

    def run_directory(self, workspace: Path) -> RunDirectory:
        """The experiment's study on disk."""
        return RunDirectory(workspace, self.model, self.dataset, self.study_id)


@dataclass(frozen=True)
class ExperimentRow:
    """A line of `experiments.csv`.

    Attributes
    ----------
    job_ids : str
        Joined by blanks; the last one counts.
    stage : str
        "1", "2" or empty.
    trials : str
        A number; empty in stage 2, which replays those of stage 1.
    submitted, started, ended : str
        ISO 8601 with a zone, or empty.
    best_mae : str
        Target units.
    best_picp : str
        Percent.
    log, results : str
        Paths; relative ones start at the workspace.
    """

    id: str
    job_ids: str
    model: str
    dataset: str
    stage: str
    strategy: str
    trials: str
    workers: str
    submitted: str
    started: str = ""
    ended: str = ""
    state: str = ""
    best_mae: str = ""
    best_picp: str = ""
    log: str = ""
    results: str = ""

    @property
    def subject(self) -> tuple[str, str, str]:
        """Model, data set and stage: of several experiments with the same, the last counts."""
        return self.model, self.dataset, self.stage

    @property
    def study_id(self) -> str:
        """Id of the study, without the names in front of it."""
        return self.id.removeprefix(f"{self.model}_{self.dataset}_")

    def run_directory(self, workspace: Path) -> RunDirectory:
        """The experiment's study on disk."""
        return RunDirectory(workspace, self.model, self.dataset, self.study_id)


COLUMNS = tuple(field.name for field in fields(ExperimentRow))


def submission_path(run: RunDirectory) -> Path:
    """The submission file of a run."""
    return run.folder / f"submission_{run.job_id}.json"


def script_path(workspace: Path, submissions: Sequence[Submission], job_id: str) -> Path:
    """The script of a job as it was handed over; an array has several submissions."""
    first, others = submissions[0], len(submissions) - 1
    name = f"hpo_{first.model}_{first.dataset}" + f"_and_{others}_more" * bool(others)
    return workspace / "logs" / f"{name}_{job_id}.sh"


def new_submission(
    request: SearchRequest,
    *,
    profile: Mapping[str, Any],
    job: SubmittedJob,
    study_id: str | None = None,
) -> Submission:
    """The submission of a study, which takes its id from its first job unless it has one."""
    return Submission(
        model=request.model,
        dataset=request.dataset,
        study_id=study_id or job.job_id,
        source=request.source,
        trials=request.trials,
        stage=request.stage,
        n_workers=request.n_workers,
        options=request.options,
        folder=str(request.folder),
        profile=profile,
        jobs=(job,),
    )


def record_submissions(workspace: Path, submissions: Sequence[Submission]) -> None:
    """Keep submissions in their run directories and in the table, beside other writers.

    Raises
    ------
    StoreError
        If the workspace cannot be written to.
    """
    for submission in submissions:
        save_submission(submission_path(submission.run_directory(workspace)), submission)
    new = {submission.id: submission_row(submission) for submission in submissions}
    update_rows(workspace, lambda rows: {**rows, **new})


def save_submission(path: Path, submission: Submission) -> None:
    """Write a submission file; set-up lines in it are the user's own.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    content = {"schema_version": SCHEMA_VERSION, **asdict(submission)}
    save(path, content, private=True)


def load_submission(path: Path) -> Submission:
    """Read a submission file.

    Raises
    ------
    StoreError
        If it is missing, damaged or of another version.
    """
    content = load(path, SubmissionFile, advice="remove it and submit the search again")
    try:
        parse_table(Profile, content["profile"], origin=f"{path}, profile")
    except SettingsError as error:
        raise StoreError(f"{error}; remove the file and submit the search again") from error
    jobs = tuple(
        SubmittedJob(
            job_id=job["job_id"],
            submitted=job["submitted"],
            logs=tuple((log, errors) for log, errors in job["logs"]),
            after=tuple(job["after"]),
        )
        for job in content["jobs"]
    )
    del content["schema_version"]
    return Submission(**{**content, "jobs": jobs, "options": tuple(content["options"])})


def read_submissions(workspace: Path) -> tuple[tuple[Submission, ...], tuple[str, ...]]:
    """Return all submissions of a workspace, the oldest first, and why others cannot be read."""
    submissions, problems = [], []
    for path in sorted((workspace / "results").glob("*/submission_*.json")):
        try:
            submissions.append(load_submission(path))
        except StoreError as error:
            problems.append(str(error))
    submissions.sort(key=lambda submission: (submission.jobs[0].submitted, submission.id))
    return tuple(submissions), tuple(problems)


def submission_row(submission: Submission) -> ExperimentRow:
    """Return the row of an experiment from its submission alone."""
    job = submission.jobs[-1]
    return ExperimentRow(
        id=submission.id,
        job_ids=" ".join(job.job_id for job in submission.jobs),
        model=submission.model,
        dataset=submission.dataset,
        stage="" if submission.stage is None else str(submission.stage),
        strategy=submission.strategy,
        trials="" if submission.stage == 2 else str(submission.trials),  # it has no trials
        workers=str(submission.n_workers),
        submitted=submission.jobs[0].submitted,
        state="submitted",
        log=job.logs[0][0] if job.logs else "",
    )


def table_path(workspace: Path) -> Path:
    """The table of experiments."""
    return workspace / "tracking" / "experiments.csv"


def load_rows(workspace: Path) -> dict[str, ExperimentRow]:
    """Rows by id; none if there is no table.

    Raises
    ------
    StoreError
        If the table is damaged.
    """
    path = table_path(workspace)
    try:
        if not files.exists(path):
            return {}
        reader = csv.DictReader(io.StringIO(files.load_text(path), newline=""))
        lines = list(reader)
    except StoreError as error:
        raise StoreError(f"{error}; {_REPAIR}") from error
    except csv.Error as error:
        raise StoreError(f"{path} is damaged: {error}; {_REPAIR}") from error
    missing = set(COLUMNS) - set(reader.fieldnames or ())
    if missing:
        raise StoreError(f"{path} lacks the columns {', '.join(sorted(missing))}; {_REPAIR}")
    rows = [ExperimentRow(**{name: line[name] or "" for name in COLUMNS}) for line in lines]
    return {row.id: row for row in rows}


def update_rows(
    workspace: Path,
    change: Callable[[dict[str, ExperimentRow]], Mapping[str, ExperimentRow]],
    *,
    anew: bool = False,
) -> None:
    """Read, change and replace the table while no other process does.

    Parameters
    ----------
    change : callable
        From the rows that are there now to those that shall be there.
    anew : bool
        Begin without rows: the table is lost or damaged.

    Raises
    ------
    StoreError
        If the table is damaged, or cannot be locked or written.
    """
    folder = table_path(workspace).parent
    files.create_folder(folder)
    with StudyLock(folder / ".lock"):
        before = {} if anew else load_rows(workspace)
        after = change(dict(before))
        if anew or after != before:
            files.save_text(table_path(workspace), _as_csv(after.values()))


def _as_csv(rows: Iterable[ExperimentRow]) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return text.getvalue()


_REPAIR = "make it anew with paretocast status --rebuild"
