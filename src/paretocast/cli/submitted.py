"""Output of `paretocast submit` on the jobs that it has handed over."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from paretocast.cli.console import stderr_console

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from paretocast.cluster.submission import PlannedSubmission
    from paretocast.cluster.tracking import Submission


def print_submission(submission: Submission, workspace: Path) -> None:
    """Print the job's id, and to stderr its files and the commands that watch and end it."""
    from paretocast.cluster.collect import result_path
    from paretocast.cluster.commands import workspace_option
    from paretocast.cluster.submission import request_of
    from paretocast.cluster.tracking import submission_row

    job = submission.jobs[-1]
    request = request_of(submission, workspace.absolute())
    print(job.job_id)  # noqa: T201  (the number; everything else is talk)
    workers = f", {submission.n_workers} workers" if submission.n_workers > 1 else ""
    waits = f" after {', '.join(job.after)}" if job.after else ""
    option = workspace_option(workspace)
    filters = f"--model {submission.model} --dataset {submission.dataset}"
    lines = [
        f"submitted {request.title}: job {job.job_id}{workers}{waits}, experiment {submission.id}",
        *(f"  log      {log}" for log, _ in job.logs[:1]),
        f"  results  {result_path(workspace, submission_row(submission))}",
        f"  watch    paretocast status {filters} --watch{option}",
        *([f"           squeue --jobs {job.job_id}"] if job.job_id.isdigit() else []),
        *(f"           tail -f {shlex.quote(log)}" for log, _ in job.logs[:1]),
        f"  end      paretocast cancel {submission.id}{option}",
    ]
    say(lines)


def print_skipped(submission: PlannedSubmission) -> None:
    """Print why a search is not submitted."""
    say([f"skipped {submission.request.title}: {submission.skipped}"])


def say(lines: Iterable[str]) -> None:
    """Print lines as they are, beside what programs read."""
    for line in lines:
        stderr_console().print(line, highlight=False, markup=False, soft_wrap=True)
