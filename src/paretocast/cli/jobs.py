"""`paretocast cancel` and `paretocast resubmit`: jobs of an experiment submitted before."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from paretocast.cli.console import stderr_console
from paretocast.cli.submit import (
    DryRunOption,
    ProfileFileOption,
    ProfileOption,
    WorkspaceOption,
    print_submission,
    program_words,
)

ExperimentArgument = Annotated[
    str,
    typer.Argument(metavar="EXPERIMENT", help="Its id, as status shows it, or the id of its job."),
]


def cancel(
    experiment: ExperimentArgument,
    workspace: WorkspaceOption = Path("hpo"),
) -> None:
    """End the jobs of an experiment. Its trials are kept; resubmit goes on with them."""
    from paretocast.cluster.auto import AutoExecutor
    from paretocast.cluster.submission import cancel as end_jobs
    from paretocast.cluster.submission import find

    submission = find(workspace, experiment)
    ended = end_jobs(submission, AutoExecutor(workspace))
    said = f"ended {', '.join(ended)}" if ended else "no job of it waits or runs"
    stderr_console().print(f"{submission.id}: {said}", highlight=False, markup=False)


def resubmit(
    experiment: ExperimentArgument,
    trials: Annotated[
        int | None,
        typer.Option(help="Another total of trials. \\[default: as submitted]", min=1),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Another number of workers. \\[default: as submitted]", min=1),
    ] = None,
    profile: ProfileOption = None,
    profile_file: ProfileFileOption = None,
    workspace: WorkspaceOption = Path("hpo"),
    dry_run: DryRunOption = False,
) -> None:
    """Submit an experiment once more: its study goes on where it stands.

    Without --profile it is submitted with the profile of its last time.
    """
    from paretocast.cluster.auto import AutoExecutor
    from paretocast.cluster.profiles import Profile, load_profiles, profile_files
    from paretocast.cluster.script import job_script
    from paretocast.cluster.submission import find, refuse_if_active, request_of, submit

    submission = find(workspace, experiment)
    if profile is None and profile_file is None:
        chosen = Profile.model_validate(submission.profile)
    else:
        chosen = load_profiles(profile_files(workspace, profile_file, os.environ)).choose(profile)
    request = request_of(submission, workspace.absolute())
    request = replace(
        request, trials=trials or request.trials, n_workers=workers or request.n_workers
    )
    study_id = submission.study_id
    if dry_run:
        job = job_script(request, chosen, program=program_words(chosen), study_id=study_id)
        print(job.script)  # noqa: T201
        return
    executor = AutoExecutor(workspace, submit_to=chosen.executor)
    refuse_if_active(submission, executor)
    again = submit(
        request,
        chosen,
        executor,
        program=program_words(chosen),
        now=datetime.now(UTC),
        study_id=study_id,
    )
    print_submission(again, workspace)
