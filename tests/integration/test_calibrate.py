"""`calibrate` and `diagnose` on a real study, small and short."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from commands import ZONE, run_cli
from paretocast.calibration import load_calibrator, walk_forward
from paretocast.datasets import write_demo_csv
from paretocast.errors import StoreError
from paretocast.replay import find_run, open_trial
from paretocast.store import load_json, save_json

pytestmark = pytest.mark.timeout(300)  # the study is made within the first test

SETTINGS = """
[training]
steps = 4
batch_size = 16
n_evaluations = 1
n_rungs = 1
[space.NHITS_Q]
layer_widths = {values = [16, 32]}
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study of two trials on 250 days."""
    folder = tmp_path_factory.mktemp("study")
    write_demo_csv(folder / "my_zone.csv", days=250)
    (folder / "my_zone.toml").write_text(ZONE, encoding="utf-8")
    (folder / "tiny.toml").write_text(SETTINGS, encoding="utf-8")
    arguments = ["--settings", str(folder / "tiny.toml"), "--workspace", str(folder / "hpo")]
    arguments += ["--dataset", str(folder / "my_zone.toml"), "--data-dir", str(folder)]
    assert run_cli("tune", "--trials", "2", "--job-id", "a", "--threads", "1", *arguments) == 0
    return folder / "hpo" / "results" / "NHITS_Q_my_zone"


def test_the_best_calibrator_is_written_with_what_it_was_compared_with(
    study: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "calibrator.json"
    assert run_cli("calibrate", str(study), "--output", str(path)) == 0
    out = capsys.readouterr().out
    assert "rolled folds of the calibrate split" in out
    assert "★" in out
    stored = load_json(path)
    assert stored["fitted_on"] == "calibrate"
    scores = {row["name"]: row["winkler"] for row in stored["compared"]}
    fitted = load_calibrator(stored["calibrator"])
    assert fitted.name == min(scores, key=lambda name: scores[name])
    sample = open_trial(study).sample("tune")
    calibrated = walk_forward(fitted, sample).forecast
    assert (np.diff(calibrated, axis=-1) >= 0.0).all()


def test_a_named_calibrator_stands_beside_none(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli("calibrate", str(study), "--calibrator", "cqr", "--trial", "1") == 0
    out = capsys.readouterr().out
    assert "cqr was named" in out
    assert "isotonic" not in out
    stored = load_json(next(study.glob("calibrator_*_trial0001.json")))
    assert (stored["trial"], stored["calibrator"]["name"]) == (1, "cqr")


def test_static_leaves_out_what_goes_on_learning(
    study: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "calibrator.json"
    assert run_cli("calibrate", str(study), "--static", "--output", str(path)) == 0
    names = {row["name"] for row in load_json(path)["compared"]}
    assert "cqr" in names
    assert not {"aci", "pid"} & names
    capsys.readouterr()


def test_diagnose_prints_the_groups_and_writes_its_page(
    study: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    assert run_cli("diagnose", str(study), "--page", str(page)) == 0
    out = capsys.readouterr().out
    for name in ("lead time", "local hour", "weekday", "month", "demand decile", "temperature"):
        assert f"by {name}" in out
    assert "groups were looked at" in out
    assert "Where the intervals keep their promise" in page.read_text("utf-8")


def test_diagnose_shows_what_a_calibrator_changes(
    study: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    calibrator, page = tmp_path / "calibrator.json", tmp_path / "page.html"
    named = ["--calibrator", "cqr", "--output", str(calibrator)]
    assert run_cli("calibrate", str(study), *named) == 0
    options = ["--split", "tune", "--calibrator", str(calibrator), "--page", str(page)]
    assert run_cli("diagnose", str(study), *options) == 0
    assert "tune split, calibrated" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["calibrate", "{study}", "--calibrator", "magic"],
            "unknown, expected auto or one of none",
        ),
        (["calibrate", "{study}", "--trial", "7"], "trials with forecasts: 0, 1"),
        (["diagnose", "{study}/.."], "holds no best_params_"),
        (["diagnose", "{study}", "--split", "test"], "expected tune or calibrate"),
        (["diagnose", "{study}/manifest_a.json"], "is no result of a study"),
    ],
)
def test_what_cannot_be_answered_says_why(
    study: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert run_cli(*(part.format(study=study) for part in arguments)) in {1, 2}
    assert message in capsys.readouterr().err.replace("\n", " ")


def test_a_folder_of_two_studies_asks_which(study: Path, tmp_path: Path) -> None:
    folder = tmp_path / "NHITS_Q_my_zone"
    shutil.copytree(study, folder)
    result = folder / "best_params_NHITS_Q_my_zone_a.json"
    shutil.copy(result, folder / "best_params_NHITS_Q_my_zone_b.json")
    with pytest.raises(StoreError, match="holds 2 studies; name one of"):
        find_run(folder)
    assert find_run(result).job_id == "a"


def test_other_data_than_the_study_was_made_on_are_refused(study: Path, tmp_path: Path) -> None:
    folder = tmp_path / "hpo" / "results" / "NHITS_Q_my_zone"
    shutil.copytree(study, folder)
    manifest = json.loads((folder / "manifest_a.json").read_text("utf-8"))
    manifest["comparable"]["task"]["data_sha256"] = "0" * 64
    save_json(folder / "manifest_a.json", manifest)
    with pytest.raises(StoreError, match=r"not what .* was made on: data_sha256"):
        open_trial(folder)
