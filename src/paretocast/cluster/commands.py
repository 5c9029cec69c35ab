"""Options of this program that name a study, for processes to start and for people to copy."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from paretocast.workspace.runs import RunDirectory

DEFAULT_WORKSPACE = Path("hpo")


def study_options(run: RunDirectory, dataset: str) -> list[str]:
    """Return the words with which `tune` and `worker` continue a study.

    Parameters
    ----------
    dataset : str
        The data set as the user names it: the path of a file for one that has no name.
    """
    words = ["--model", run.model, "--dataset", dataset, "--job-id", run.job_id, "--resume"]
    if run.workspace != DEFAULT_WORKSPACE:
        words += ["--workspace", str(run.workspace)]
    return words


def resume_command(run: RunDirectory, dataset: str) -> str:
    """Return the command that continues a study, ready for a shell."""
    return shlex.join(["paretocast", "tune", *study_options(run, dataset)])


def workspace_option(workspace: Path) -> str:
    """Return the end of a command that names a workspace; empty for the default one.

    >>> workspace_option(Path("hpo")), workspace_option(Path("my dir"))
    ('', " --workspace 'my dir'")
    """
    return "" if workspace == DEFAULT_WORKSPACE else f" --workspace {shlex.quote(str(workspace))}"
