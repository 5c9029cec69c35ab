"""Consoles: numbers go to stdout, talk to stderr, colours only to a terminal."""

from __future__ import annotations

from rich.console import Console

PIPED_WIDTH = 10_000  # lines written to a file or a pipe are not wrapped


def stdout_console() -> Console:
    """Console of stdout."""
    console = Console()
    return console if console.is_terminal else Console(width=PIPED_WIDTH)


def stderr_console() -> Console:
    """Console of stderr."""
    console = Console(stderr=True)
    return console if console.is_terminal else Console(stderr=True, width=PIPED_WIDTH)


def dataset_name(source: str) -> str:
    """Return the name by which results of a data set are kept; a TOML file holds its own."""
    if ".toml" not in source.lower():
        return source
    from paretocast.data import find_spec

    return find_spec(source).name
