"""What has become of each training, read from the run directory.

The folders of trials are the truth about a study. A folder is there from the moment a process takes
the trial's number, its `proposal.json` once the config is known, its `rungs.json` while it trains
beyond a rung, and its `record.json` when it has ended. A repeat of the trial with another seed has
a folder of the same kind inside, and an empty file beside the trials' folders that makes it known.
Other processes add to all this at any time; a refresh reads what is new.
"""

from __future__ import annotations

import re
from dataclasses import fields
from typing import TYPE_CHECKING, Any, NamedTuple

from paretocast.errors import StoreError
from paretocast.search.selection import TrialState
from paretocast.training.trial import RungScores, TrialRecord, load_rung_scores
from paretocast.workspace import files

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paretocast.search.space import Config
    from paretocast.workspace.files import RunDirectory

_TRIAL, _REPEAT = re.compile(r"\d+"), re.compile(r"\.(\d+)\.seed_(\d+)")


class TrainingId(NamedTuple):
    """A training that one process does at a time.

    Attributes
    ----------
    seed_index : int
        0 for the trial itself, above for a repeat of it with another seed.
    """

    number: int
    seed_index: int = 0


class TrialStore:
    """The trials of a study as far as this process has read them."""

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        self._records: dict[TrainingId, TrialRecord] = {}
        self._trainings: tuple[TrialRecord, ...] = ()  # those of `_records`, sorted when asked for
        self._names: set[str] = set()  # seen in the folder of trials
        self._begun: set[TrainingId] = set()
        self._open: set[TrainingId] = set()  # begun and not in `_records`
        self._free = 0
        self._proposals: dict[int, Config] = {}

    @property
    def trials(self) -> tuple[TrialRecord, ...]:
        """Finished trials by number, without their repeats."""
        return tuple(record for record in self.trainings if record.seed_index == 0)

    @property
    def trainings(self) -> tuple[TrialRecord, ...]:
        """Finished trials and repeats, by number and seed."""
        if len(self._trainings) != len(self._records):  # records are added and never changed
            self._trainings = tuple(self._records[item] for item in sorted(self._records))
        return self._trainings

    @property
    def open_items(self) -> tuple[TrainingId, ...]:
        """What was begun and has not ended, by number and seed."""
        return tuple(sorted(self._open))

    @property
    def free_number(self) -> int:
        """The lowest number that no trial has."""
        while TrainingId(self._free) in self._begun:  # what was begun stays so
            self._free += 1
        return self._free

    def refresh(self) -> tuple[TrialRecord, ...]:
        """Read what has come since the last time; what has ended since, by number and seed.

        Raises
        ------
        StoreError
            If a record is damaged or of another version.
        """
        names = set(files.list_names(self._run.trials_folder))
        for name in names - self._names:
            if _TRIAL.fullmatch(name):
                self._open_item(TrainingId(int(name)))
            elif (repeat := _REPEAT.fullmatch(name)) is not None:
                self._open_item(TrainingId(int(repeat[1]), int(repeat[2])))
        self._names |= names
        ended = []
        for item in self.open_items:
            if (record := load_record(self._run, *item)) is not None:
                self._add(item, record)
                ended.append(record)
        return tuple(ended)

    def has_begun(self, item: TrainingId) -> bool:
        """Whether somebody has taken it, as far as is known here."""
        return item in self._begun

    def begin(self, item: TrainingId) -> None:
        """Count an item as taken, whatever a listing says, and make a repeat known to others."""
        self._open_item(item)
        if item.seed_index > 0:
            mark = self._run.trials_folder / f".{item.number:04d}.seed_{item.seed_index}"
            files.save_bytes(mark, b"")

    def record(self, item: TrainingId) -> TrialRecord | None:
        """The record of what is known to have ended."""
        return self._records.get(item)

    def config(self, number: int) -> Config | None:
        """The config of a trial, or None while it is being proposed."""
        if (record := self._records.get(TrainingId(number))) is not None:
            return record.config
        if number not in self._proposals and files.exists(self._run.proposal(number)):
            stored = files.load_json(self._run.proposal(number))
            self._proposals[number] = stored["config"]
        return self._proposals.get(number)

    def rungs(self, number: int) -> tuple[RungScores, ...]:
        """What was seen of a trial at its rungs, whether it has ended or not."""
        if (record := self._records.get(TrainingId(number))) is not None:
            return record.rungs
        path = self._run.rungs(number)
        try:
            stored = files.load_json(path)["rungs"] if files.exists(path) else ()
            return tuple(load_rung_scores(stored))
        except StoreError:
            if files.exists(path):
                raise
            return ()  # it has ended in this moment

    def save_proposal(self, number: int, config: Config) -> None:
        """Write the config of a trial down, before it is evaluated."""
        files.save_json(
            self._run.proposal(number),
            {"schema_version": files.RECORD_SCHEMA_VERSION, "number": number, "config": config},
        )
        self._proposals[number] = config

    def save_rungs(self, item: TrainingId, rungs: Sequence[RungScores], checkpoint: bytes) -> None:
        """Write down what a training that goes on has shown, and where it stands."""
        files.save_bytes(self._run.checkpoint(*item), checkpoint)
        files.save_json(
            self._run.rungs(*item),
            {
                "schema_version": files.RECORD_SCHEMA_VERSION,
                "rungs": [vars(judgement) for judgement in rungs],
            },
        )

    def save_record(self, record: TrialRecord) -> None:
        """Write a record; from here on the training counts."""
        item = TrainingId(record.number, record.seed_index)
        files.save_json(
            self._run.record(*item),
            {"schema_version": files.RECORD_SCHEMA_VERSION, **record.as_json()},
        )
        self._add(item, record)

    def tidy(self, item: TrainingId) -> None:
        """Remove what only a training under way needs."""
        self._run.checkpoint(*item).unlink(missing_ok=True)
        self._run.rungs(*item).unlink(missing_ok=True)
        files.remove_unfinished(self._run.trial_folder(*item))

    def _open_item(self, item: TrainingId) -> None:
        self._begun.add(item)
        if item not in self._records:
            self._open.add(item)

    def _add(self, item: TrainingId, record: TrialRecord) -> None:
        self._records[item] = record
        self._open.discard(item)


def load_record(run: RunDirectory, number: int, seed_index: int = 0) -> TrialRecord | None:
    """The record of a finished training, without its forecasts; None if it has not finished.

    Raises
    ------
    StoreError
        If the record is damaged or of another version.
    """
    path = run.record(number, seed_index)
    if not files.exists(path):
        return None
    stored = files.load_json(path)
    if stored.pop("schema_version", None) != files.RECORD_SCHEMA_VERSION:
        raise StoreError(
            f"{path} is of another version, expected schema_version {files.RECORD_SCHEMA_VERSION}"
        )
    known = {field.name for field in fields(TrialRecord)}
    values: dict[str, Any] = {name: value for name, value in stored.items() if name in known}
    values["state"] = TrialState(values["state"])
    for name in ("scores", "standard_errors"):
        values[name] = _with_nan(values.get(name, {}))
    if values["picp_interval"] is not None:
        values["picp_interval"] = tuple(values["picp_interval"])
    values["rungs"] = tuple(load_rung_scores(values["rungs"]))
    values["stop_losses"] = tuple((step, loss) for step, loss in values["stop_losses"])
    return TrialRecord(**values)


def _with_nan(scores: dict[str, float | None]) -> dict[str, float]:
    return {name: float("nan") if value is None else value for name, value in scores.items()}
