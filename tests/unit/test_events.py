"""The event log of a deployment: lines that are added, torn ones, damaged ones."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from paretocast.deployment.events import EventLog
from paretocast.deployment.hosting import HostedDeployment
from paretocast.deployment.journal import Deployment
from paretocast.errors import StoreError
from paretocast.workspace import files


@pytest.fixture
def log(tmp_path: Path) -> EventLog:
    """A log with two events."""
    log = EventLog(tmp_path / "journal" / "events.jsonl")
    log.add("deploy", {"bundle": "a"})
    log.add("observe", {"new": 24})
    return log


def names(log: EventLog) -> list[str]:
    return [event["event"] for event in log.read()]


def test_events_are_added_in_their_order(log: EventLog) -> None:
    assert names(log) == ["deploy", "observe"]
    log.add("monitor", {"state": "fine", "reason": "Wärme\nund mehr"})
    assert names(log) == names(EventLog(log.path)) == ["deploy", "observe", "monitor"]
    assert log.read()[-1]["reason"] == "Wärme\nund mehr"
    assert pd.Timestamp(log.read()[-1]["time"]).tzinfo is not None


def test_nothing_that_is_there_is_written_again(log: EventLog) -> None:
    before, inode = log.path.read_bytes(), log.path.stat().st_ino
    log.add("monitor", {})
    assert log.path.read_bytes().startswith(before)
    assert log.path.stat().st_ino == inode


@pytest.mark.parametrize("length", range(1, 70, 4))
def test_a_torn_last_line_is_no_event_and_gives_way_to_the_next_one(
    log: EventLog, length: int
) -> None:
    whole = log.path.read_bytes()
    line = b'{"time": "2026-11-25T00:00:00+00:00", "event": "monitor", "state": "al"}\n'
    log.path.write_bytes(whole + line[:length])
    assert names(log) == names(EventLog(log.path)) == ["deploy", "observe"]
    log.add("retrain", {})
    assert names(log) == names(EventLog(log.path)) == ["deploy", "observe", "retrain"]
    assert log.path.read_bytes().startswith(whole + b'{"time"')


def test_a_torn_line_longer_than_a_page_is_cut_too(log: EventLog) -> None:
    whole = log.path.read_bytes()
    log.path.write_bytes(whole + b"\0" * (3 * files.TAIL_BYTES))
    log.add("retrain", {})
    assert names(EventLog(log.path)) == ["deploy", "observe", "retrain"]
    log.path.write_bytes(b"{" * (2 * files.TAIL_BYTES))  # the first line of all
    log.add("deploy", {})
    assert names(log) == names(EventLog(log.path)) == ["deploy"]


@pytest.mark.parametrize("damage", ["{", "", "[]", '{"event": "ob'])
def test_a_damaged_line_before_the_end_is_an_error(log: EventLog, damage: str) -> None:
    first, second = log.path.read_text().splitlines()
    log.path.write_text(f"{first}\n{damage}\n{second}\n")
    with pytest.raises(StoreError, match=r"events\.jsonl is damaged"):
        EventLog(log.path).read()


def test_each_line_is_read_once(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    log.read()
    parsed: list[bytes] = []
    once = EventLog._parsed

    def counted(log: EventLog, line: bytes, number: int) -> dict[str, object]:
        parsed.append(line)
        return once(log, line, number)

    monkeypatch.setattr(EventLog, "_parsed", counted)
    other = EventLog(log.path)
    other.add("monitor", {})
    assert names(log)[-1] == "monitor"  # another process has added it
    assert len(parsed) == 1
    log.add("retrain", {})
    assert (len(log.read()), len(log.read()), len(parsed)) == (4, 4, 2)


def test_a_file_that_was_put_back_is_read_anew(log: EventLog) -> None:
    first = log.path.read_text().splitlines()[0]
    log.read()
    log.path.write_text(f"{first}\n")
    assert names(log) == ["deploy"]
    log.path.unlink()
    assert names(log) == []


def test_a_full_disk_leaves_the_events_as_they_were(log: EventLog) -> None:
    # A limit on file sizes stands in for the full disk: the kernel takes a part of the line.
    code = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from paretocast.errors import StoreError\n"
        "from paretocast.deployment.events import EventLog\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "path = Path(sys.argv[1])\n"
        "limit = path.stat().st_size + 10\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))\n"
        "try:\n    EventLog(path).add('monitor', {})\n"
        "except StoreError as error:\n    print(error)\n"
    )
    before = log.path.read_bytes()
    words = [sys.executable, "-c", code, str(log.path)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=dict(os.environ))
    assert "events.jsonl cannot be written: No space left on device" in done.stdout
    assert log.path.read_bytes() == before


def test_a_new_event_is_seen_by_a_server(tmp_path: Path) -> None:
    hosted, deployment = HostedDeployment(tmp_path), Deployment(tmp_path)
    stamps = [hosted._stamp()]
    for _ in range(3):
        deployment.note("monitor", state="fine")
        stamps.append(hosted._stamp())
    assert all(stamps[i] != stamps[i + 1] for i in range(3))
