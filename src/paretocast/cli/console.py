"""Consoles: numbers go to stdout, talk to stderr, colours only to a terminal.

Text is printed as it is: names, paths, units and messages of a user hold brackets, colons and, by
accident or malice, sequences that steer a terminal. What is printed in bold or in colour asks for
it with `markup=True` and escapes the rest.
"""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from paretocast.formatting import visible

PIPED_WIDTH = 10_000  # lines written to a file or a pipe are not wrapped


class PlainConsole(Console):
    """A console that takes text for text, and shows the signs that steer a terminal."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401  (those of its base)
        super().__init__(markup=False, emoji=False, **options)

    def print(self, *objects: Any, **options: Any) -> None:  # noqa: ANN401  (those of its base)
        """Print texts and tables; the options are those of rich."""
        super().print(*map(_shown, objects), **options)


def _shown(printed: object) -> object:
    if isinstance(printed, str):
        return visible(printed)
    if isinstance(printed, Text) and (plain := visible(printed.plain)) != printed.plain:
        return Text(plain, style=printed.style)
    return printed


def stdout_console() -> Console:
    """Console of stdout."""
    console = PlainConsole()
    return console if console.is_terminal else PlainConsole(width=PIPED_WIDTH)


def stderr_console() -> Console:
    """Console of stderr."""
    console = PlainConsole(stderr=True)
    return console if console.is_terminal else PlainConsole(stderr=True, width=PIPED_WIDTH)


def dataset_name(source: str) -> str:
    """Return the name by which results of a data set are kept; a TOML file holds its own."""
    if ".toml" not in source.lower():
        return source
    from paretocast.data import find_spec

    return find_spec(source).name
