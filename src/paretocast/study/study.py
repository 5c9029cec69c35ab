"""A study: suggest a config, train and evaluate it, keep its record; stop and resume at any moment.

A trial counts when its record is on disk. Any number of processes may work on a study: each takes
a training under the study lock and claims its folder, so that one process at a time does it, and
what a dead process left goes on elsewhere from its last rung. A training is a new trial, or a
repeat of one near the front with another seed. A suggestion is a function of the study's seed, the
trial's number and the other trials: one process alone suggests, after any interruption, what it
would have suggested without.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from paretocast.errors import ExecutionError, SettingsError
from paretocast.search.models import MODELS
from paretocast.search.samplers import ContestSampler, Sampler
from paretocast.search.selection import TrialState
from paretocast.search.space import MODEL, Contest, without_model
from paretocast.study.choice import Choice, choose_method
from paretocast.study.evaluator import Evaluator
from paretocast.study.importances import Importance, parameter_importances
from paretocast.study.manifest import build_manifest, check_manifest
from paretocast.study.optuna_sync import (
    OptunaSync,
    choose_storage,
    objective_names,
    optuna_trial,
    storage_label,
)
from paretocast.study.outcome import Outcome, best_params
from paretocast.study.trial_store import TrainingId, TrialStore
from paretocast.study.warm_start import WarmStart, plan_warm_start
from paretocast.training import device_answers
from paretocast.training.pooling import AnySetup, PooledSetup
from paretocast.training.size import step_cost, total_weights
from paretocast.training.trial import TrialInterrupted, TrialRecord, run_trial, trial_seed
from paretocast.workspace import files, stored
from paretocast.workspace.claims import Claim, StudyLock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from optuna.trial import FrozenTrial

    from paretocast.search.space import Config, Space
    from paretocast.settings import TuneSettings
    from paretocast.workspace.runs import RunDirectory

# Between two looks of an idle process at whether another one has died.
WAIT_SECONDS = 1.0
LAST_WAIT_SECONDS = 60.0  # at the end, for a database that another program holds
COPY_IS_BEHIND = (
    "another program holds the database of the study: Optuna's copy lacks the last trials. Their "
    "records are complete; the next --resume, or paretocast consolidate, brings the copy up to date"
)
NO_FORECASTS = "nothing is recommended: the forecasts of no complete trial can be read"
# No file takes that long to write: its process has been killed.
LEFT_BEHIND_SECONDS = 3600.0


class Observer(Protocol):
    """Callbacks for the progress of a study; the command line draws its progress bar from them."""

    def trial_started(self, number: int, config: dict[str, Any], *, resumed: bool) -> None:
        """A trial or a repeat begins, or goes on from its checkpoint."""

    def trial_advanced(self, step: int, total_steps: int, stop_loss: float) -> None:
        """The loss on the stop split is known at a step."""

    def trial_ended(self, record: TrialRecord, outcome: Outcome | None) -> None:
        """A trial or a repeat has its record."""


@dataclass(frozen=True)
class StudyResult:
    """The end of a run of a study.

    Attributes
    ----------
    ended_by : str
        "trials", "patience", "time limit" or "request".
    outcome : Outcome or None
        None if no trial is complete.
    records : tuple of TrialRecord
        Finished trials by number, each averaged over its seeds.
    importances : dict of objective to Importance
        Of the parameters; empty while there are too few trials.
    choice : Choice or None
        The recommended method; None if no trial is complete.
    notes : tuple of str
        Sentences for the user.
    setup : TrainingSetup, PooledSetup or None
        What the trials shared.
    """

    ended_by: str
    outcome: Outcome | None
    records: tuple[TrialRecord, ...]
    importances: dict[str, Importance]
    choice: Choice | None = None
    notes: tuple[str, ...] = ()
    setup: AnySetup | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class ClaimedTraining:
    """A training that this process alone may do."""

    id: TrainingId
    claim: Claim


class Study:
    """A study on disk, new or continued, as one process works on it.

    Parameters
    ----------
    shared : bool
        Whether other processes are meant to work on it too.
    worker : int
        Number of this process among them.

    Attributes
    ----------
    notes : tuple of str
        Baselines that cannot be compared, and what was moved or left out of the fronts of earlier
        studies, a sentence each.
    """

    def __init__(
        self,
        settings: TuneSettings,
        run: RunDirectory,
        setup: AnySetup,
        *,
        shared: bool = False,
        worker: int = 0,
    ) -> None:
        self._settings = settings
        self._run = run
        self._setup = setup
        self._worker = worker
        self._space = settings.search_space()
        self._lock = StudyLock(run.lock)
        self._trials = TrialStore(run)
        self._evaluator = Evaluator(settings, run, setup, self._trials)
        self._storage = choose_storage(settings.storage, run, shared=shared)
        warm_start = WarmStart(()) if run.manifest.exists() else self._plan_warm_start()
        self.notes = (*self._evaluator.notes, *warm_start.notes)
        self._optuna, self._manifest = self._open(warm_start)
        self._sampler = self._make_sampler(self._manifest["queue"])

    def _make_sampler(self, queue: Sequence[Config]) -> Sampler | ContestSampler:
        """The sampler of the study; of several models one for each."""
        if isinstance(self._space, Contest):
            samplers = {
                name: self._sampler_of(
                    name, space, [without_model(c) for c in queue if c[MODEL] == name]
                )
                for name, space in self._space.spaces.items()
            }
            return ContestSampler(samplers, n_trials=self._settings.trials)
        return self._sampler_of(self._settings.model, self._space, queue)

    def _sampler_of(self, model: str, space: Space, queue: Sequence[Config]) -> Sampler:
        settings, setup = self._settings, replace(self._setup.series[0], model=model)
        # How the time of a step grows on a GPU was not measured.
        is_network, most = MODELS[model].is_network, settings.max_weights
        learns_cost = is_network and setup.source.device.type == "cpu"
        return Sampler(
            space,
            n_objectives=len(self._evaluator.objectives),
            sampler=settings.sampler,
            seed=settings.seed,
            n_trials=settings.trials,
            queue=queue,
            cost=partial(step_cost, setup) if learns_cost else None,
            fits=lambda config: not is_network or not total_weights(setup, config) > most,
        )

    @property
    def records(self) -> tuple[TrialRecord, ...]:
        """Finished trials by number, as of their first training."""
        return self._trials.trials

    def refresh(self) -> tuple[TrialRecord, ...]:
        """Read and return the trials and repeats that have ended since the last refresh."""
        return self._trials.refresh()

    def outcome(self) -> Outcome | None:
        """Front and selected trial so far; None while no trial is complete."""
        return self._evaluator.outcome()

    def optimise(
        self,
        observer: Observer,
        *,
        should_stop: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> StudyResult:
        """Run trials until their total, patience, the time limit or a request ends it.

        Parameters
        ----------
        should_stop : callable
            Asked after every gradient step; a running trial leaves a checkpoint.
        clock : callable
            Seconds that only grow.
        pause : callable
            Waits so many seconds while other processes hold all trainings that are left.
        """
        limit = self._settings.time_limit_seconds
        deadline = None if limit is None else clock() + limit

        def must_stop() -> bool:
            return should_stop() or (deadline is not None and clock() >= deadline)

        while not must_stop():
            training = self._take_training()
            if training is not None:
                if not self._train(training, observer, must_stop):
                    break
            elif self._trials.open_trainings:
                pause(WAIT_SECONDS)
            else:
                break
        return self.conclude(asked=should_stop())

    def conclude(self, *, asked: bool) -> StudyResult:
        """Write the result so far and return it.

        Parameters
        ----------
        asked : bool
            Whether a request to stop ended the run.
        """
        with self._lock:
            self._trials.refresh()
            self._optuna.catch_up(
                self._trials.free_number, self._optuna_trial, patience_seconds=LAST_WAIT_SECONDS
            )
        outcome = self.outcome()
        choice, told = None, tuple[str, ...]()
        if outcome is not None:
            if not isinstance(self._setup, PooledSetup):  # of many series each has its own choice
                choice = choose_method(
                    self._run,
                    self._trials.trainings,
                    task=self._setup.base_task,
                    model=self._settings.model,
                    target_coverage=self._settings.target_coverage,
                )
                told = (NO_FORECASTS,) if choice is None else choice.notes
            self._save_best_params(outcome, choice)
        ended_by = "request" if asked else "time limit"
        if not self._trials.open_trainings:
            if len(self.records) >= self._settings.trials:
                ended_by = "trials"
            elif self._evaluator.has_stalled():
                ended_by = "patience"
        importances = parameter_importances(
            self.records, space=self._space, objectives=self._evaluator.objectives
        )
        records = self._evaluator.averaged_records()
        notes = (COPY_IS_BEHIND, *told) if self._optuna.behind else told
        return StudyResult(
            ended_by, outcome, records, importances, choice, notes, setup=self._setup
        )

    def _take_training(self) -> ClaimedTraining | None:
        """Claim the next training: an abandoned one, else a due repeat, else a new trial.

        None if other processes hold all that is left, or nothing is left.
        """
        self._trials.refresh()
        repeat = self._evaluator.due_repeat()
        with self._lock:
            self._trials.refresh()
            for training_id in self._trials.open_trainings:
                if (training := self._claim(training_id)) is not None:
                    return training
            if self._evaluator.has_stalled():
                return None
            if (
                repeat is not None
                and not self._trials.has_begun(repeat)
                and (training := self._claim(repeat)) is not None
            ):
                return training
            # Where locks do not reach beyond a machine, another one may take the same number.
            while (number := self._trials.free_number) < self._settings.trials:
                if (training := self._claim(TrainingId(number))) is not None:
                    return training
            return None

    def _claim(self, training_id: TrainingId) -> ClaimedTraining | None:
        claim = Claim.take(self._run.trial_folder(*training_id), worker=self._worker)
        if not self._trials.has_begun(training_id):
            self._trials.begin(training_id)
        if claim is None:
            return None
        if self._run.record(*training_id).exists():
            claim.settle()  # a network file system showed its end late
            return None
        return ClaimedTraining(training_id, claim)

    def _train(
        self, training: ClaimedTraining, observer: Observer, must_stop: Callable[[], bool]
    ) -> bool:
        """Evaluate a training and keep its record; False if it stopped at a checkpoint instead."""
        began = time.time()
        try:
            record = self._evaluate(training, observer, must_stop)
            record = replace(record, worker=self._worker, began=began, ended=time.time())
            is_kept = self._keep(record, training)
        except TrialInterrupted as interrupted:
            if training.claim.lost:
                return not must_stop()
            files.save_bytes(self._run.checkpoint(*training.id), interrupted.checkpoint)
            return False
        finally:
            training.claim.release()
        outcome = self.outcome()
        if outcome is not None:
            self._save_best_params(outcome)
        if is_kept:
            observer.trial_ended(record, outcome)
        return True

    def _evaluate(
        self, training: ClaimedTraining, observer: Observer, must_stop: Callable[[], bool]
    ) -> TrialRecord:
        number, seed_index = training.id
        config = self._config(number)
        seed = trial_seed(self._settings.seed, number, seed_index)
        checkpoint_path = self._run.checkpoint(*training.id)
        checkpoint = checkpoint_path.read_bytes() if checkpoint_path.exists() else None
        progress = checkpoint_path.stat().st_mtime if checkpoint is not None else 0.0
        deaths = training.claim.deaths_before(since=progress)
        if deaths >= self._settings.max_deaths:
            reason = f"{deaths} processes died over it; memory may be too small for this config"
            return TrialRecord(
                number, TrialState.FAILED, config, seed, seed_index=seed_index, reason=reason
            )
        observer.trial_started(number, config, resumed=checkpoint is not None)

        def promotes(rung: int, scores: dict[str, float]) -> bool:
            if seed_index > 0:
                return True
            self._trials.refresh()
            return self._evaluator.promotes(number, rung, scores)

        with self._optuna.alive(number):
            record = run_trial(
                self._setup,
                config,
                number=number,
                seed=seed,
                seed_index=seed_index,
                checkpoint=checkpoint,
                survives=promotes,
                should_stop=lambda: must_stop() or training.claim.lost,
                on_progress=lambda step, loss: observer.trial_advanced(
                    step, self._setup.budget_steps, loss
                ),
                on_rung=lambda rungs, state: self._trials.save_rungs(training.id, rungs, state),
            )
        device = self._setup.source.device
        if record.state is TrialState.FAILED and not device_answers(device):
            raise ExecutionError(
                f"device {device} does not answer any more ({record.reason}); trial {number} is "
                "left to other processes"
            )
        return record

    def _keep(self, record: TrialRecord, training: ClaimedTraining) -> bool:
        """Write a record and its forecasts; False if another process took the training over."""
        if record.forecasts and training.claim.still_held():
            files.save_arrays(self._run.forecasts(*training.id), record.forecasts)
        with self._lock_and_sync():
            if not training.claim.still_held() or self._run.record(*training.id).exists():
                return False
            self._trials.save_record(record)
            self._trials.refresh()
            self._trials.tidy(training.id)
            training.claim.settle()
        return True

    def _config(self, number: int) -> Config:
        """The config of a trial, suggested now if it has none yet."""
        config = self._trials.config(number)
        if config is not None:
            return config
        others = self._trials.running_configs(without=number)
        config = self._suggest(number)
        with self._lock_and_sync():
            self._trials.refresh()
            if (taken_over := self._trials.config(number)) is not None:
                return taken_over  # this process was held up, another one has suggested
            # Two that suggest at the same moment would choose the same config.
            if self._trials.running_configs(without=number).keys() - others.keys():
                config = self._suggest(number)
            self._trials.save_proposal(number, config)
        return config

    def _suggest(self, number: int) -> Config:
        """The config of a new trial, from the other trials as they are now."""
        self._trials.refresh()
        return self._sampler.suggest(number, self._evaluator.observations(without=number))

    def _plan_warm_start(self) -> WarmStart:
        settings, runs = self._settings, [Path(run) for run in self._settings.warm_start]
        plan = partial(
            plan_warm_start, n_trials=settings.trials, steps_per_day=settings.task.steps_per_day
        )
        if not isinstance(self._space, Contest):
            return plan(settings.model, self._space, runs)
        if runs:
            raise SettingsError("warm start is for a study of one model, this one has several")
        configs = [
            {MODEL: name, **config}
            for name, space in self._space.spaces.items()
            for config in plan(name, space).configs
        ]
        return WarmStart(tuple(configs))

    def _open(self, warm_start: WarmStart) -> tuple[OptunaSync, dict[str, Any]]:
        """Make or continue what a study has on disk; its Optuna study and its manifest."""
        files.create_folder(self._run.folder)
        files.create_folder(self._run.trials_folder)
        self._read_and_tidy()  # the long part of it, while others may work
        with self._lock:
            files.remove_unfinished(self._run.folder, older_than_seconds=LEFT_BEHIND_SECONDS)
            names = objective_names(self._evaluator.objectives)
            optuna_sync = OptunaSync(self._storage, self._run, objectives=names)
            manifest = build_manifest(self._settings, self._setup, queue=warm_start.configs)
            manifest = check_manifest(self._run, manifest)
            self._read_and_tidy()
            optuna_sync.catch_up(self._trials.free_number, self._optuna_trial)
        return optuna_sync, manifest

    def _read_and_tidy(self) -> None:
        """Read what has ended; its process may have died before it tidied up."""
        for record in self._trials.refresh():
            self._trials.tidy(TrainingId(record.number, record.seed_index))

    @contextmanager
    def _lock_and_sync(self) -> Iterator[None]:
        """Hold the study lock, and bring Optuna's study up to date before giving it back."""
        with self._lock:
            yield
            self._optuna.catch_up(self._trials.free_number, self._optuna_trial)

    def _optuna_trial(self, number: int) -> FrozenTrial | None:
        return optuna_trial(
            number, self._trials, space=self._space, objectives=self._evaluator.objectives
        )

    def _save_best_params(self, outcome: Outcome, choice: Choice | None = None) -> None:
        """Write `best_params_*.json`, unless more has ended: the process that ended it will."""
        content = best_params(
            outcome,
            identity={
                "model": self._run.model,
                "dataset": self._run.dataset,
                "job_id": self._run.job_id,
                "strategy": self._settings.strategy,
                "study_name": self._run.study_name,
                "storage_path": storage_label(self._storage, self._run),
                "manifest_hash": self._manifest["manifest_hash"],
            },
            objectives=self._settings.objectives,
            optimization_date=datetime.now(UTC).isoformat(timespec="seconds"),
            choice=choice,
        )
        with self._lock:
            if not self._trials.refresh():
                stored.save(self._run.best_params, content)
