"""A trial store that refreshes, against one that reads everything anew."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from paretocast.errors import StoreError
from paretocast.search.selection import TrialState
from paretocast.study.trial_store import TrainingId, TrialStore
from paretocast.training.trial import TrialRecord
from paretocast.workspace.files import create_folder
from paretocast.workspace.runs import RunDirectory

if TYPE_CHECKING:
    from pathlib import Path

TRIAL, LATER, REPEAT = TrainingId(0), TrainingId(2), TrainingId(0, 1)


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    directory = RunDirectory(tmp_path, "NHITS_Q", "small", "1")
    create_folder(directory.trials_folder)
    return directory


def begin(run: RunDirectory, training: TrainingId) -> None:
    """Begin a training as another process does."""
    create_folder(run.trial_folder(*training))
    TrialStore(run).begin(training)


def end(run: RunDirectory, training: TrainingId) -> TrialRecord:
    """End a training as another process does."""
    record = TrialRecord(
        number=training.number,
        seed_index=training.seed_index,
        state=TrialState.FAILED,
        config={"lr": 0.001},
        seed=1,
    )
    TrialStore(run).save_record(record)
    return record


def contents(trial_store: TrialStore) -> tuple[object, ...]:
    return (
        trial_store.trainings,
        trial_store.trials,
        trial_store.open_trainings,
        trial_store.free_number,
    )


def open_trainings(trial_store: TrialStore) -> list[TrainingId]:
    return list(trial_store.open_trainings)


def test_a_file_system_that_fails_is_no_fault_of_a_trial(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ESTALE, "Stale file handle")

    begin(run, TRIAL)
    trial_store = TrialStore(run)
    with monkeypatch.context() as broken:
        broken.setattr("pathlib.Path.exists", fail)
        for ask in (
            trial_store.refresh,
            lambda: trial_store.config(0),
            lambda: trial_store.rungs(0),
        ):
            with pytest.raises(StoreError, match="cannot be read: Stale file handle"):
                ask()
        broken.setattr("os.listdir", fail)
        with pytest.raises(StoreError, match="cannot be read: Stale file handle"):
            TrialStore(run).refresh()
    trial_store.refresh()
    assert open_trainings(trial_store) == [TRIAL]


def test_a_store_that_has_read_before_knows_what_a_fresh_one_reads(run: RunDirectory) -> None:
    refreshed = TrialStore(run)
    for training in (LATER, TRIAL, REPEAT):
        begin(run, training)
        refreshed.refresh()
        fresh = TrialStore(run)
        fresh.refresh()
        assert contents(refreshed) == contents(fresh)
    for training in (REPEAT, TRIAL, LATER):
        record = end(run, training)
        assert refreshed.refresh() == (record,)
        fresh = TrialStore(run)
        fresh.refresh()
        assert contents(refreshed) == contents(fresh)
    assert open_trainings(refreshed) == []
    assert refreshed.free_number == 1


def test_the_lowest_free_number_is_found_between_and_behind(run: RunDirectory) -> None:
    trial_store = TrialStore(run)
    assert trial_store.free_number == 0
    for number, free in ((1, 0), (0, 2), (2, 3)):
        trial_store.begin(TrainingId(number))
        assert trial_store.free_number == free


def test_a_record_of_its_own_ends_what_it_began(run: RunDirectory) -> None:
    create_folder(run.trial_folder(*TRIAL))
    trial_store = TrialStore(run)
    trial_store.begin(TRIAL)
    assert open_trainings(trial_store) == [TRIAL]
    trial_store.save_record(end(run, TRIAL))
    assert open_trainings(trial_store) == []
    trial_store.begin(TRIAL)  # a listing that comes late
    assert open_trainings(trial_store) == []
