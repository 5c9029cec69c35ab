"""Files of a deployment that were damaged: one error that names file, line and value."""

from __future__ import annotations

from pathlib import Path

import pytest

from paretocast.deployment.bundle import load_bundle
from paretocast.deployment.hosting import Hosting
from paretocast.deployment.journal import Deployment
from paretocast.errors import StoreError
from paretocast.workspace import files

HEAD = "target_time,value,known_at,revision\n"
ROW = "2026-11-25T00:00:00+00:00,1.5,2026-11-26T00:00:00+00:00,1\n"


def observed(folder: Path, text: str) -> Deployment:
    files.save_text(folder / "journal" / "observed.csv", text)
    return Deployment(folder)


def test_observations_are_read(tmp_path: Path) -> None:
    later = ROW.replace(",1.5,", ",2.5,").replace(",1\n", ",2\n")
    (first, second) = observed(tmp_path, HEAD + ROW + later).observations()
    assert (first.value, first.revision, second.value, second.revision) == (1.5, 1, 2.5, 2)
    assert first.second == second.second == 1795564800


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (ROW, "line 1 of .*observed.csv is damaged: expected the columns target_time, value"),
        (HEAD + ROW + ROW, "line 3 of .*: revision 1 of .* is out of its order"),
        (HEAD + ROW.replace(",1\n", ",2\n"), "line 2 of .*: revision 2"),
        (HEAD + ROW.replace("1.5", "nan"), "the value is nan"),
        (HEAD + ROW.replace("1.5", "1e999"), "the value is 1e999"),
        (HEAD + ROW.replace("1.5", "x"), "could not convert"),
        (HEAD + ROW.replace("2026-11-25", "9999-11-25"), "expected a year from 1678 to 2261"),
        (HEAD + ROW.replace("00:00+00:00,1.5", "00:00,1.5"), "expected a time with its zone"),
        (HEAD + "a\n", "it has 1 cells, expected 4"),
        (HEAD + ROW[:20], "it has 1 cells"),
        (HEAD + f'"{"x" * 200_000}"', "field larger than field limit"),
    ],
)
def test_damaged_observations_are_told_by_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(StoreError, match=says):
        observed(tmp_path, text).observations()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"event": "monitor"}', "line 1 of .*time is missing"),
        ('{"time": "2026-11-25T00:00:00", "event": "x"}', "with its zone"),
        ('{"time": "2026-11-25T00:00:00Z", "event": 5}', "event is 5"),
        ('{"time": "2026-11-25T00:00:00Z", "event": "forecast"}', "lacks its issue"),
        ('{"time": "2026-11-25T00:00:00Z", "event": "x", "before": null}', "lacks its bundle"),
        ('{"time": "2026-11-25T00:00:00Z", "event": "x", "bundle": "../.."}', "bundle is"),
        ("[" * 100_000, "nested more than 32 deep"),
        ("[1]", "the file is \\[1\\]"),
    ],
)
def test_damaged_events_are_told_by_line(tmp_path: Path, line: str, says: str) -> None:
    files.save_text(tmp_path / "journal" / "events.jsonl", f"{line}\n")
    with pytest.raises(StoreError, match=says):
        Deployment(tmp_path).events()


@pytest.mark.parametrize("name", ["", "../../etc", ".new-1", "a/b", "\0", "x" * 300, "é"])
def test_a_pointer_to_no_bundle_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "current").write_text(name)
    for read in (lambda: Deployment.open(tmp_path).current, lambda: load_bundle(tmp_path)):
        with pytest.raises(StoreError, match=r"current is damaged: it holds '.*events\.jsonl"):
            read()


def test_a_pointer_that_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "current").write_bytes(b"\xff\xfe")
    with pytest.raises(StoreError, match="current is damaged"):
        load_bundle(tmp_path)


def test_a_folder_that_nobody_may_look_into_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("heat", "water"):
        files.save_text(tmp_path / name / "current", "a\n")
    whole = Path.exists

    def exists(path: Path) -> bool:
        if path.parent.name == "heat":
            raise PermissionError(13, "Permission denied", str(path))
        return whole(path)

    monkeypatch.setattr(Path, "exists", exists)
    assert Hosting(tmp_path).names() == ["heat", "water"]
