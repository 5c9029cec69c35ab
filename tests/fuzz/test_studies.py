"""Damaged files of a real study through the commands that read a workspace.

No traceback, an exit code that is documented, and what belongs to the other study of the workspace
is shown whatever has happened to the first one. Of the damaged study a command says what it said of
the whole one, or it names the damaged file.
"""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands import exit_code
from mutations import damaged_file, with_commands
from paretocast.workspace import stored

STORED = Path(__file__).parents[1] / "data" / "earlier_study"
COMMANDS = {
    "status": ["status", "--json", "--workspace", "hpo"],
    "analyze": ["analyze", "--format", "csv", "--workspace", "hpo"],
    "consolidate": ["consolidate", "--workspace", "hpo"],
    "calibrate": ["calibrate", "hpo/results/NHITS_Q_small"],
    "diagnose": ["diagnose", "hpo/results/NHITS_Q_small"],
    "export": ["export", "hpo/results/NHITS_Q_small", "--forecasts", "hpo/trials.csv"],
}
OVER_ALL = ("status", "analyze", "consolidate")
FILES = (
    *("best_params_NHITS_Q_small_old.json", "manifest_old.json"),
    *("trials_old/0003/record.json", "trials_old/0003/proposal.json"),
    "trials_old/0003/forecasts.npz",
)


@dataclass(frozen=True)
class Workspace:
    """A folder with `hpo`, which is damaged, and `whole`, which it is put back from.

    Attributes
    ----------
    said : dict
        What each command says of the whole.
    """

    folder: Path
    said: dict[str, str]

    @property
    def run(self) -> Path:
        return self.folder / "hpo" / "results" / "NHITS_Q_small"

    def restore(self) -> None:
        shutil.rmtree(self.folder / "hpo", ignore_errors=True)
        shutil.copytree(self.folder / "whole", self.folder / "hpo")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Two studies, one of them on a data set that is called `other`, as they are written now."""
    folder = tmp_path_factory.mktemp("studies")
    shutil.copytree(STORED, folder, dirs_exist_ok=True)
    run = folder / "hpo" / "results" / "NHITS_Q_small"
    manifest = run / "manifest_old.json"
    manifest.write_text(
        manifest.read_text().replace("/data/small.toml", str(folder / "small.toml"))
    )
    for path in [path for path in run.rglob("*") if path.is_file()]:
        name = str(path.relative_to(run)).replace("_small_", "_other_")
        content = path.read_bytes()
        if path.suffix == ".json":
            content = content.replace(b"NHITS_Q_small", b"NHITS_Q_other")
            content = content.replace(b'"dataset": "small"', b'"dataset": "other"')
        target = run.with_name("NHITS_Q_other") / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    for path in (folder / "hpo").rglob("*.json"):
        stored.save(path, json.loads(path.read_text(encoding="utf-8")))
    (folder / "hpo").rename(folder / "whole")
    return Workspace(folder, {})


def run(
    workspace: Workspace, command: str, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str, str]:
    """Exit code, stdout with what was exported, and stderr of a command; no traceback."""
    words = [
        str(workspace.folder / word) if word.startswith("hpo") else word
        for word in COMMANDS[command]
    ]
    capsys.readouterr()
    code = exit_code(*words)
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    assert code in {0, 1, 2}
    assert ("error: " in err) == (code != 0) or command in OVER_ALL
    exported = workspace.folder / "hpo" / "trials.csv"
    return code, out + (exported.read_text() if exported.exists() else ""), err


def of_whole(workspace: Workspace, command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command says of two whole studies."""
    if command not in workspace.said:
        workspace.restore()
        code, out, _ = run(workspace, command, capsys)
        assert code == 0
        workspace.said[command] = lasting(command, out)
    return workspace.said[command]


def lasting(command: str, out: str) -> str:
    """An output without the times of the files."""
    if command != "status":
        return out
    content = json.loads(out)
    rows = [{**row, "ended": None} for row in content["experiments"]]
    return json.dumps({**content, "experiments": rows})


def row_of_other(command: str, out: str) -> str:
    """What a command over the whole workspace says about the study that is whole."""
    if command == "consolidate":
        lines = [line.split() for line in out.splitlines() if "NHITS_Q_other_old" in line]
        return " ".join(lines[0])
    rows = json.loads(out)["experiments"] if command == "status" else csv.DictReader(StringIO(out))
    (row,) = [row for row in rows if row["dataset"] == "other"]
    return json.dumps(row)


@with_commands
@given(
    data=st.data(),
    name=st.sampled_from(FILES),
    command=st.sampled_from(sorted(COMMANDS)),
)
def test_a_damaged_file_ends_in_no_traceback_changes_no_result_and_hides_no_other_study(
    workspace: Workspace,
    capsys: pytest.CaptureFixture[str],
    name: str,
    data: st.DataObject,
    command: str,
) -> None:
    whole = of_whole(workspace, command, capsys)
    workspace.restore()
    path = workspace.run / name
    path.write_bytes(data.draw(damaged_file(path.read_bytes(), name)))
    code, out, err = run(workspace, command, capsys)
    if code == 0 and path.name not in out + err:
        assert lasting(command, out) == whole
    if command in OVER_ALL:
        assert row_of_other(command, lasting(command, out)) == row_of_other(command, whole)


def test_every_command_reads_a_whole_workspace(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in COMMANDS:
        out = of_whole(workspace, command, capsys)
        assert command not in OVER_ALL or row_of_other(command, out)
