"""Files of submitted searches that hold something else: told by name, and the others are shown.

Each row damages the file of one of two submissions. The other one is listed and can be ended.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from commands import exit_code, run_cli
from paretocast.cluster.tracking import table_path
from paretocast.workspace import stored

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60), pytest.mark.usefixtures("without_pages")]

PROFILE = '[profiles.here]\nprogram = ["bash", "-c", "exit 0"]\n'
HERE = ("--profile", "here", "--profile-file", "profiles.toml")
DAMAGED, WHOLE = "NHITS_Q", "RIDGE"  # the models of the two submissions

ROWS: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("sub_prof", {"profile": {"partition": "a b"}}, "profile: partition: 'a b' is not one word"),
    ("sub_prof2", {"profile": 5}, "profile is 5; input should be a valid dictionary"),
    ("sub_opt", {"options": [1]}, "options.0 is 1; input should be a valid string"),
    ("sub_folder", {"folder": 5}, "folder is 5; input should be a valid string"),
    ("sub_nojobs", {"jobs": []}, "jobs is []; list should have at least 1 item"),
)
COMMANDS = ("status", "resubmit", "cancel")


@pytest.fixture(scope="module")
def submitted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder to work in, with a workspace of two submissions; no Slurm is there."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("submitted")
        patch.chdir(folder)
        patch.setenv("PATH", "/usr/bin:/bin")
        patch.setenv("XDG_CONFIG_HOME", str(folder))
        (folder / "profiles.toml").write_text(PROFILE, encoding="utf-8")
        for model in (DAMAGED, WHOLE):
            assert exit_code("submit", model, "demo", "5", *HERE) == 0
        yield folder


@pytest.fixture
def file(submitted: Path) -> Iterator[Path]:
    """The file of the submission that is damaged."""
    (path,) = (submitted / "hpo" / "results" / f"{DAMAGED}_demo").glob("submission_*.json")
    whole = path.read_bytes()
    yield path
    path.write_bytes(whole)


def experiment(submitted: Path, model: str) -> str:
    (path,) = (submitted / "hpo" / "results" / f"{model}_demo").glob("submission_*.json")
    return f"{model}_demo_{path.stem.removeprefix('submission_')}"


def shown(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The report of `status` by the model of an experiment, with its notes."""
    code, out, err = run_cli(capsys, "status", "--json")
    assert code == 0, err
    report = json.loads(out)
    return {row["model"]: row for row in report["experiments"]} | {"notes": report["notes"]}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(("changes", "says"), [row[1:] for row in ROWS], ids=[r[0] for r in ROWS])
def test_a_damaged_submission_is_told_and_the_other_is_shown_and_found(
    submitted: Path,
    file: Path,
    capsys: pytest.CaptureFixture[str],
    *,
    changes: dict[str, Any],
    says: str,
    command: str,
) -> None:
    name = experiment(submitted, DAMAGED)
    stored.save(file, {**json.loads(file.read_bytes()), **changes})
    before = file.read_bytes()
    if command == "status":
        report = shown(capsys)
        assert set(report) == {WHOLE, "notes"}
        (told,) = report["notes"]
    else:
        code, out, told = run_cli(capsys, command, name, *(HERE if command == "resubmit" else ()))
        assert (code, out) == (1, "")
        assert run_cli(capsys, "cancel", experiment(submitted, WHOLE))[0] == 0
    assert str(file.relative_to(submitted)) in told
    assert says in told
    assert told.rstrip().endswith("and submit the search again")
    assert file.read_bytes() == before


@pytest.mark.parametrize("kind", ["sub_logs", "sub_logfifo"])
def test_a_log_that_never_ends_is_not_read(
    submitted: Path, file: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    log = Path("/dev/zero") if kind == "sub_logs" else submitted / "fifo"
    if kind == "sub_logfifo":
        os.mkfifo(log)
    content = json.loads(file.read_bytes())
    content["jobs"][0]["logs"] = [[str(log), str(log)]]
    stored.save(file, content)
    report = shown(capsys)
    assert report[DAMAGED]["log"] == str(log)
    assert report[DAMAGED]["last_lines"] == []
    assert WHOLE in report


@pytest.mark.parametrize("model", [DAMAGED, WHOLE], ids=["exp_long/first", "exp_long/last"])
def test_a_table_of_experiments_with_an_endless_field_is_told_and_made_anew(
    submitted: Path, capsys: pytest.CaptureFixture[str], model: str
) -> None:
    table = table_path(Path("hpo"))
    shown(capsys)
    whole = table.read_text(encoding="utf-8")
    table.write_text(whole.replace(model, "x" * 200_000, 1), encoding="utf-8")
    code, out, err = run_cli(capsys, "status", "--json")
    assert (code, {row["model"] for row in json.loads(out)["experiments"]}) == (0, {DAMAGED, WHOLE})
    assert f"note {table} is damaged: field larger than field limit" in err
    assert err.rstrip().endswith("make it anew with paretocast status --rebuild")
    assert run_cli(capsys, "status", "--rebuild")[0] == 0
    assert table.read_text(encoding="utf-8") == whole
