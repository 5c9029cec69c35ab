"""A stored study: found from its paths, each of its files read once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from paretocast.errors import StoreError
from paretocast.results.forecasts import open_ensemble, open_trial
from paretocast.results.stored_study import StoredStudy
from paretocast.workspace import files
from runs import manifest_content, write_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study of two trials."""
    return write_run(tmp_path_factory.mktemp("stored"), n_trials=2)


def test_a_study_is_found_from_its_folder_its_result_and_its_paths(folder: Path) -> None:
    by_folder = StoredStudy.open(folder)
    by_result = StoredStudy.open(by_folder.run.best_params)
    by_paths = StoredStudy.open(by_folder.run)
    assert by_folder.run == by_result.run == by_paths.run
    assert by_folder.result == by_result.result == by_paths.result


def test_every_file_is_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts: Counter[Path] = Counter()
    load = files.load_text

    def counted(path: Path) -> str:
        counts[path] += 1
        return load(path)

    monkeypatch.setattr(files, "load_text", counted)
    study = StoredStudy.open(folder)
    for number in (None, 1):
        open_trial(study, number)
    open_ensemble(study)
    assert study.records[1, 0].seed == 101  # type: ignore[index]
    assert len(study.records) == 2
    assert max(counts.values()) == 1
    assert {study.run.manifest, study.run.best_params} <= set(counts)
    assert study.task() is study.task()


def test_a_record_that_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(StoreError, match=r"0007/record\.json does not exist"):
        StoredStudy.open(folder).record(7)


def test_a_manifest_without_a_task_is_damaged(folder: Path, tmp_path: Path) -> None:
    run = StoredStudy.open(folder).run
    moved = type(run)(tmp_path, run.model, run.dataset, run.job_id)
    content = manifest_content()
    del content["comparable"]
    files.save_json(moved.manifest, content)
    with pytest.raises(StoreError, match="is damaged: comparable is missing"):
        StoredStudy.open(moved).task_manifest  # noqa: B018  (read for its error)
