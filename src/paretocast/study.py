"""One study: ask for a config, evaluate it, tell the result; stop and resume at any moment.

The study database holds configs and objective values, the run directory the records and forecasts.
A trial counts when its record is on disk, so a process killed between record and database loses
nothing. Each proposal comes from a sampler seeded by the study's seed and the trial's number: a
study that was interrupted proposes what an uninterrupted one would have proposed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import optuna
from optuna.trial import TrialState as OptunaState

from paretocast import store
from paretocast.errors import DataError, StoreError
from paretocast.halving import survives
from paretocast.models.references import REFERENCES, forecast_reference
from paretocast.objectives import parse_objectives
from paretocast.results import Outcome, best_params, summarise
from paretocast.selection import TrialState
from paretocast.space import default_config, suggest_config, trial_parameters
from paretocast.task import installed_versions, manifest_hash
from paretocast.trial import (
    Bench,
    Judgement,
    TrialInterrupted,
    TrialRecord,
    load_judgements,
    run_trial,
    score_on_tune,
    trial_seed,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from optuna.trial import FrozenTrial

    from paretocast.settings import TuneSettings
    from paretocast.store import RunDirectory

N_STARTUP_TRIALS = 8
FEWEST_TRIALS_FOR_IMPORTANCE = 10


class Observer(Protocol):
    """Who is told how a study goes; the command line draws its progress bar from it."""

    def trial_started(self, number: int, config: dict[str, Any], *, resumed: bool) -> None:
        """A trial begins, or goes on from its checkpoint."""

    def trial_advanced(self, step: int, total_steps: int, stop_loss: float) -> None:
        """The stop split was judged."""

    def trial_ended(self, record: TrialRecord, outcome: Outcome | None) -> None:
        """A trial has its record."""


@dataclass(frozen=True)
class StudyResult:
    """How a run of a study ended.

    Attributes
    ----------
    ended_by : str
        "trials", "time limit" or "request".
    outcome : Outcome or None
        None if no trial is complete.
    importances : dict of objective to parameter to share
        Empty while there are too few trials.
    """

    ended_by: str
    outcome: Outcome | None
    records: tuple[TrialRecord, ...]
    importances: dict[str, dict[str, float]]


class Study:
    """A study on disk, new or continued."""

    def __init__(self, settings: TuneSettings, run: RunDirectory, bench: Bench) -> None:
        self._settings = settings
        self._run = run
        self._bench = bench
        self._space = settings.search_space()
        self._objectives = parse_objectives(settings.objectives)
        self._manifest = _manifest(settings, bench)
        store.create_folder(run.folder)
        self._check_manifest()
        optuna.logging.set_verbosity(optuna.logging.ERROR)  # the observer is told all it would say
        self._optuna = optuna.create_study(
            storage=f"sqlite:///{run.study_database.absolute()}",
            study_name=run.study_name,
            directions=["minimize"] * len(self._objectives),
            load_if_exists=True,
        )
        self.references = score_references(bench)
        self._records = {
            trial.number: record
            for trial in self._optuna.get_trials(deepcopy=False)
            if (record := load_record(run, trial.number)) is not None
        }

    @property
    def records(self) -> tuple[TrialRecord, ...]:
        """Finished trials by number."""
        return tuple(record for _, record in sorted(self._records.items()))

    def optimise(
        self,
        observer: Observer,
        *,
        should_stop: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> StudyResult:
        """Run trials until their total, the time limit or a request ends it.

        Parameters
        ----------
        should_stop : callable
            Asked after every gradient step; a running trial is put away with its checkpoint.
        clock : callable
            Seconds that only grow.
        """
        limit = self._settings.time_limit_seconds
        deadline = None if limit is None else clock() + limit

        def must_stop() -> bool:
            return should_stop() or (deadline is not None and clock() >= deadline)

        self._tell_finished_trials()
        while len(self._records) < self._settings.trials and not must_stop():
            number, config = self._next_trial()
            try:
                self._evaluate(number, config, observer, must_stop)
            except TrialInterrupted as interrupted:
                store.save_bytes(self._run.checkpoint(number), interrupted.checkpoint)
                break
        return self._conclude(asked=should_stop())

    def outcome(self) -> Outcome | None:
        """Front and choice so far."""
        return summarise(
            self.records,
            objectives=self._objectives,
            policy=self._settings.policy,
            target_coverage=self._settings.target_coverage,
            references=self.references,
        )

    def _check_manifest(self) -> None:
        """Write the manifest of a new study, or compare it with that of the one to continue."""
        path = self._run.manifest
        stored = store.load_json(path) if path.exists() else self._manifest
        if stored["manifest_hash"] != self._manifest["manifest_hash"]:
            changed = _differences(stored["comparable"], self._manifest["comparable"])
            raise StoreError(
                f"study {self._run.study_name} was made under other conditions and cannot be "
                f"continued: {'; '.join(changed[:4])}. Repeat the options it was started with, "
                "or choose another --job-id"
            )
        store.save_json(path, self._manifest)  # what is wanted now, such as more trials

    def _tell_finished_trials(self) -> None:
        """Records whose trial the database still takes for running: the process died in between."""
        for trial in self._optuna.get_trials(deepcopy=False, states=(OptunaState.RUNNING,)):
            if record := self._records.get(trial.number):
                self._tell(record)

    def _next_trial(self) -> tuple[int, dict[str, Any]]:
        """A trial that a dead process left running, else a new one.

        A proposal is enqueued before it is taken: a kill at any moment leaves its config behind.
        """
        for frozen in self._optuna.get_trials(deepcopy=False, states=(OptunaState.RUNNING,)):
            left = optuna.trial.Trial(self._optuna, frozen._trial_id)  # noqa: SLF001  (the only way)
            return frozen.number, suggest_config(left, self._space)
        if not self._optuna.get_trials(deepcopy=False, states=(OptunaState.WAITING,)):
            proposal = trial_parameters(self._propose(), self._space)
            self._optuna.enqueue_trial(proposal)
        taken = self._optuna.ask()
        return taken.number, suggest_config(taken, self._space)

    def _propose(self) -> dict[str, Any]:
        """The next config: the default one first, then what the sampler makes of all scores."""
        number = len(self._optuna.get_trials(deepcopy=False))
        default = default_config(self._settings.model, self._space)
        if number == 0 and default is not None:
            return default
        seen = self._study_of(lambda record: record.rungs[-1])
        seen.sampler = optuna.samplers.TPESampler(
            seed=trial_seed(self._settings.seed, number), n_startup_trials=N_STARTUP_TRIALS
        )
        return suggest_config(seen.ask(), self._space)

    def _study_of(self, rung: Callable[[TrialRecord], Judgement]) -> optuna.Study:
        """A study in memory of all trials with scores, pruned ones included, as of one rung."""
        study = optuna.create_study(directions=["minimize"] * len(self._objectives))
        for trial in self._optuna.get_trials(deepcopy=False):
            record = self._records.get(trial.number)
            if record is not None and record.rungs:
                study.add_trial(
                    optuna.trial.create_trial(
                        params=trial.params,
                        distributions=trial.distributions,
                        values=self._values(rung(record).scores),
                    )
                )
        return study

    def _evaluate(
        self, number: int, config: dict[str, Any], observer: Observer, must_stop: Callable[[], bool]
    ) -> None:
        checkpoint_path = self._run.checkpoint(number)
        checkpoint = checkpoint_path.read_bytes() if checkpoint_path.exists() else None
        observer.trial_started(number, config, resumed=checkpoint is not None)
        record = run_trial(
            self._bench,
            config,
            number=number,
            seed=trial_seed(self._settings.seed, number),
            checkpoint=checkpoint,
            survives=self._survives,
            should_stop=must_stop,
            on_progress=lambda step, loss: observer.trial_advanced(
                step, self._bench.budget_steps, loss
            ),
        )
        if record.forecasts:
            store.save_arrays(self._run.forecasts(number), record.forecasts)
        store.save_json(
            self._run.record(number),
            {"schema_version": store.RECORD_SCHEMA_VERSION, **record.as_json()},
        )
        checkpoint_path.unlink(missing_ok=True)
        self._records[number] = record
        self._tell(record)
        outcome = self.outcome()
        if outcome is not None:
            self._save_best_params(outcome)
        observer.trial_ended(record, outcome)

    def _survives(self, rung: int, scores: dict[str, float]) -> bool:
        """Whether a trial goes on beyond a rung, against all that reached it before."""
        before = [
            self._values(record.rungs[rung].scores)
            for record in self.records
            if len(record.rungs) > rung
        ]
        shape = (len(before), len(self._objectives))
        return survives(np.reshape(np.array(before), shape), np.array(self._values(scores)))

    def _values(self, scores: dict[str, float]) -> list[float]:
        return [objective.value(scores) for objective in self._objectives]

    def _tell(self, record: TrialRecord) -> None:
        match record.state:
            case TrialState.COMPLETE:
                self._optuna.tell(record.number, self._values(record.scores))
            case TrialState.PRUNED:
                self._optuna.tell(record.number, state=OptunaState.PRUNED)
            case TrialState.FAILED:
                self._optuna.tell(record.number, state=OptunaState.FAIL)

    def _conclude(self, *, asked: bool) -> StudyResult:
        outcome = self.outcome()
        if outcome is not None:
            self._save_best_params(outcome)
        if len(self._records) >= self._settings.trials:
            ended_by = "trials"
        else:
            ended_by = "request" if asked else "time limit"
        return StudyResult(ended_by, outcome, self.records, self._importances())

    def _save_best_params(self, outcome: Outcome) -> None:
        content = best_params(
            outcome,
            identity={
                "model": self._run.model,
                "dataset": self._run.dataset,
                "job_id": self._run.job_id,
                "strategy": self._settings.strategy,
                "study_name": self._run.study_name,
                "storage_path": self._run.study_database.name,
                "manifest_hash": self._manifest["manifest_hash"],
            },
            objectives=self._settings.objectives,
            optimization_date=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        store.save_json(self._run.best_params, content)

    def _importances(self) -> dict[str, dict[str, float]]:
        """Share of each parameter in the spread of each objective (PED-ANOVA), adding up to 1.

        As of the first rung, where all trials have had the same training.
        """
        first = self._study_of(lambda record: record.rungs[0])
        if len(first.trials) < FEWEST_TRIALS_FOR_IMPORTANCE:
            return {}
        return {
            objective.name: optuna.importance.get_param_importances(first, target=_value_at(i))
            for i, objective in enumerate(self._objectives)
        }


def score_references(bench: Bench) -> dict[str, dict[str, float]]:
    """Scores of the references on the tune split; one that lacks history is left out."""
    scores = {}
    for name in REFERENCES:
        try:
            forecast = forecast_reference(
                name,
                bench.task.series.values,
                bench.task.issues["tune"],
                horizon_steps=bench.task.shape.horizon_steps,
                levels=bench.task.shape.levels,
            )
        except DataError:
            continue
        scores[name], _ = score_on_tune(bench, forecast, seed=0)
    return scores


def load_record(run: RunDirectory, number: int) -> TrialRecord | None:
    """The record of a finished trial, without its forecasts; None if it has not finished.

    Raises
    ------
    StoreError
        If the record is damaged or of another version.
    """
    path = run.record(number)
    if not path.exists():
        return None
    stored = store.load_json(path)
    if stored.pop("schema_version", None) != store.RECORD_SCHEMA_VERSION:
        raise StoreError(
            f"{path} is of another version, expected schema_version {store.RECORD_SCHEMA_VERSION}"
        )
    known = {field.name for field in fields(TrialRecord)}
    values = {name: value for name, value in stored.items() if name in known}
    values["state"] = TrialState(values["state"])
    values["scores"] = _with_nan(values["scores"])
    if values["picp_interval"] is not None:
        values["picp_interval"] = tuple(values["picp_interval"])
    values["rungs"] = tuple(load_judgements(values["rungs"]))
    values["stop_losses"] = tuple((step, loss) for step, loss in values["stop_losses"])
    return TrialRecord(**values)


def _value_at(index: int) -> Callable[[FrozenTrial], float]:
    return lambda trial: trial.values[index]


def _with_nan(scores: dict[str, float | None]) -> dict[str, float]:
    return {name: float("nan") if value is None else value for name, value in scores.items()}


def _manifest(settings: TuneSettings, bench: Bench) -> dict[str, Any]:
    """What was asked, on what, with what; `comparable` is what a continued study must share."""
    comparable = {
        "task": bench.task.manifest(),
        "model": settings.model,
        "training": {
            **settings.training.model_dump(mode="json", exclude={"epochs"}),
            "steps": bench.budget_steps,
            "batch_size": bench.batch_size,
        },
        "objectives": list(settings.objectives),
        "strategy": settings.strategy,
        "target_coverage": settings.target_coverage,
        "space": {name: repr(parameter) for name, parameter in settings.search_space().items()},
        "seed": settings.seed,
    }
    return {
        "schema_version": 1,
        "manifest_hash": manifest_hash(comparable),
        "comparable": comparable,
        "settings": settings.model_dump(mode="json"),
        "versions": installed_versions(),
        "device": str(bench.source.device),
    }


def _differences(stored: object, given: object, path: str = "") -> list[str]:
    """Paths at which two JSON values differ, with both values."""
    if isinstance(stored, dict) and isinstance(given, dict):
        lines = []
        for key in sorted({*stored, *given}):
            lines += _differences(stored.get(key), given.get(key), f"{path}.{key}".lstrip("."))
        return lines
    if stored == given:
        return []
    return [f"{path} was {_short(stored)}, now {_short(given)}"]


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
