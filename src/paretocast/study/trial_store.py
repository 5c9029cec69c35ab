"""Records and open trainings of a study, read from its folder as they come.

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
from paretocast.workspace import files, stored

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paretocast.search.space import Config
    from paretocast.workspace.runs import RunDirectory

# So many digits as a trial may have: a longer name is of somebody else.
_TRIAL, _REPEAT = re.compile(r"\d{1,9}"), re.compile(r"\.(\d{1,9})\.seed_(\d{1,9})")


class TrainingId(NamedTuple):
    """The training of a trial with one seed.

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
        self._trainings: tuple[TrialRecord, ...] | None = ()  # `_records` sorted; None: to be made
        self._names: set[str] = set()  # those read so far in the folder of trials
        self._begun: set[TrainingId] = set()
        self._open: set[TrainingId] = set()  # begun and not in `_records`
        self._free = 0  # no number below it is free
        self._proposals: dict[int, Config] = {}

    @property
    def trials(self) -> tuple[TrialRecord, ...]:
        """Finished trials by number, without their repeats."""
        return tuple(record for record in self.trainings if record.seed_index == 0)

    @property
    def trainings(self) -> tuple[TrialRecord, ...]:
        """Finished trials and repeats, by number and seed; the same tuple until one is added."""
        if self._trainings is None:
            self._trainings = tuple(self._records[key] for key in sorted(self._records))
        return self._trainings

    @property
    def open_trainings(self) -> tuple[TrainingId, ...]:
        """Trainings that were begun and have not ended, by number and seed."""
        return tuple(sorted(self._open))

    @property
    def free_number(self) -> int:
        """The lowest number that no trial has."""
        while TrainingId(self._free) in self._begun:  # what was begun stays so
            self._free += 1
        return self._free

    def refresh(self) -> tuple[TrialRecord, ...]:
        """Read what is new on disk; return the records among it, by number and seed.

        Raises
        ------
        StoreError
            If a record is damaged or of another version.
        """
        names = set(files.list_names(self._run.trials_folder))
        for name in names - self._names:
            if _TRIAL.fullmatch(name):
                self._open_training(TrainingId(int(name)))
            elif (repeat := _REPEAT.fullmatch(name)) is not None:
                self._open_training(TrainingId(int(repeat[1]), int(repeat[2])))
        self._names |= names
        ended = []
        for training in self.open_trainings:
            if (record := load_record(self._run, *training)) is not None:
                self._add(training, record)
                ended.append(record)
        return tuple(ended)

    def has_begun(self, training: TrainingId) -> bool:
        """Return whether a process has taken it, as of the last refresh."""
        return training in self._begun

    def begin(self, training: TrainingId) -> None:
        """Count a training as taken, whatever a listing says; make a repeat known to others."""
        self._open_training(training)
        if training.seed_index > 0:
            mark = self._run.trials_folder / f".{training.number:04d}.seed_{training.seed_index}"
            files.save_bytes(mark, b"")

    def record(self, training: TrainingId) -> TrialRecord | None:
        """The record of a training; None if it had not ended at the last refresh."""
        return self._records.get(training)

    def config(self, number: int) -> Config | None:
        """The config of a trial, or None while it is being suggested."""
        if (record := self._records.get(TrainingId(number))) is not None:
            return record.config
        if number not in self._proposals and files.exists(self._run.proposal(number)):
            proposal = stored.load(self._run.proposal(number), stored.ProposalFile)
            self._proposals[number] = proposal["config"]
        return self._proposals.get(number)

    def rungs(self, number: int) -> tuple[RungScores, ...]:
        """Scores of a trial at its rungs so far, whether it has ended or not."""
        if (record := self._records.get(TrainingId(number))) is not None:
            return record.rungs
        path = self._run.rungs(number)
        try:
            if not files.exists(path):
                return ()
            return tuple(load_rung_scores(stored.load(path, stored.RungsFile)["rungs"]))
        except StoreError:
            if files.exists(path):
                raise
            return ()  # it has ended in this moment

    def running_configs(self, *, without: int) -> dict[int, Config]:
        """Configs of the trials that run, as far as they have one; one trial is left out."""
        configs = {number: self.config(number) for number in self._running(without)}
        return {number: config for number, config in configs.items() if config is not None}

    def scores_at_rung(self, rung: int, *, without: int) -> list[dict[str, float]]:
        """Scores of all trials that have reached a rung; one trial is left out."""
        numbers = [*(record.number for record in self.trials), *self._running(without)]
        return [rungs[rung].scores for n in numbers if len(rungs := self.rungs(n)) > rung]

    def save_proposal(self, number: int, config: Config) -> None:
        """Write the config of a trial, before it is trained."""
        stored.save(
            self._run.proposal(number),
            {"schema_version": files.RECORD_SCHEMA_VERSION, "number": number, "config": config},
        )
        self._proposals[number] = config

    def save_rungs(
        self, training: TrainingId, rungs: Sequence[RungScores], checkpoint: bytes
    ) -> None:
        """Write the checkpoint and the rungs of a training that goes on."""
        files.save_bytes(self._run.checkpoint(*training), checkpoint)
        stored.save(
            self._run.rungs(*training),
            {
                "schema_version": files.RECORD_SCHEMA_VERSION,
                "rungs": [vars(rung) for rung in rungs],
            },
        )

    def save_record(self, record: TrialRecord) -> None:
        """Write a record; from here on the training counts."""
        training = TrainingId(record.number, record.seed_index)
        stored.save(
            self._run.record(*training),
            {"schema_version": files.RECORD_SCHEMA_VERSION, **record.as_json()},
        )
        self._add(training, record)

    def tidy(self, training: TrainingId) -> None:
        """Remove what only a training under way needs."""
        self._run.checkpoint(*training).unlink(missing_ok=True)
        self._run.rungs(*training).unlink(missing_ok=True)
        files.remove_unfinished(self._run.trial_folder(*training))

    def _running(self, without: int) -> list[int]:
        """Numbers of the trials, not repeats, that run; one is left out."""
        trials = (training.number for training in self._open if training.seed_index == 0)
        return sorted(number for number in trials if number != without)

    def _open_training(self, training: TrainingId) -> None:
        self._begun.add(training)
        if training not in self._records:
            self._open.add(training)

    def _add(self, training: TrainingId, record: TrialRecord) -> None:
        self._records[training] = record
        self._trainings = None
        self._open.discard(training)


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
    read = stored.load(path, stored.RecordFile)
    if (read["number"], read.get("seed_index", 0)) != (number, seed_index):
        raise StoreError(f"{path} is the record of trial {read['number']}; put it back there")
    names = {field.name for field in fields(TrialRecord)}
    values: dict[str, Any] = {name: value for name, value in read.items() if name in names}
    values["state"] = TrialState(values["state"])
    for name in ("scores", "standard_errors"):
        values[name] = stored.scores_with_nan(values.get(name, {}))
    values["series_scores"] = {
        name: stored.scores_with_nan(scores)
        for name, scores in values.get("series_scores", {}).items()
    }
    if values["picp_interval"] is not None:
        values["picp_interval"] = tuple(values["picp_interval"])
    values["rungs"] = tuple(load_rung_scores(values["rungs"]))
    values["stop_losses"] = tuple((step, loss) for step, loss in values["stop_losses"])
    return TrialRecord(**values)
