"""Who of several workers concludes a study, and when it has been."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from paretocast.api.tuning import PAGES, _is_concluded, _refuse_if_all_failed
from paretocast.cluster.local_workers import PARENT_VARIABLE, has_parent
from paretocast.errors import ParetocastError
from paretocast.results.two_stage import finish_stage_1
from paretocast.search.selection import TrialState
from paretocast.settings import load_settings
from paretocast.study.study import StudyResult
from paretocast.training.trial import TrialRecord
from paretocast.workspace import files
from paretocast.workspace.runs import RunDirectory
from runs import result_content

SINGLE, TWO = load_settings(None, {}), load_settings(None, {"strategy": "two-stage"})


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """A study with a trial and a repeat of it, and nothing that was made of them."""
    made = RunDirectory(tmp_path / "hpo", "NHITS_Q", "demo", "812")
    files.save_json(made.record(0), {})
    files.save_json(made.record(0, 1), {})
    files.save_json(made.best_params, result_content(made, n_trials=1))
    return made


def write_pages(run: RunDirectory) -> None:
    for name in PAGES:
        files.save_text(run.page(name), "<html>")


def age(path: Path, seconds: float) -> None:
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))


def test_a_study_is_concluded_once_all_its_pages_are_there(run: RunDirectory) -> None:
    assert not _is_concluded(run, SINGLE)
    write_pages(run)
    assert _is_concluded(run, SINGLE)
    run.page(PAGES[-1]).unlink()  # who wrote them died over it
    assert not _is_concluded(run, SINGLE)


@pytest.mark.parametrize("seed_index", [0, 1])
def test_a_training_that_the_pages_do_not_know_makes_them_old(
    run: RunDirectory, seed_index: int
) -> None:
    write_pages(run)
    for page in PAGES:
        age(run.page(page), 60.0)
    other = run.record(0, 1 - seed_index)
    age(other, 120.0)
    assert not _is_concluded(run, SINGLE)
    age(run.record(0, seed_index), 120.0)
    assert _is_concluded(run, SINGLE)


def test_a_first_stage_is_concluded_once_the_second_finds_its_result(run: RunDirectory) -> None:
    write_pages(run)
    assert not _is_concluded(run, TWO)
    other = RunDirectory(run.workspace, run.model, run.dataset, "7")
    files.save_json(other.best_params, result_content(other, n_trials=1))
    left = finish_stage_1(other)
    assert not _is_concluded(run, TWO)
    finish_stage_1(run)
    assert _is_concluded(run, TWO)
    left.write_text("{", encoding="utf-8")
    assert not _is_concluded(run, TWO)


def test_a_study_without_a_complete_trial_fails_the_worker_too(run: RunDirectory) -> None:
    failed = TrialRecord(
        number=0,
        state=TrialState.FAILED,
        config={},
        seed=1,
        scores={},
        picp_interval=None,
        rungs=(),
        steps=0,
        best_step=0,
        stop_losses=(),
        fit_seconds=0.0,
        peak_memory_mib=0.0,
        reason="ValueError: odd",
    )
    with pytest.raises(
        ParetocastError,
        match="no trial was completed, 1 trial failed; the last one: ValueError: odd",
    ):
        _refuse_if_all_failed(StudyResult("trials", None, (failed,), {}), run)
    _refuse_if_all_failed(StudyResult("time limit", None, (failed,), {}), run)


def test_a_worker_knows_whether_somebody_waits_for_it() -> None:
    assert has_parent({PARENT_VARIABLE: "12"})
    assert not has_parent({})
