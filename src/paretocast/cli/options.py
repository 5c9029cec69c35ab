"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

SeriesOption = Annotated[
    str | None,
    typer.Option(
        "--series",
        help="Of a TOML file with a section \\[series]: all, or names joined by commas; each is "
        "done by itself. A pattern such as 'meters/*.toml' in place of the file names many files.",
        rich_help_panel="Data",
    ),
]
