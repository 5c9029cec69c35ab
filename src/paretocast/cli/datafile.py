"""Options that name a data file in place of a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from paretocast.errors import SettingsError

DATA = "Data"
DataFile = Annotated[
    Path | None,
    typer.Option(
        help="CSV, .xlsx or Parquet file instead of --dataset; how it is written is found out. "
        "Better is `paretocast data init FILE`, whose TOML file you can correct.",
        rich_help_panel=DATA,
    ),
]
Target = Annotated[
    str | None,
    typer.Option(
        help="Column of the demand in --data. \\[default: by its name]", rich_help_panel=DATA
    ),
]
Zone = Annotated[
    str | None,
    typer.Option(
        help="Time zone where the demand in --data lives, such as Europe/Berlin. "
        "\\[default: what the times tell, else UTC]",
        rich_help_panel=DATA,
    ),
]


def declared(
    data: Path | None,
    *,
    dataset: str | None,
    workspace: Path,
    target: str | None,
    zone: str | None,
) -> str | None:
    """Return the data set that options mean: that of --dataset, or the one found in --data.

    Raises
    ------
    SettingsError
        If both are given, or options of the file without it.
    """
    if data is None:
        if target is not None or zone is not None:
            raise SettingsError("--target and --zone describe the file of --data, which is absent")
        return dataset
    if dataset is not None:
        raise SettingsError("--data and --dataset are both given, expected one")
    from paretocast.api.files import declare_file
    from paretocast.cli.display import print_note

    declaration, proposal = declare_file(data, workspace=workspace, target=target, zone=zone)
    print_note(f"{data.name} is read as: {proposal.line()}. {declaration} says why", kind="data")
    return str(declaration)
