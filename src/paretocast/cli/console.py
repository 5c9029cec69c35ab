"""Consoles: numbers go to stdout, talk to stderr, colours only to a terminal."""

from __future__ import annotations

import math

from rich.console import Console

PIPED_WIDTH = 160  # a table written to a file keeps its columns


def stdout_console() -> Console:
    """Console of stdout."""
    console = Console()
    return console if console.is_terminal else Console(width=PIPED_WIDTH)


def stderr_console() -> Console:
    """Console of stderr."""
    console = Console(stderr=True)
    return console if console.is_terminal else Console(stderr=True, width=PIPED_WIDTH)


def significant(value: float | None, digits: int = 4) -> str:
    """A number with so many significant digits; "–" for none.

    >>> significant(0.0029444)
    '0.002944'
    """
    if value is None or math.isnan(value):
        return "–"
    return f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:.0f}"


def dataset_name(source: str) -> str:
    """Return the name by which results of a data set are kept; a TOML file holds its own."""
    if ".toml" not in source.lower():
        return source
    from paretocast.data import find_spec

    return find_spec(source).name


def duration(seconds: float) -> str:
    """Hours, minutes and seconds for people.

    >>> duration(3725)
    '1 h 2 min'
    """
    if seconds < 60.0:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
