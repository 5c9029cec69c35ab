"""A data set from a file alone, declared in the workspace, so that a study of it can go on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from paretocast.api.frames import declaration_in
from paretocast.data.checks import errors_among
from paretocast.data.proposal import Proposal, propose_dataset, toml_of
from paretocast.data.proposal_columns import plain_name
from paretocast.errors import DataError, SettingsError
from paretocast.workspace import files

if TYPE_CHECKING:
    from pathlib import Path


def declare_file(
    path: Path,
    *,
    workspace: Path,
    target: str | None = None,
    zone: str | None = None,
    series: str | None = None,
) -> tuple[Path, Proposal]:
    """Write the TOML file that is proposed for a data file into the workspace.

    Parameters
    ----------
    workspace : Path
        The TOML file goes to `data/NAME-HASH/` there; the same conclusions are written once.

    Returns
    -------
    Path
        The TOML file, which every command takes as ``--dataset``.

    Raises
    ------
    ParetocastError
        If the file cannot be read, or with every error of the check.
    """
    proposal = propose_dataset(path, target=target, zone=zone, series=series)
    if errors := errors_among(proposal.findings):
        listed = "\n".join(f"  {error}" for error in errors)
        raise DataError(f"{path}, read as {proposal.line()}, cannot be used:\n{listed}")
    content = json.dumps(proposal.keys, sort_keys=True, default=str)
    declaration = declaration_in(workspace, proposal.spec.name, content)
    if not declaration.exists():
        files.save_text(declaration, toml_of(proposal, folder=declaration.parent))
    return declaration, proposal


def init_dataset(
    path: Path,
    *,
    target: str | None = None,
    zone: str | None = None,
    series: str | None = None,
    out: Path | None = None,
    force: bool = False,
) -> tuple[Path, Proposal]:
    """Write the TOML file that is proposed for a data file.

    Parameters
    ----------
    out : Path, optional
        The TOML file; beside the data and called after them without it.
    force : bool
        Replace an existing one.

    Raises
    ------
    SettingsError
        If it exists or cannot be written.
    """
    name = None if out is None else plain_name(out.stem)
    proposal = propose_dataset(path, target=target, zone=zone, series=series, name=name)
    declaration = out or path.parent / f"{proposal.spec.name}.toml"
    if declaration.exists() and not force:
        raise SettingsError(f"{declaration} exists; give another name with --out, or --force")
    try:
        files.save_text(declaration, toml_of(proposal, folder=declaration.parent))
    except OSError as error:
        raise SettingsError(
            f"{declaration} cannot be written: {error.strerror}; name another file with --out"
        ) from error
    return declaration, proposal
