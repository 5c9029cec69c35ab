"""Damaged files of a real study through the commands that read a workspace.

No traceback, an exit code that is documented, and what belongs to the other study of the workspace
is shown whatever has happened to the first one. Of the damaged study a command says what it said of
the whole one, or it names the damaged file.
"""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands import run_cli
from earlier import OVER_ALL, TwoStudies, row_of_other, two_studies
from mutations import damaged_file, with_commands

COMMANDS = (*OVER_ALL, "calibrate", "diagnose", "export")
FILES = (
    *("best_params_NHITS_Q_small_old.json", "manifest_old.json"),
    *("trials_old/0003/record.json", "trials_old/0003/proposal.json"),
    "trials_old/0003/forecasts.npz",
)


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> TwoStudies:
    return two_studies(tmp_path_factory.mktemp("studies"))


@pytest.fixture(scope="module")
def said() -> dict[str, str]:
    """What each command says of the whole, once it was asked."""
    return {}


def run(
    studies: TwoStudies, command: str, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str, str]:
    """Exit code, stdout with what was exported, and stderr of a command; no traceback."""
    capsys.readouterr()
    code, out, err = run_cli(capsys, *studies.command(command))
    assert "Traceback" not in out + err
    assert code in {0, 1, 2}
    assert ("error: " in err) == (code != 0) or command in OVER_ALL
    exported = studies.workspace / "trials.csv"
    return code, out + (exported.read_text() if exported.exists() else ""), err


def of_whole(
    studies: TwoStudies, command: str, capsys: pytest.CaptureFixture[str], said: dict[str, str]
) -> str:
    """What a command says of two whole studies."""
    if command not in said:
        studies.restore()
        code, out, _ = run(studies, command, capsys)
        assert code == 0
        said[command] = lasting(command, out)
    return said[command]


def lasting(command: str, out: str) -> str:
    """An output without the times of the files."""
    if command != "status":
        return out
    content = json.loads(out)
    rows = [{**row, "ended": None} for row in content["experiments"]]
    return json.dumps({**content, "experiments": rows})


@with_commands
@given(
    data=st.data(),
    name=st.sampled_from(FILES),
    command=st.sampled_from(COMMANDS),
)
def test_a_damaged_file_ends_in_no_traceback_changes_no_result_and_hides_no_other_study(
    studies: TwoStudies,
    said: dict[str, str],
    capsys: pytest.CaptureFixture[str],
    *,
    name: str,
    data: st.DataObject,
    command: str,
) -> None:
    whole = of_whole(studies, command, capsys, said)
    studies.restore()
    path = studies.run / name
    path.write_bytes(data.draw(damaged_file(path.read_bytes(), name)))
    code, out, err = run(studies, command, capsys)
    if code == 0 and path.name not in out + err:
        assert lasting(command, out) == whole
    if command in OVER_ALL:
        assert row_of_other(command, lasting(command, out)) == row_of_other(command, whole)


def test_every_command_reads_a_whole_workspace(
    studies: TwoStudies, said: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    for command in COMMANDS:
        out = of_whole(studies, command, capsys, said)
        assert command not in OVER_ALL or row_of_other(command, out)
