"""A Ctrl-C that ends a command wherever it comes, and in one line."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Until then whatever Python was tidying up has ended.
AGAIN_SECONDS = 0.05


@contextmanager
def lasting_ctrl_c() -> Iterator[None]:
    """Have a Ctrl-C come again that Python drops: in a destructor, or a callback of one."""
    earlier = sys.unraisablehook

    def again(dropped: sys.UnraisableHookArgs) -> None:
        if dropped.exc_type is not KeyboardInterrupt:
            earlier(dropped)
            return
        # To the thread itself: it wakes one that waits, as Ctrl-C does.
        main = threading.main_thread().ident
        timer = threading.Timer(AGAIN_SECONDS, signal.pthread_kill, (main, signal.SIGINT))
        timer.daemon = True
        timer.start()

    sys.unraisablehook = again
    try:
        yield
    finally:
        sys.unraisablehook = earlier


def is_ctrl_c(error: BaseException | None) -> bool:
    """Return whether an error stands for a Ctrl-C: a library may not load because of it."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False
