"""The Optuna study beside the records: configs and objective values for Optuna's own tools.

It repeats what the trials' folders say and can be made anew from them at any time, so no crash can
make it disagree for long. One process keeps it in an SQLite file, several in an Optuna journal;
any storage URL that Optuna takes will do, and grpc://HOST:PORT for its proxy before a database.
Whoever writes holds the study lock; heartbeats alone need none.
"""

from __future__ import annotations

import os
import re
import threading
import time
import warnings
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import GrpcStorageProxy, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import TrialState as OptunaState

from paretocast.errors import SettingsError, StoreError
from paretocast.redaction import without_secrets, without_secrets_of
from paretocast.search.selection import TrialState
from paretocast.search.space import parameter_ranges, trial_parameters
from paretocast.study.trial_store import TrainingId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

    from paretocast.search.objectives import Objective
    from paretocast.search.space import AnySpace, Config
    from paretocast.study.trial_store import TrialStore
    from paretocast.training.trial import TrialRecord
    from paretocast.workspace.runs import RunDirectory

SQLITE, JOURNAL, GRPC = "sqlite", "journal", "grpc://"
GRPC_PORT = 13000  # where Optuna's proxy listens unless told otherwise
HEARTBEAT_SECONDS = 60  # of a trial in a database; Optuna calls it stale after twice that
MISSED_BEAT_SECONDS = 2  # after one that failed: a trial may enter the database after its start
LOCKED_SECONDS = 2.0  # that a write waits for another program; the search goes on without it
PAUSE_SECONDS = 10.0  # until the next write after one that waited in vain
_SQLITE_KWARGS = {"connect_args": {"timeout": LOCKED_SECONDS}}
_LOCKED = re.compile(r"database (table |schema )?is locked|[Ll]ock wait timeout")
_OPTUNA_STATES = {
    TrialState.COMPLETE: OptunaState.COMPLETE,
    TrialState.PRUNED: OptunaState.PRUNED,
    TrialState.FAILED: OptunaState.FAIL,
}
SHOWN_SCORES = ("mae", "pinball", "crps", "winkler", "picp", "mean_width")  # in target units and %
_RPC_DETAILS = re.compile(r'^\s*details = "(.*)"$', re.MULTILINE)  # what gRPC wraps in many lines


class OptunaSync:
    """The study as Optuna keeps it.

    Parameters
    ----------
    storage : str
        `sqlite`, `journal` or a URL.
    objectives : sequence of str
        Their names for people, see `objective_names`.

    Raises
    ------
    StoreError
        If the storage cannot be opened or is damaged.
    SettingsError
        If Optuna does not understand the URL or lacks a driver for it.
    """

    def __init__(self, storage: str, run: RunDirectory, *, objectives: Sequence[str]) -> None:
        # Of the whole process: Optuna would greet each study that a sampler makes in memory, too.
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._storage = storage
        self._label = storage_label(storage, run)
        self._run, self._objectives = run, list(objectives)
        self._backend: BaseStorage | None = None
        self._heart: RDBStorage | None = None
        self._study: optuna.Study | None = None
        self._next_try = 0.0  # seconds of the monotonic clock
        self.behind = False  # whether another program holds the database
        self._unless_locked(self._opened)

    def catch_up(
        self,
        n_begun: int,
        trial: Callable[[int], FrozenTrial | None],
        *,
        patience_seconds: float = 0.0,
    ) -> None:
        """Bring the copy up to date, now or, where another program holds the database, later.

        Add the trials that are missing, in order, and tell the ends of those that have ended.

        Parameters
        ----------
        n_begun : int
            One more than the highest number in use.
        trial : callable
            From a number to the trial as it stands; None while its config is not known, which
            holds back those behind it, because Optuna counts trials as they come.
        patience_seconds : float
            Wait so long for a database that another program holds.
        """
        deadline = time.monotonic() + patience_seconds
        if time.monotonic() < self._next_try and not patience_seconds:
            return
        while not self._unless_locked(lambda: self._write(n_begun, trial)):
            if time.monotonic() >= deadline:
                self._next_try = time.monotonic() + PAUSE_SECONDS
                return
            time.sleep(LOCKED_SECONDS / 4)

    def _unless_locked(self, work: Callable[[], object]) -> bool:
        """Do some work on the storage; False if another program holds it for the moment."""
        try:
            with self._store_errors():
                work()
        except _LockedError:
            self.behind = True
            return False
        self.behind = False
        return True

    def _opened(self) -> optuna.Study:
        if self._study is None:
            self._backend = opened = self._open(self._run)
            study = optuna.create_study(
                storage=opened,
                study_name=self._run.study_name,
                directions=["minimize"] * len(self._objectives),
                sampler=optuna.samplers.RandomSampler(),  # it is never asked
                load_if_exists=True,
            )
            self._describe(study)
            self._study = study
            if isinstance(opened, RDBStorage) and self._storage != SQLITE:
                self._heart = opened
        return self._study

    def _describe(self, study: optuna.Study) -> None:
        """Name the objectives, and say what the study is of."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            if study.metric_names != self._objectives:
                study.set_metric_names(self._objectives)
        for name in ("model", "dataset", "job_id"):
            if name not in study.user_attrs:
                study.set_user_attr(name, getattr(self._run, name))

    def _write(self, n_begun: int, trial: Callable[[int], FrozenTrial | None]) -> None:
        study = self._opened()
        stored = study.get_trials(deepcopy=False)
        for running in (t for t in stored if not t.state.is_finished()):
            self._tell(study, running.number, trial(running.number))
        for number in range(len(stored), n_begun):
            if (missing := trial(number)) is None:
                break
            study.add_trial(missing)

    def _tell(self, study: optuna.Study, number: int, now: FrozenTrial | None) -> None:
        """Tell the end of a trial that ran when it was written last, and its attributes."""
        if now is None or not now.state.is_finished() or self._backend is None:
            return
        backend = self._backend
        study_id = backend.get_study_id_from_name(self._run.study_name)
        trial_id = backend.get_trial_id_from_study_id_trial_number(study_id, number)
        for name, value in now.user_attrs.items():
            backend.set_trial_user_attr(trial_id, name, value)
        if now.state is OptunaState.COMPLETE:
            study.tell(number, now.values)
        else:
            study.tell(number, state=now.state)

    @contextmanager
    def alive(self, number: int) -> Iterator[None]:
        """Tell a database every minute, while the context lasts, that the trial is under way."""
        if self._heart is None:
            yield
            return
        ended = threading.Event()
        beating = threading.Thread(
            target=self._beat, args=(self._heart, number, ended), daemon=True, name=f"beat {number}"
        )
        beating.start()
        try:
            yield
        finally:
            ended.set()
            beating.join()

    def _beat(self, heart: RDBStorage, number: int, ended: threading.Event) -> None:
        from sqlalchemy.exc import SQLAlchemyError

        missed = (SQLAlchemyError, optuna.exceptions.StorageInternalError, KeyError)
        while True:
            pause = MISSED_BEAT_SECONDS
            with suppress(*missed):  # a beat is not worth a trial; the next write tells
                study_id = heart.get_study_id_from_name(self._run.study_name)
                heart.record_heartbeat(
                    heart.get_trial_id_from_study_id_trial_number(study_id, number)
                )
                pause = HEARTBEAT_SECONDS
            if ended.wait(pause):
                return

    def _open(self, run: RunDirectory) -> BaseStorage:
        if self._storage == SQLITE:
            return RDBStorage(
                f"sqlite:///{run.study_database.absolute()}", engine_kwargs=_SQLITE_KWARGS
            )
        if self._storage == JOURNAL:
            return JournalStorage(WholeLines(run.study_journal.absolute()))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            if self._storage.startswith(GRPC):
                address = urlsplit(self._storage)
                return GrpcStorageProxy(
                    host=address.hostname or "localhost", port=address.port or GRPC_PORT
                )
            return RDBStorage(
                self._storage,
                engine_kwargs=_SQLITE_KWARGS
                if self._storage.startswith("sqlite")
                else {"pool_pre_ping": True},  # a server drops what is idle for hours
                heartbeat_interval=HEARTBEAT_SECONDS,
            )

    @contextmanager
    def _store_errors(self) -> Iterator[None]:
        """Turn what a storage raises when its disk, server or content fails into our errors."""
        try:
            yield
        except (ImportError, optuna.exceptions.StorageInternalError, OSError) as error:
            raise self._explained(error) from error
        except Exception as error:
            foreign = type(error).__module__.startswith(("sqlalchemy", "optuna.storages", "grpc"))
            other_version = isinstance(error, RuntimeError) and "version" in str(error)
            if foreign or other_version or isinstance(error, ValueError | KeyError):
                raise self._explained(error) from error
            raise

    def _explained(self, error: Exception) -> SettingsError | StoreError:
        deepest: BaseException = error
        while deepest.__cause__ is not None:
            deepest = deepest.__cause__
        said = _RPC_DETAILS.search(str(deepest))
        # A driver may repeat the URL it was given, password and all.
        reason = without_secrets_of(self._storage, said[1] if said else str(deepest))
        reason = reason.partition("\n")[0]
        if isinstance(error, ImportError):
            return SettingsError(f"storage {self._label} needs a driver: {reason}")
        if _LOCKED.search(reason):
            return _LockedError(f"study storage {self._label} is held by another program: {reason}")
        if self._storage in {SQLITE, JOURNAL}:
            advice = (
                "make room and resume; if it is damaged, remove it while nobody works on the "
                "study: it is made anew from the records"
            )
        else:
            advice = "check the address and whether the server answers"
        return StoreError(f"study storage {self._label} fails: {reason}; {advice}")


class _LockedError(StoreError):
    """Another program holds the database for the moment."""


class WholeLines(JournalFileBackend):
    """A journal file that holds whole lines only.

    A process that is killed, or a disk that is full, can leave half a line. Optuna would append to
    it and make the journal unreadable for ever.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), lock_obj=_HeldByTheStudy(str(path)))
        self._path = path

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append after the last whole line, everything or nothing."""
        end = cut_torn_line(self._path)
        try:
            super().append_logs(logs)
        except OSError:
            os.truncate(self._path, end)
            raise


class _HeldByTheStudy(JournalFileOpenLock):
    """No lock beside the study's: one of Optuna's would outlive a killed process by 30 s."""

    def acquire(self) -> bool:
        """The caller has the study lock."""
        return True

    def release(self) -> None:
        """The caller gives it back."""


def cut_torn_line(path: Path) -> int:
    """Remove what follows the last line end of a file; return its length then, in bytes."""
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        whole = end
        while whole > 0:
            start = max(0, whole - 4096)
            file.seek(start)
            last = file.read(whole - start).rfind(b"\n")
            if last >= 0:
                whole = start + last + 1
                break
            whole = start
        if whole != end:
            file.truncate(whole)
        return whole


def choose_storage(setting: str | None, run: RunDirectory, *, shared: bool) -> str:
    """The storage of a study: as set, else the one it has, else a journal if it is shared.

    Parameters
    ----------
    setting : str or None
        `sqlite`, `journal` or a URL.
    shared : bool
        Whether several processes work on it.
    """
    if setting is not None:
        return setting
    return JOURNAL if shared or run.study_journal.exists() else SQLITE


def storage_label(storage: str, run: RunDirectory) -> str:
    """The storage for people: a file name, or the URL without its password."""
    if storage == SQLITE:
        return run.study_database.name
    return run.study_journal.name if storage == JOURNAL else without_secrets(storage)


def optuna_trial(
    number: int, trials: TrialStore, *, space: AnySpace, objectives: Sequence[Objective]
) -> FrozenTrial | None:
    """A trial of a study in Optuna's form; None while it has no config."""
    if (config := trials.config(number)) is None:
        return None
    record = trials.record(TrainingId(number))
    if record is None:
        return frozen_trial(config, space, state=OptunaState.RUNNING)
    values = None
    if record.state is TrialState.COMPLETE:
        values = [objective.value(record.scores) for objective in objectives]
    return frozen_trial(
        config,
        space,
        state=_OPTUNA_STATES[record.state],
        values=values,
        attributes=_attributes(record),
    )


def objective_names(objectives: Sequence[Objective]) -> list[str]:
    """Names of the values that Optuna is given, which are all minimised."""
    return [f"minus {o.label}" if o.sign < 0 else o.label for o in objectives]


def _attributes(record: TrialRecord) -> dict[str, Any]:
    """What Optuna's tools show of a trial beside its values: scores, times, why it failed."""
    scores = {name: record.scores[name] for name in SHOWN_SCORES if name in record.scores}
    facts = {"fit_seconds": record.fit_seconds, "steps": record.steps, "seed": record.seed}
    reason = {"reason": record.reason} if record.reason else {}
    return {**scores, **facts, **reason}


def frozen_trial(
    config: Config,
    space: AnySpace,
    *,
    state: OptunaState = OptunaState.COMPLETE,
    values: Sequence[float] | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> FrozenTrial:
    """A trial in Optuna's form."""
    ranges = parameter_ranges(space, config)
    return optuna.trial.create_trial(
        state=state,
        params=dict(trial_parameters(config, space)),
        distributions={name: parameter.distribution() for name, parameter in ranges.items()},
        values=values,
        user_attrs=dict(attributes or {}),
    )
