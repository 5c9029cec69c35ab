"""The copy of a study that Optuna keeps: torn journals, full disks, secrets, order."""

from __future__ import annotations

import json
import resource
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import optuna
import pytest
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from paretocast.errors import SettingsError, StoreError
from paretocast.search.space import Config, FloatRange, IntRange, Space
from paretocast.study import optuna_sync
from paretocast.study.optuna_sync import (
    OptunaSync,
    choose_storage,
    cut_torn_line,
    frozen_trial,
)
from paretocast.workspace.runs import RunDirectory

SPACE: Space = {"lr": FloatRange(1e-5, 1e-2, log=True), "num_stacks": IntRange(2, 5)}
CONFIG: Config = {"lr": 1e-3, "num_stacks": 3}
OBJECTIVES = ["MAE", "distance to the target coverage"]


def make_run(folder: Path) -> RunDirectory:
    run = RunDirectory(folder, "NHITS_Q", "small", "1")
    run.folder.mkdir(parents=True, exist_ok=True)
    return run


def running(number: int) -> FrozenTrial:
    return frozen_trial(CONFIG, SPACE, state=OptunaState.RUNNING)


def complete(number: int) -> FrozenTrial:
    attributes = {"picp": 80.0 + number}
    return frozen_trial(CONFIG, SPACE, values=[float(number), 1.0], attributes=attributes)


def open_sync(folder: Path, storage: str = "journal") -> OptunaSync:
    return OptunaSync(storage, make_run(folder), objectives=OBJECTIVES)


def stored(folder: Path, storage: str = "journal") -> list[FrozenTrial]:
    """The trials as Optuna's own classes read them."""
    run = make_run(folder)
    where: str | optuna.storages.JournalStorage = f"sqlite:///{run.study_database}"
    if storage == "journal":
        where = optuna.storages.JournalStorage(
            optuna.storages.journal.JournalFileBackend(str(run.study_journal))
        )
    return optuna.load_study(study_name=run.study_name, storage=where).trials


@contextmanager
def files_no_longer_than(n_bytes: int) -> Iterator[None]:
    """A full disk, as far as a process can be shown one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("storage", ["sqlite", "journal"])
def test_trials_that_run_and_end_are_kept_with_params_and_values(
    tmp_path: Path, storage: str
) -> None:
    optuna_sync = open_sync(tmp_path, storage)
    optuna_sync.catch_up(2, running)
    assert [trial.state for trial in stored(tmp_path, storage)] == [OptunaState.RUNNING] * 2
    optuna_sync.catch_up(3, complete)
    trials = stored(tmp_path, storage)
    assert [trial.values for trial in trials] == [[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]]
    assert all(trial.params == CONFIG for trial in trials)
    assert [trial.user_attrs for trial in trials] == [{"picp": 80.0 + n} for n in range(3)]


def test_the_dashboard_of_optuna_shows_objectives_parameters_and_scores_by_name(
    tmp_path: Path,
) -> None:
    dashboard = pytest.importorskip("optuna_dashboard")
    open_sync(tmp_path, "sqlite").catch_up(2, complete)
    server = dashboard.wsgi(f"sqlite:///{make_run(tmp_path).study_database}")

    def answer(path: str) -> dict[str, Any]:
        environment: dict[str, Any] = {"PATH_INFO": path}
        setup_testing_defaults(environment)
        content: dict[str, Any] = json.loads(b"".join(server(environment, lambda *_: None)))
        return content

    (listed,) = answer("/api/studies")["study_summaries"]
    assert listed["study_name"] == "NHITS_Q_small_1"
    shown = answer(f"/api/studies/{listed['study_id']}")
    assert shown["objective_names"] == OBJECTIVES
    assert [trial["values"] for trial in shown["trials"]] == [[0.0, 1.0], [1.0, 1.0]]
    assert {part["name"] for part in shown["intersection_search_space"]} == set(CONFIG)
    assert [part["key"] for part in shown["union_user_attrs"]] == ["picp"]


def test_a_trial_without_a_config_holds_back_those_behind_it(tmp_path: Path) -> None:
    optuna_sync = open_sync(tmp_path)
    optuna_sync.catch_up(3, lambda number: None if number == 1 else complete(number))
    assert len(stored(tmp_path)) == 1
    optuna_sync.catch_up(3, complete)
    assert [trial.number for trial in stored(tmp_path)] == [0, 1, 2]


def test_two_processes_on_one_journal_see_each_others_trials(tmp_path: Path) -> None:
    first, second = open_sync(tmp_path), open_sync(tmp_path)
    first.catch_up(1, running)
    second.catch_up(2, complete)
    first.catch_up(3, complete)
    assert [trial.state for trial in stored(tmp_path)] == [OptunaState.COMPLETE] * 3


def test_a_torn_last_line_is_cut_and_its_trial_written_again(tmp_path: Path) -> None:
    journal = make_run(tmp_path).study_journal
    open_sync(tmp_path).catch_up(2, complete)
    journal.write_bytes(journal.read_bytes()[:-20])
    optuna_sync = open_sync(tmp_path)
    optuna_sync.catch_up(4, complete)
    assert [trial.values for trial in stored(tmp_path)] == [[float(n), 1.0] for n in range(4)]
    for line in journal.read_text(encoding="utf-8").splitlines():
        json.loads(line)


@pytest.mark.parametrize(
    ("content", "left"),
    [(b"", 0), (b"torn", 0), (b"whole\n", 6), (b"whole\n" + b"x" * 10_000, 6), (b"a\nb\nc", 4)],
)
def test_cutting_leaves_whole_lines(tmp_path: Path, content: bytes, left: int) -> None:
    path = tmp_path / "journal"
    path.write_bytes(content)
    assert cut_torn_line(path) == left
    assert path.read_bytes() == content[:left]


def test_a_full_disk_is_a_clear_error_and_leaves_whole_lines(tmp_path: Path) -> None:
    optuna_sync = open_sync(tmp_path)
    optuna_sync.catch_up(1, complete)
    journal = make_run(tmp_path).study_journal
    before = journal.read_bytes()
    with (
        files_no_longer_than(len(before) + 50),
        pytest.raises(StoreError, match=r"study_NHITS_Q_small_1\.journal fails: .*File too large"),
    ):
        optuna_sync.catch_up(2, complete)
    assert journal.read_bytes() == before
    optuna_sync.catch_up(2, complete)
    assert len(stored(tmp_path)) == 2


def test_a_journal_damaged_in_its_middle_is_named_with_a_way_out(tmp_path: Path) -> None:
    open_sync(tmp_path).catch_up(2, complete)
    journal = make_run(tmp_path).study_journal
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([lines[0], b"{broken\n", *lines[2:]]))
    with pytest.raises(StoreError, match=r"\.journal fails.*made anew from the records"):
        open_sync(tmp_path)
    journal.unlink()
    open_sync(tmp_path).catch_up(2, complete)
    assert len(stored(tmp_path)) == 2


def test_a_damaged_database_is_named(tmp_path: Path) -> None:
    make_run(tmp_path).study_database.write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreError, match=r"study_NHITS_Q_small_1\.db fails.*not a database"):
        open_sync(tmp_path, "sqlite")


@pytest.mark.parametrize("url", ["nosuch://anna:s3cret@host/db", "mysql://anna:s3cret@host/db"])
def test_a_url_that_cannot_be_opened_is_an_error_without_its_password(
    tmp_path: Path, url: str
) -> None:
    with pytest.raises((SettingsError, StoreError), match="anna@host/db") as caught:
        open_sync(tmp_path, url)
    assert "s3cret" not in str(caught.value)


def test_any_url_of_optuna_holds_a_study(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    open_sync(tmp_path, url).catch_up(1, complete)
    assert optuna.load_study(study_name="NHITS_Q_small_1", storage=url).trials[0].number == 0


def test_several_processes_share_a_journal_and_one_keeps_it_afterwards(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    assert choose_storage(None, run, shared=False) == "sqlite"
    assert choose_storage(None, run, shared=True) == "journal"
    assert choose_storage("sqlite", run, shared=True) == "sqlite"
    run.study_journal.touch()
    assert choose_storage(None, run, shared=False) == "journal"


def test_a_writer_killed_at_any_byte_leaves_a_journal_that_goes_on(tmp_path: Path) -> None:
    # The file is cut where a kill could have ended the write: at every byte of the last line.
    open_sync(tmp_path).catch_up(1, complete)
    journal = make_run(tmp_path).study_journal
    length_of_first = len(journal.read_bytes())
    open_sync(tmp_path).catch_up(2, complete)
    whole = journal.read_bytes()
    for length in range(length_of_first, len(whole), 25):
        journal.write_bytes(whole[:length])
        open_sync(tmp_path).catch_up(2, complete)
        assert [trial.values for trial in stored(tmp_path)] == [[0.0, 1.0], [1.0, 1.0]]


def test_a_locked_database_is_caught_up_with_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optuna_sync, "LOCKED_SECONDS", 0.05)
    monkeypatch.setattr(optuna_sync, "_SQLITE_KWARGS", {"connect_args": {"timeout": 0.05}})
    monkeypatch.setattr(optuna_sync, "PAUSE_SECONDS", 0.0)
    sync = open_sync(tmp_path, "sqlite")
    path = make_run(tmp_path).study_database
    holder = sqlite3.connect(path)
    holder.execute("BEGIN EXCLUSIVE")
    sync.catch_up(1, complete)
    assert sync.behind
    late = open_sync(tmp_path, "sqlite")  # opening waits neither
    late.catch_up(1, complete)
    holder.close()
    late.catch_up(1, complete)
    assert not late.behind
    name, url = "NHITS_Q_small_1", f"sqlite:///{path}"
    assert len(optuna.load_study(study_name=name, storage=url).trials) == 1


def test_a_database_of_another_optuna_is_named_with_a_way_out(tmp_path: Path) -> None:
    open_sync(tmp_path, "sqlite").catch_up(1, complete)
    with sqlite3.connect(make_run(tmp_path).study_database) as database:
        database.execute("UPDATE alembic_version SET version_num = 'v99.0.0.a'")
        database.execute("UPDATE version_info SET schema_version = 99")
    with pytest.raises(StoreError, match=r"no longer compatible.*it is made anew from the records"):
        open_sync(tmp_path, "sqlite")
