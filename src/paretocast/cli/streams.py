"""Stdout and stderr that lose no results: full, closed, gone, or of another encoding than UTF-8."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TextIO


class LastingStream:
    """A text stream whose first failed write sends all further ones nowhere.

    A search goes on when its terminal or its disk is gone; `failure` tells `main` of it at the end.
    A reader that has closed its end of a pipe is told at once instead, where `pipe_ends` is set:
    it wants no more.
    """

    def __init__(self, stream: TextIO, *, pipe_ends: bool) -> None:
        self._stream = stream
        self._pipe_ends = pipe_ends
        self.failure: OSError | None = None

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  (whatever the stream has)
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text, or drop it."""
        try:
            return self._stream.write(text)
        except OSError as error:
            self._give_up(error)
            return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write lines, or drop them."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush what was written, or drop it."""
        try:
            self._stream.flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self.failure = self.failure or error
        with contextlib.suppress(OSError, ValueError):  # what is buffered has to go somewhere
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
        if self._pipe_ends and isinstance(error, BrokenPipeError):
            raise error


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123  (kept to the end)


def protect_streams() -> tuple[LastingStream, LastingStream]:
    """Put a `LastingStream` in place of stdout and stderr; return them.

    A character that their encoding lacks is written as an escape. A stream that was closed before
    the start is opened on nothing: the next file would take its number, and what libraries print.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    out = LastingStream(sys.stdout or _nowhere(), pipe_ends=True)
    err = LastingStream(sys.stderr or _nowhere(), pipe_ends=False)
    # Streams in all but their class.
    sys.stdout, sys.stderr = cast("TextIO", out), cast("TextIO", err)
    return out, err
