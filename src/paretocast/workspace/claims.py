"""Claims on folders, and the study lock, for several processes that share a study on disk.

A *claim* says that a process is at work in a folder. Claims of a folder are numbered; the last one
counts, and the next number can be linked by one process only, on network file systems too. A claim
is open to be taken over once its process is gone. On the same machine the kernel says so at once:
a claim is locked as long as its process lives. From another machine it is a lease: its file is
touched every few seconds, and one that has not been touched for a minute, by the clock of the file
system, has lapsed.

A *study lock* keeps the processes of a study apart while they decide who does what.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import socket
import threading
import time
import uuid
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paretocast.errors import StoreError
from paretocast.workspace import files, stored

if TYPE_CHECKING:
    from typing import BinaryIO, Self

MOST_CLAIM_BYTES = 4096
HEARTBEAT_SECONDS = 5.0
# Twelve heartbeats: a network file system may show a touch late, and a node may be very busy.
LEASE_SECONDS = 60.0
LOCK_PATIENCE_SECONDS = 300.0


class StudyLock:
    """Mutual exclusion between all processes of a study; a `with` statement holds it.

    Parameters
    ----------
    path : Path
        File of the lock, in a folder that exists. It stays there; the kernel frees the lock of a
        process that dies.
    """

    def __init__(self, path: Path, *, patience_seconds: float = LOCK_PATIENCE_SECONDS) -> None:
        self._path = path
        self._patience = patience_seconds
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        """Wait for the lock.

        Raises
        ------
        StoreError
            If the file system has no locks, or a process holds this one for minutes.
        """
        try:
            file = self._path.open("ab")
        except OSError as error:
            raise StoreError(f"{self._path} cannot be written: {error.strerror}") from error
        try:
            self._wait_for(file)
        except BaseException:
            file.close()
            raise
        self._file = file
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()  # which frees the lock
            self._file = None

    def _wait_for(self, file: BinaryIO) -> None:
        started, pause = time.monotonic(), 0.001
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() - started > self._patience:
                    raise StoreError(
                        f"{self._path} has been locked by another process for "
                        f"{self._patience:.0f} s; end that process, then try again"
                    ) from None
                time.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(2.0 * pause, 0.05)
            except OSError as error:
                raise StoreError(
                    f"{self._path.parent} lies on a file system without locks ({error.strerror}); "
                    "choose a --workspace on one that has them"
                ) from error
            else:
                return


class Claim:
    """A folder that this process works in, until `release` or `settle`.

    A thread keeps the lease up. Where another process took the folder over regardless, because
    this one was held up beyond its lease, `lost` says so: its result must not be kept.
    """

    def __init__(
        self, folder: Path, number: int, file: BinaryIO, *, heartbeat_seconds: float
    ) -> None:
        self._folder = folder
        self._number = number
        self._file = file
        self._lost = False
        self._ended = threading.Event()
        self._thread = threading.Thread(
            target=self._keep_up, args=(heartbeat_seconds,), daemon=True, name=f"claim {folder}"
        )
        self._thread.start()

    @classmethod
    def take(
        cls,
        folder: Path,
        *,
        worker: int = 0,
        lease_seconds: float = LEASE_SECONDS,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> Self | None:
        """The claim on a folder, made where it is missing; None if a living process holds it.

        Raises
        ------
        StoreError
            If the file system refuses.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            latest = _latest(folder)
            if latest >= 0 and _is_alive(folder, latest, lease_seconds=lease_seconds):
                return None
            file = _link(folder, latest + 1, worker=worker)
        except OSError as error:
            raise StoreError(f"{folder} cannot be claimed: {error.strerror}") from error
        if file is None:
            return None
        return cls(folder, latest + 1, file, heartbeat_seconds=heartbeat_seconds)

    @property
    def folder(self) -> Path:
        """The claimed folder."""
        return self._folder

    def deaths_before(self, *, since: float) -> int:
        """Number of processes that took this folder after a moment and died over it.

        Parameters
        ----------
        since : float
            Seconds since the epoch, such as those of a checkpoint that one of them has left.
        """
        owners = (_owner(_path(self._folder, number)) for number in range(self._number))
        return sum(owner is not None and owner["started"] > since for owner in owners)

    @property
    def lost(self) -> bool:
        """True once a heartbeat has noticed that another process took the folder over."""
        return self._lost

    def still_held(self) -> bool:
        """Return whether no other process has taken the folder over so far, nor settled it."""
        own, following = (_path(self._folder, self._number + i) for i in (0, 1))
        return own.exists() and not following.exists()

    def release(self) -> None:
        """Empty the claim, so that any process may take the folder; nothing if it is settled."""
        self._stop()
        with contextlib.suppress(OSError, ValueError):
            self._file.truncate(0)
        self._file.close()

    def settle(self) -> None:
        """Remove all claims on the folder: the work is done."""
        self._stop()
        for number in range(self._number, -1, -1):  # the last one goes first: no gap at any time
            _path(self._folder, number).unlink(missing_ok=True)
        for temporary in self._folder.glob(".claim.*"):
            temporary.unlink(missing_ok=True)
        self._file.close()

    def _stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _keep_up(self, heartbeat_seconds: float) -> None:
        while not self._ended.wait(heartbeat_seconds):
            with contextlib.suppress(OSError):  # the next one may get through
                self._lost = self._lost or not self.still_held()
                os.utime(_path(self._folder, self._number))


def claim_owner(folder: Path, *, lease_seconds: float = LEASE_SECONDS) -> dict[str, Any] | None:
    """Host, pid, worker and start of the living process at work in a folder; None if none is."""
    latest = _latest(folder)
    if latest < 0 or not _is_alive(folder, latest, lease_seconds=lease_seconds):
        return None
    return _owner(_path(folder, latest))


@cache
def machine_id() -> str:
    """Id of the running kernel: processes that share it see each other's file locks.

    The host's name is part of it: copies of a virtual machine may share the rest.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        boot = ""
    return f"{socket.gethostname()} {boot}".strip()


def _path(folder: Path, number: int) -> Path:
    return folder / f"claim.{number}"


def _latest(folder: Path) -> int:
    """Number of the claim that counts; -1 without one.

    Counted up by name instead of listed: a network file system may show an old listing.
    """
    number = -1
    while _path(folder, number + 1).exists():
        number += 1
    return number


def _is_alive(folder: Path, number: int, *, lease_seconds: float) -> bool:
    try:
        file = _path(folder, number).open("rb")
    except FileNotFoundError:
        return False
    with file:
        owner = _parsed(file.read(MOST_CLAIM_BYTES))
        if owner is None:
            return False  # released
        here = owner["machine"] == machine_id()
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            if here:
                return True
            # A lock of another machine may outlive it: the lease decides.
        except OSError:
            pass  # no locks here: the lease decides
        else:
            if here:
                return False
        age = _file_system_now(folder) - os.fstat(file.fileno()).st_mtime
        return age < lease_seconds


def _link(folder: Path, number: int, *, worker: int) -> BinaryIO | None:
    """Make the claim of a number, locked and complete at once; None if another was faster."""
    temporary = folder / f".claim.{uuid.uuid4().hex}"
    file = temporary.open("w+b")
    try:
        with contextlib.suppress(OSError):  # without locks the lease alone stands for it
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        owner = {
            "host": socket.gethostname(),
            "machine": machine_id(),
            "pid": os.getpid(),
            "worker": worker,
            "started": time.time(),
        }
        file.write(json.dumps(owner).encode("utf-8"))
        file.flush()
        os.fsync(file.fileno())  # another machine must not read it empty, which means released
        os.link(temporary, _path(folder, number))
    except (FileExistsError, FileNotFoundError):  # the latter: one that settled has swept it away
        file.close()
        return None
    except BaseException:
        file.close()
        raise
    finally:
        temporary.unlink(missing_ok=True)
    return file


def _owner(path: Path) -> dict[str, Any] | None:
    try:
        return _parsed(files.load_bytes(path, most=MOST_CLAIM_BYTES))
    except (OSError, StoreError):
        return None


def _parsed(content: bytes) -> dict[str, Any] | None:
    try:
        owner = json.loads(content)
        stored.check(owner, stored.ClaimFile, origin="the claim")
    except (RecursionError, StoreError, ValueError):
        return None
    return dict(owner)


def _file_system_now(folder: Path) -> float:
    """The clock that stamps files here, which on a network is not the one of this machine."""
    while True:
        probe = folder / f".claim.clock.{uuid.uuid4().hex}"
        probe.touch()
        with contextlib.suppress(FileNotFoundError):  # one that settled has swept it away
            now = probe.stat().st_mtime
            probe.unlink(missing_ok=True)
            return now
