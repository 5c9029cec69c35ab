"""Commands in child processes that are killed, or find no room on the disk, at a chosen write.

Python tells an audit hook before it opens, renames, makes or removes a file; those events under one
folder are the writes that are counted. A full disk has two faces: no room for a new file, and no
room for what is written into one, for which a limit on the size of files stands in.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
import sys
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

# What Python reports before it changes a file or a folder.
CHANGES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.link"}
NEEDS_ROOM = {"os.mkdir", "os.link"}
MOST_BYTES = 100  # of a file once the disk is full


class Fault(Enum):
    """What happens at a write."""

    KILL = "kill"
    NO_FILE = "no room for a file"
    NO_CONTENT = "no room for content"


@dataclass(frozen=True)
class Ended:
    """The end of a child.

    Attributes
    ----------
    code : int or None
        Exit code; None if it was killed.
    n_writes : int
        That it has begun; 0 if it was killed.
    said : str
        What it has printed.
    """

    code: int | None
    n_writes: int
    said: str


class Writes:
    """Writes under a folder, counted by an audit hook, with a fault at one of them."""

    def __init__(self, folder: Path, *, at: int | None, fault: Fault) -> None:
        self._folder, self._at, self._fault = str(folder.absolute()), at, fault
        self._is_full = False
        self.n = 0
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[object, ...]) -> None:
        opened = event == "open" and _writes(arguments[1], arguments[2])
        if not (opened or event in CHANGES) or not self._is_inside(arguments[0]):
            return
        self.n += 1
        if self.n == self._at:
            self._happens()
        if self._is_full and (opened or event in NEEDS_ROOM):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.fsdecode(str(arguments[0])))

    def _is_inside(self, path: object) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return False
        return os.path.abspath(os.fsdecode(path)).startswith(self._folder)  # noqa: PTH100

    def _happens(self) -> None:
        if self._fault is Fault.KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        if self._fault is Fault.NO_FILE:
            self._is_full = True
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_BYTES, hard))


def _writes(mode: object, flags: object) -> bool:
    if isinstance(mode, str):
        return bool(set(mode) & set("wax+"))
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def run_child(
    work: Callable[[], int | None],
    folder: Path,
    *,
    at: int | None = None,
    fault: Fault = Fault.KILL,
    kill_after: float | None = None,
) -> Ended:
    """Run some work in a forked process and return how it ended.

    Parameters
    ----------
    work : callable
        Gives the exit code; None is 0.
    folder : Path
        Whose writes are counted.
    at : int, optional
        Number of the write at which the fault happens; none without it.
    kill_after : float, optional
        Seconds after which the process is killed from outside.
    """
    (said_from, said_to), (n_from, n_to) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        _child(work, folder, at=at, fault=fault, pipes=(said_to, n_to))
    os.close(said_to)
    os.close(n_to)
    if kill_after is not None:
        signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
        signal.setitimer(signal.ITIMER_REAL, max(kill_after, 1e-3))
    said, counted = _read(said_from), _read(n_from)
    signal.setitimer(signal.ITIMER_REAL, 0.0)  # its pipes are closed: it has ended
    _, status = os.waitpid(child, 0)
    code = None if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    return Ended(code, int(counted or 0), said)


def _child(
    work: Callable[[], int | None],
    folder: Path,
    *,
    at: int | None,
    fault: Fault,
    pipes: Sequence[int],
) -> None:
    """Work, tell and end; what a process prints goes to a pipe, which no full disk stops."""
    code, (said, counted) = 70, pipes
    try:
        os.dup2(said, 1)
        os.dup2(said, 2)
        sys.stdout, sys.stderr = (
            os.fdopen(number, "w", encoding="utf-8", buffering=1, closefd=False)
            for number in (1, 2)
        )
        writes = Writes(folder, at=at, fault=fault)
        code = work() or 0
        os.write(counted, str(writes.n).encode())
    except BaseException:  # noqa: BLE001  (a child must not return into its parent's code)
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _read(descriptor: int) -> str:
    with os.fdopen(descriptor, "rb") as file:
        return file.read().decode(errors="replace")
