"""A workspace with brackets in its name, which the terminal must show as they are."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest

from commands import run_cli
from earlier import STORED

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60), pytest.mark.usefixtures("without_pages")]

NAMES = {"markup_close": "w[/b]x", "markup_draft": "runs [old]", "markup_red": "[red]a[link=b]"}
RESULT = "best_params_NHITS_Q_small_old.json"
TUNE = "tune --settings settings.toml --job-id new --trials 2 --repeats 1 --workspace WORKSPACE"
# Words of a command, and what it says of the workspace; both as a shell reads them.
ROWS = {
    "tune": (TUNE, "all results in {}/index.html"),
    "consolidate": (
        "consolidate --workspace WORKSPACE",
        "written {}/results/best_params_NHITS_Q_small.json",
    ),
    "calibrate": (
        "calibrate RUN",
        "{}/results/NHITS_Q_small/calibrator_NHITS_Q_small_old_trial0003.json",
    ),
    "diagnose": ("diagnose RUN", "{}/results/NHITS_Q_small/diagnosis_old.html"),
    "describe": ("data describe WORKSPACE/small.toml", "Europe/Copenhagen"),
    "check": ("data check WORKSPACE/small.toml", "{}/small.toml: 0 errors"),
    "benchmark": (
        "benchmark RUN --methods tuned,seasonal_naive_24 --calibrator cqr --threads 1",
        "/{}/benchmarks/history.csv",
    ),
    "status": ("status --workspace WORKSPACE", "NHITS_Q_small_old"),
}


@pytest.fixture(params=[*NAMES.values()], ids=[*NAMES])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with a finished study, as a path from the working directory."""
    shutil.copytree(STORED, tmp_path, dirs_exist_ok=True)
    workspace = tmp_path / str(request.param)
    workspace.parent.mkdir(exist_ok=True)
    (tmp_path / "hpo").rename(workspace)
    manifest = workspace / "results" / "NHITS_Q_small" / "manifest_old.json"
    content = manifest.read_text(encoding="utf-8")
    manifest.write_text(content.replace("/data/small.toml", str(tmp_path / "small.toml")))
    monkeypatch.chdir(tmp_path)
    return Path(request.param)


@pytest.mark.parametrize(("words", "says"), ROWS.values(), ids=ROWS)
def test_brackets_in_the_name_of_a_workspace_are_shown_as_they_are(
    place: Path, capsys: pytest.CaptureFixture[str], words: str, says: str
) -> None:
    for name in ("small.toml", "small.csv"):
        shutil.copy(name, place / name)
    run = str(place / "results" / "NHITS_Q_small")
    given = [w.replace("WORKSPACE", str(place)).replace("RUN", run) for w in words.split()]
    code, out, err = run_cli(capsys, *given)
    assert code == 0, err
    assert says.format(place) in out + err


def test_the_command_that_goes_on_names_the_workspace_as_a_shell_reads_it(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    search = ("tune", "--settings", "settings.toml", "--workspace", place)
    code, _, err = run_cli(capsys, *search, "--trials", 500, "--time-limit", "1s")
    assert code == 0, err
    (line,) = [line.strip() for line in err.splitlines() if "--resume" in line]
    program, *words = shlex.split(line)
    assert (program, words[words.index("--workspace") + 1]) == ("paretocast", str(place))
    code, _, err = run_cli(capsys, *words, "--settings", "settings.toml", "--time-limit", "1s")
    assert code == 0, err
    assert f"all results in {place}/index.html" in err


@pytest.mark.parametrize("command", ["analyze", "status"])
def test_a_damaged_result_is_named_with_its_brackets(
    place: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    path = place / "results" / "NHITS_Q_small" / RESULT
    path.write_text("{", encoding="utf-8")
    code, out, err = run_cli(capsys, command, "--workspace", place)
    assert f"{path} is damaged" in out + err
    assert code == (1 if command == "analyze" else 0)  # no other study is there
