"""Searches on many series as array jobs."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from paretocast.cli.submitted import print_submission, say

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from paretocast.cluster.base import Executor
    from paretocast.cluster.profiles import Profile
    from paretocast.cluster.script import SearchRequest
    from paretocast.cluster.tracking import Submission


def submit_many(
    requests: Sequence[SearchRequest],
    profile: Profile,
    executor: Executor,
    *,
    program: tuple[str, ...],
    workspace: Path,
    dry_run: bool,
) -> None:
    """Submit searches on many series, an element of an array job for each, or print the scripts."""
    from paretocast.cluster.submission import series_job, series_parts, submit_series

    if dry_run:
        for part in series_parts(requests, executor):
            print(series_job(part, profile, program=program).script)  # noqa: T201
        return
    submit_series(
        requests,
        profile,
        executor,
        program=program,
        now=datetime.now(UTC),
        tell=partial(_print_array, workspace=workspace),
    )


def _print_array(submissions: Sequence[Submission], workspace: Path) -> None:
    """Print the id of an array job of many series; to stderr what it does and how to watch it."""
    from paretocast.cluster.commands import workspace_option

    if len(submissions) == 1:
        print_submission(submissions[0], workspace)
        return
    first, last = submissions[0], submissions[-1]
    array = first.study_id
    option = workspace_option(workspace)
    print(array)  # noqa: T201
    lines = [
        f"submitted {first.model} on {len(submissions)} series, {first.dataset} to {last.dataset}",
        f"  job      {array}, an array with an element, and an experiment, for each series",
        f"  logs     {first.jobs[-1].logs[0][0]} and so on",
        f"  results  {workspace / 'results'}",
        f"  watch    paretocast status --model {first.model} --watch{option}",
        *([f"           squeue --jobs {array}"] if array.isdigit() else []),
        f"  end      paretocast cancel {array}{option}",
        f"           of one series: paretocast cancel {first.id}{option}",
    ]
    say(lines)
