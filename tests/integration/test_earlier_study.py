"""A study that an earlier version made is read, continued and benchmarked as it was then."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from commands import no_pages, run_cli

STORED = Path(__file__).parents[1] / "data" / "earlier_study"
EXPECTED: dict[str, Any] = json.loads((STORED / "expected.json").read_text(encoding="utf-8"))
RUN = Path("hpo") / "results" / "NHITS_Q_small"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the stored files, as the working directory."""
    folder = tmp_path / "earlier"
    shutil.copytree(STORED, folder)
    monkeypatch.chdir(folder)
    return folder


def scores_of(number: int) -> dict[str, Any]:
    path = RUN / "trials_old" / f"{number:04d}" / "record.json"
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def test_its_trials_can_be_read(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (
        ("calibrate", RUN, "--data-dir", place),
        ("diagnose", RUN, "--data-dir", place),
        ("analyze",),
        ("status",),
        ("consolidate",),
    ):
        code, out, err = run_cli(capsys, *command)
        assert code == 0, f"{command}: {out}{err}"


def test_it_goes_on_with_the_proposals_and_the_scores_of_then(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--settings", place / "settings.toml", "--job-id", "old", "--resume")
    with no_pages():
        code, _, err = run_cli(capsys, "tune", *arguments, "--trials", 6)
    assert code == 0, err
    for number, expected in EXPECTED["trials"].items():
        record = scores_of(int(number))
        assert record["state"] == expected["state"]
        assert record["seed"] == expected["seed"]
        assert record["config"] == pytest.approx(expected["config"], rel=1e-6)
        for name, score in expected["scores"].items():
            assert record["scores"][name] == pytest.approx(score, rel=1e-4), (number, name)


def test_its_benchmark_is_that_of_then(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--dataset", "small.toml", "--models", "NHITS_Q", "--settings", "settings.toml")
    methods = "tuned,default,seasonal_naive_24,seasonal_naive_168,weekday_hour_mean,ridge"
    words = ("benchmark", *options, "--methods", methods, "--threads", 1)
    with no_pages():
        code, _, err = run_cli(capsys, *words)
    assert code == 0, err
    (file,) = (place / "hpo" / "benchmarks").glob("small_*/metrics.json")
    rows = json.loads(file.read_text(encoding="utf-8"))["rows"]
    for row, expected in zip(rows, EXPECTED["benchmark"], strict=True):
        for name in ("method", "parameters", "calibrator"):
            assert row[name] == expected[name]
        for name in ("mae", "picp", "winkler"):
            assert row[name] == pytest.approx(expected[name], rel=1e-3), row["method"]
