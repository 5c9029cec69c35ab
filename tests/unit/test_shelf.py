"""The shelf of trials, kept from look to look, against one that reads everything anew."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from paretocast.errors import StoreError
from paretocast.search.selection import TrialState
from paretocast.study.trial_store import Item, Shelf
from paretocast.training.trial import TrialRecord
from paretocast.workspace.files import RunDirectory, create_folder

if TYPE_CHECKING:
    from pathlib import Path

TRIAL, LATER, REPEAT = Item(0), Item(2), Item(0, 1)


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    directory = RunDirectory(tmp_path, "NHITS_Q", "small", "1")
    create_folder(directory.trials_folder)
    return directory


def begin(run: RunDirectory, item: Item) -> None:
    """What another process does first."""
    create_folder(run.trial_folder(*item))
    Shelf(run).begin(item)


def end(run: RunDirectory, item: Item) -> TrialRecord:
    """What another process does last."""
    record = TrialRecord(
        number=item.number,
        seed_index=item.seed_index,
        state=TrialState.FAILED,
        config={"lr": 0.001},
        seed=1,
    )
    Shelf(run).save_record(record)
    return record


def look(shelf: Shelf) -> tuple[object, ...]:
    return shelf.trainings, shelf.trials, shelf.open_items, shelf.free_number


def opened(shelf: Shelf) -> list[Item]:
    return list(shelf.open_items)


def test_a_file_system_that_fails_is_no_fault_of_a_trial(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ESTALE, "Stale file handle")

    begin(run, TRIAL)
    shelf = Shelf(run)
    with monkeypatch.context() as broken:
        broken.setattr("pathlib.Path.exists", fail)
        for ask in (shelf.refresh, lambda: shelf.config(0), lambda: shelf.rungs(0)):
            with pytest.raises(StoreError, match="cannot be read: Stale file handle"):
                ask()
        broken.setattr("os.listdir", fail)
        with pytest.raises(StoreError, match="cannot be read: Stale file handle"):
            Shelf(run).refresh()
    shelf.refresh()
    assert opened(shelf) == [TRIAL]


def test_a_shelf_that_has_looked_before_knows_what_a_fresh_one_reads(run: RunDirectory) -> None:
    kept = Shelf(run)
    for item in (LATER, TRIAL, REPEAT):
        begin(run, item)
        kept.refresh()
        fresh = Shelf(run)
        fresh.refresh()
        assert look(kept) == look(fresh)
    for item in (REPEAT, TRIAL, LATER):
        record = end(run, item)
        assert kept.refresh() == (record,)
        fresh = Shelf(run)
        fresh.refresh()
        assert look(kept) == look(fresh)
    assert opened(kept) == []
    assert kept.free_number == 1


def test_the_lowest_free_number_is_found_between_and_behind(run: RunDirectory) -> None:
    shelf = Shelf(run)
    assert shelf.free_number == 0
    for number, free in ((1, 0), (0, 2), (2, 3)):
        shelf.begin(Item(number))
        assert shelf.free_number == free


def test_a_record_of_its_own_ends_what_it_began(run: RunDirectory) -> None:
    create_folder(run.trial_folder(*TRIAL))
    shelf = Shelf(run)
    shelf.begin(TRIAL)
    assert opened(shelf) == [TRIAL]
    shelf.save_record(end(run, TRIAL))
    assert opened(shelf) == []
    shelf.begin(TRIAL)  # a listing that comes late
    assert opened(shelf) == []
