"""Claims and locks between real processes; the lease between machines with times set by hand."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from paretocast.errors import StoreError
from paretocast.workspace import claims
from paretocast.workspace.claims import Claim, StudyLock, claim_owner

TAKE = """
import sys
from pathlib import Path
from paretocast.workspace.claims import Claim
claim = Claim.take(Path(sys.argv[1]), worker=3)
print("taken" if claim else "refused", flush=True)
sys.stdin.read()
"""
LOCK = """
import sys
from pathlib import Path
from paretocast.workspace.claims import StudyLock
with StudyLock(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


@contextmanager
def process(code: str, path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that lives until it is killed or its stdin ends."""
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as started:
        try:
            yield started
        finally:
            started.kill()


def first_word(started: subprocess.Popen[str]) -> str:
    assert started.stdout is not None
    return started.stdout.readline().strip()


def until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 4.0
    while not condition() and time.monotonic() < deadline:
        os.sched_yield()
    return condition()


def claim_of_another_machine(folder: Path, *, age_seconds: float) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    owner = {"host": "n2", "machine": "another kernel", "pid": 1, "worker": 0, "started": 0.0}
    (folder / "claim.0").write_text(json.dumps(owner), encoding="utf-8")
    stamp = time.time() - age_seconds
    os.utime(folder / "claim.0", (stamp, stamp))


def test_a_folder_is_claimed_once_and_free_again_after_its_release(tmp_path: Path) -> None:
    first = Claim.take(tmp_path / "0001")
    assert first is not None
    assert Claim.take(tmp_path / "0001") is None
    first.release()
    second = Claim.take(tmp_path / "0001")
    assert second is not None
    second.release()


def test_work_that_is_done_leaves_no_claim_behind(tmp_path: Path) -> None:
    first = Claim.take(tmp_path)
    assert first is not None
    first.release()
    second = Claim.take(tmp_path)
    assert second is not None
    second.settle()
    second.release()  # nothing more to release
    assert list(tmp_path.iterdir()) == []


def test_of_several_processes_that_want_a_folder_one_gets_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", TAKE, str(tmp_path / "0001")]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(5)
    ]
    try:
        assert sorted(map(first_word, running)) == ["refused"] * 4 + ["taken"]
    finally:
        for taker in running:
            taker.kill()
            taker.communicate()


def test_what_a_killed_process_claimed_is_free_at_once(tmp_path: Path) -> None:
    with process(TAKE, tmp_path) as holder:
        assert first_word(holder) == "taken"
        owner = claim_owner(tmp_path)
        assert owner is not None
        assert (owner["pid"], owner["worker"]) == (holder.pid, 3)
        assert Claim.take(tmp_path) is None
        holder.kill()
        holder.wait()
        assert claim_owner(tmp_path) is None
        taken = Claim.take(tmp_path)
    assert taken is not None
    taken.settle()
    assert list(tmp_path.iterdir()) == []


def test_a_claim_of_another_machine_holds_until_its_lease_lapses(tmp_path: Path) -> None:
    claim_of_another_machine(tmp_path / "young", age_seconds=50.0)
    claim_of_another_machine(tmp_path / "old", age_seconds=70.0)
    assert Claim.take(tmp_path / "young", lease_seconds=60.0) is None
    taken = Claim.take(tmp_path / "old", lease_seconds=60.0)
    assert taken is not None
    taken.release()


def test_a_lease_is_kept_up_while_its_process_lives(tmp_path: Path) -> None:
    claim = Claim.take(tmp_path, heartbeat_seconds=0.01)
    assert claim is not None
    os.utime(tmp_path / "claim.0", (0.0, 0.0))
    assert until(lambda: (tmp_path / "claim.0").stat().st_mtime > 0.0)
    claim.release()


def test_of_two_that_find_the_same_dead_claim_one_takes_it_over(tmp_path: Path) -> None:
    claim_of_another_machine(tmp_path, age_seconds=70.0)
    first = claims._link(tmp_path, 1, worker=0)
    assert first is not None
    assert claims._link(tmp_path, 1, worker=1) is None
    first.close()


def test_a_process_that_was_held_up_learns_that_its_work_was_taken_over(tmp_path: Path) -> None:
    claim = Claim.take(tmp_path, heartbeat_seconds=0.01)
    assert claim is not None
    assert claim.still_held()
    (tmp_path / "claim.1").write_text("{}", encoding="utf-8")
    assert not claim.still_held()
    assert until(lambda: claim.lost)
    claim.release()


def test_a_process_that_was_held_up_learns_that_its_work_was_done(tmp_path: Path) -> None:
    claim = Claim.take(tmp_path, heartbeat_seconds=0.01)
    assert claim is not None
    for number in (1, 0):  # as one leaves it that took over, ended the trial and settled
        (tmp_path / f"claim.{number}").unlink(missing_ok=True)
    assert not claim.still_held()
    assert until(lambda: claim.lost)
    claim.release()


def test_a_lock_that_outlives_its_machine_does_not_hold_a_claim(tmp_path: Path) -> None:
    claim_of_another_machine(tmp_path, age_seconds=70.0)
    with (tmp_path / "claim.0").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        taken = Claim.take(tmp_path, lease_seconds=60.0)
    assert taken is not None
    taken.release()


def test_who_is_swept_away_by_one_that_settles_takes_nothing_and_steals_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept: list[str] = []

    def touch_and_lose(path: Path, *_: object) -> None:
        path.write_bytes(b"")
        if not swept:
            path.unlink()
        swept.append(path.name)

    claim_of_another_machine(tmp_path / "young", age_seconds=50.0)
    monkeypatch.setattr(Path, "touch", touch_and_lose)
    assert Claim.take(tmp_path / "young", lease_seconds=60.0) is None
    assert len(set(swept)) == 2  # asked again, under another name

    def link_too_late(source: Path, _: Path) -> None:
        source.unlink()
        raise FileNotFoundError

    monkeypatch.setattr(os, "link", link_too_late)
    assert Claim.take(tmp_path / "free") is None


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file/0001 cannot be claimed: Not a directory"):
        Claim.take(tmp_path / "file" / "0001")


def test_a_lock_keeps_others_out_and_dies_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    with process(LOCK, path) as holder:
        assert first_word(holder) == "locked"
        with (
            pytest.raises(StoreError, match="locked by another process"),
            StudyLock(path, patience_seconds=0.05),
        ):
            pass
        holder.kill()
        holder.wait()
        with StudyLock(path, patience_seconds=0.05):
            pass
