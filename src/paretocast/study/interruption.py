"""Ctrl-C, SIGTERM and a closed terminal as a question that a study asks between two steps."""

from __future__ import annotations

import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Self

STOPPING = (
    "stopping after this step; Ctrl-C again ends at once and loses what was trained since the last "
    "rung"
)


class StopRequest:
    """A request to stop: the first Ctrl-C asks, the second one ends at once.

    Outside the main thread, where Python hands out no signals, nobody can ask.

    Parameters
    ----------
    say : callable
        Given one sentence for the user at the first request.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._requested = self._at_once = False
        self._handlers: dict[int, Any] = {}
        self._earlier_hook = sys.unraisablehook

    def __call__(self) -> bool:
        """Return whether a stop was requested; raise KeyboardInterrupt if it was twice."""
        if self._at_once:
            raise KeyboardInterrupt
        return self._requested

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                    continue  # nohup: the search outlives its terminal
                self._handlers[number] = signal.signal(number, self._on_signal)
            self._earlier_hook, sys.unraisablehook = sys.unraisablehook, self._on_unraisable
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if self._handlers:
            sys.unraisablehook = self._earlier_hook

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._requested = True
        signal.signal(signal.SIGINT, self._on_second)
        self._say(STOPPING)

    def _on_second(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._at_once = True  # the next question raises, should Python drop this one
        raise KeyboardInterrupt

    def _on_unraisable(self, dropped: sys.UnraisableHookArgs) -> None:
        """Pass on what is raised while Python tidies up, but for a Ctrl-C: it comes again."""
        if dropped.exc_type is not KeyboardInterrupt:
            self._earlier_hook(dropped)
