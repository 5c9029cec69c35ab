"""Events of a deployment: a file that only grows, a line of JSON for each.

A line is written at once and ends with a line feed. What a killed process or a full disk has left
without one is no event: reading passes over it, and the next event is written in its place.
"""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from paretocast.deployment.stored import EventLine
from paretocast.errors import StoreError
from paretocast.workspace import files
from paretocast.workspace.stored import check

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MOST_BYTES = 1 << 30  # of the events of a deployment
ADVICE = "put the file back as it was, or take the line out"


class EventLog:
    """The events of a file; each line is read once.

    Parameters
    ----------
    path : Path
        Need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._events: tuple[dict[str, Any], ...] = ()
        self._n_bytes = 0  # of the whole lines that have been read

    def add(self, event: str, facts: dict[str, Any]) -> None:
        """Write an event with the time of the clock; no other process may write meanwhile."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        line = json.dumps({"time": now, "event": event, **facts}, ensure_ascii=False)
        files.append_line(self.path, line)

    def read(self) -> Sequence[dict[str, Any]]:
        """Events in their order, those included that others have written by now.

        Raises
        ------
        StoreError
            If the file cannot be read, or a whole line is no event.
        """
        try:
            with files.open_regular(self.path) as file:
                if file.seek(0, 2) < self._n_bytes:  # another file is there now
                    self._events, self._n_bytes = (), 0
                file.seek(self._n_bytes)
                added = file.read(MOST_BYTES + 1)
        except FileNotFoundError:
            self._events, self._n_bytes, added = (), 0, b""
        except OSError as error:
            raise StoreError(f"{self.path} cannot be read: {error.strerror}") from error
        if len(added) > MOST_BYTES:
            raise StoreError(f"{self.path} has more than {MOST_BYTES >> 20} MiB, as no events have")
        whole, line_feed, _ = added.rpartition(b"\n")
        if line_feed:
            numbers = itertools.count(len(self._events) + 1)
            self._events += tuple(map(self._parsed, whole.split(b"\n"), numbers))
            self._n_bytes += len(whole) + 1
        return self._events

    def _parsed(self, line: bytes, number: int) -> dict[str, Any]:
        origin = f"line {number} of {self.path}"
        event: dict[str, Any] = files.parse_json(line, origin)
        check(event, EventLine, origin=origin, advice=ADVICE)
        return event
