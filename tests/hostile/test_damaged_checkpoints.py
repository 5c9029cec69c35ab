"""Checkpoints that hold something else: they cost the time since the start, not the trial.

A search is stopped in the middle of a trial and resumed with a checkpoint whose content was
changed, with the digest of the new content and with that of the old one. The trial begins anew and
ends as it would have without an interruption.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from checkpoints import Change, rewritten_checkpoint
from commands import run_cli
from earlier import STORED
from paretocast.workspace.runs import RunDirectory

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120), pytest.mark.usefixtures("without_pages")]

SEARCH = ("tune", "--settings", "settings.toml", "--job-id", "ck", "--trials", "1")
OPTIONS = ("--steps", "300", "--repeats", "1")


def tensors_of_other_types(_: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    for name, tensor in tensors.items():
        tensors[name] = tensor.int() if tensor.is_floating_point() else tensor.double()


ROWS: tuple[tuple[str, Change], ...] = (
    ("ck_nostep_state", lambda progress, _: progress.pop("step")),
    ("ck_strstep_state", lambda progress, _: progress.update(step="x")),
    ("ck_negstep_state", lambda progress, _: progress.update(step=-5)),
    ("ck_dtype_state", tensors_of_other_types),
    ("ck_rngshape_state", lambda _, tensors: tensors.update({"random.cpu": torch.empty(0)})),
)


def run_of(folder: Path) -> RunDirectory:
    return RunDirectory(folder / "hpo", "NHITS_Q", "small", "ck")


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a search that was stopped in its first trial."""
    folder = tmp_path_factory.mktemp("stopped") / "stopped"
    shutil.copytree(STORED, folder, ignore=shutil.ignore_patterns("hpo"))
    run = run_of(folder)
    command = [sys.executable, "-m", "paretocast", *SEARCH, *OPTIONS]
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)
    while not run.rungs(0).exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert "1 paused" in process.communicate()[1]
    assert run.checkpoint(0).exists()
    return folder


def resumed(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, Any], str]:
    """The record of the trial after the search went on, and what was said."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        code, out, err = run_cli(capsys, *SEARCH, *OPTIONS, "--resume")
    assert code == 0, err
    assert "Traceback" not in out + err
    record: dict[str, Any] = json.loads(run_of(folder).record(0).read_text(encoding="utf-8"))
    return record, err


@pytest.fixture(scope="module")
def whole(stopped: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """Scores of the trial where it goes on from its checkpoint as it is."""
    folder = tmp_path_factory.mktemp("whole") / "whole"
    shutil.copytree(stopped, folder)
    command = [sys.executable, "-m", "paretocast", *SEARCH, *OPTIONS, "--resume"]
    subprocess.run(command, cwd=folder, capture_output=True, check=True)
    record = json.loads(run_of(folder).record(0).read_text(encoding="utf-8"))
    scores: dict[str, float] = record["scores"]
    return scores


@pytest.mark.parametrize(
    ("change", "digest"),
    [(change, "new") for _, change in ROWS] + [(ROWS[0][1], "old")],
    ids=[*(name for name, _ in ROWS), "digest"],
)
def test_a_damaged_checkpoint_costs_time_and_not_the_trial(
    stopped: Path,
    whole: dict[str, float],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    *,
    change: Change,
    digest: str,
) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(stopped, folder)
    path = run_of(folder).checkpoint(0)
    content = rewritten_checkpoint(path.read_bytes(), change, with_digest=digest == "new")
    assert content != path.read_bytes()
    path.write_bytes(content)
    record, err = resumed(folder, capsys)
    assert "trial 0 MAE" in err
    assert "failed" not in err
    assert record["state"] == "complete"
    assert record["scores"] == pytest.approx(whole, rel=1e-6)
    assert not path.exists()
