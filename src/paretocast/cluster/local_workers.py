"""Workers as processes of this machine, started and ended by one parent.

Each worker leads a process group of its own: Ctrl-C reaches the parent only, which then asks its
workers to stop. A worker whose parent has died finds that out by itself (`is_orphan`).
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from paretocast.errors import ExecutionError
from paretocast.workspace.progress import last_lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Self

PARENT_VARIABLE = "PARETOCAST_PARENT"


@dataclass(frozen=True)
class WorkerEnd:
    """End of a worker process.

    Attributes
    ----------
    code : int
        Exit code; below 0, the signal that killed it.
    last_words : str
        The last line of its log; empty if there is none.
    """

    index: int
    code: int
    last_words: str

    @property
    def reason(self) -> str:
        """One phrase for people."""
        if self.code < 0:
            return f"was killed by {signal.Signals(-self.code).name}"
        words = f": {self.last_words}" if self.last_words else ""
        return f"ended with exit code {self.code}{words}"


class LocalWorkers:
    """A group of processes; leaving the `with` block ends those that still run.

    Parameters
    ----------
    commands : sequence of sequence of str
        Words of each worker's command.
    logs : sequence of Path
        Files that take each worker's output and errors.
    environment : mapping
        Variables beside those of this process.

    Raises
    ------
    ExecutionError
        If a process or its log cannot be started.
    """

    def __init__(
        self,
        commands: Sequence[Sequence[str]],
        *,
        logs: Sequence[Path],
        environment: Mapping[str, str],
    ) -> None:
        self._logs = tuple(logs)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._reported: set[int] = set()
        everything = {**os.environ, **environment, PARENT_VARIABLE: str(os.getpid())}
        try:
            for command, log in zip(commands, logs, strict=True):
                log.parent.mkdir(parents=True, exist_ok=True)
                with log.open("wb") as output:
                    self._processes.append(
                        subprocess.Popen(
                            command,
                            stdin=subprocess.DEVNULL,
                            stdout=output,
                            stderr=subprocess.STDOUT,
                            env=everything,
                            start_new_session=True,
                        )
                    )
        except OSError as error:
            self.end()
            raise ExecutionError(f"worker cannot be started: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def n_running(self) -> int:
        """Workers that have not ended."""
        return sum(process.poll() is None for process in self._processes)

    def newly_ended(self) -> tuple[WorkerEnd, ...]:
        """Workers that have ended since this was last asked."""
        ended = []
        for index, process in enumerate(self._processes):
            code = process.poll()
            if code is not None and index not in self._reported:
                self._reported.add(index)
                last_words = "".join(last_lines(self._logs[index], 1)).strip()
                ended.append(WorkerEnd(index, code, last_words))
        return tuple(ended)

    def ask_to_stop(self) -> None:
        """Have every worker put its trial away."""
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)

    def end(self, *, grace_seconds: float = 10.0) -> None:
        """Ask every worker to stop and kill those that do not in time."""
        self.ask_to_stop()
        deadline = time.monotonic() + grace_seconds
        for process in self._processes:
            try:
                process.wait(timeout=max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def has_parent(environment: Mapping[str, str]) -> bool:
    """True if this process is a worker that another one started on this machine."""
    return PARENT_VARIABLE in environment


def is_orphan(environment: Mapping[str, str]) -> bool:
    """True if the parent that started this worker is gone."""
    parent = environment.get(PARENT_VARIABLE)
    return parent is not None and os.getppid() != int(parent)
