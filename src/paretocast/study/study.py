"""One study: ask for a config, evaluate it, tell the result; stop and resume at any moment.

A trial counts when its record is on disk. Any number of processes may work on a study: each takes
work under the study lock and claims its folder, so that it is done by one process at a time, and
what a dead process left goes on elsewhere from its last rung. Work is a trial, or a repeat of one
near the front with another seed. A proposal is a function of the study's seed, the trial's number
and the trials seen: one process alone proposes, after any interruption, what it would have proposed
without.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from optuna.trial import TrialState as OptunaState

from paretocast.errors import ExecutionError
from paretocast.search.samplers import Sampler
from paretocast.search.selection import TrialState
from paretocast.study.evaluator import Evaluator
from paretocast.study.importances import parameter_importances
from paretocast.study.manifest import build_manifest, check_manifest
from paretocast.study.optuna_sync import OptunaSync, frozen_trial, storage_place, study_storage
from paretocast.study.outcome import Outcome, best_params
from paretocast.study.repeats import average_over_seeds
from paretocast.study.trial_store import TrainingId, TrialStore
from paretocast.study.warm_start import WarmStart, plan_warm_start
from paretocast.training import device_answers
from paretocast.training.setup import TrainingSetup, step_cost
from paretocast.training.trial import TrialInterrupted, TrialRecord, run_trial, trial_seed
from paretocast.workspace import files
from paretocast.workspace.claims import Claim, StudyLock

if TYPE_CHECKING:
    from collections.abc import Callable

    from optuna.trial import FrozenTrial

    from paretocast.search.space import Config
    from paretocast.settings import TuneSettings
    from paretocast.workspace.files import RunDirectory

# How long a process that finds no work waits before it looks whether another one has died.
WAIT_SECONDS = 1.0
# No file takes that long to write: its process has been killed.
LEFT_BEHIND_SECONDS = 3600.0
_OPTUNA_STATES = {
    TrialState.COMPLETE: OptunaState.COMPLETE,
    TrialState.PRUNED: OptunaState.PRUNED,
    TrialState.FAILED: OptunaState.FAIL,
}


class Observer(Protocol):
    """Who is told how a study goes; the command line draws its progress bar from it."""

    def trial_started(self, number: int, config: dict[str, Any], *, resumed: bool) -> None:
        """A trial or a repeat begins, or goes on from its checkpoint."""

    def trial_advanced(self, step: int, total_steps: int, stop_loss: float) -> None:
        """The stop split was judged."""

    def trial_ended(self, record: TrialRecord, outcome: Outcome | None) -> None:
        """A trial or a repeat has its record."""


@dataclass(frozen=True)
class StudyResult:
    """How a run of a study ended.

    Attributes
    ----------
    ended_by : str
        "trials", "patience", "time limit" or "request".
    outcome : Outcome or None
        None if no trial is complete.
    records : tuple of TrialRecord
        Finished trials by number, each judged on the mean over its seeds.
    importances : dict of objective to parameter to share
        Empty while there are too few trials.
    """

    ended_by: str
    outcome: Outcome | None
    records: tuple[TrialRecord, ...]
    importances: dict[str, dict[str, float]]


@dataclass(frozen=True)
class ClaimedTraining:
    """What a process has claimed to do."""

    item: TrainingId
    claim: Claim


class Study:
    """A study on disk, new or continued; the part of it that this process plays.

    Parameters
    ----------
    shared : bool
        Whether other processes are meant to work on it too.
    worker : int
        Number of this process among them.

    Attributes
    ----------
    notes : tuple of str
        What was moved or left out of the fronts of earlier studies, a sentence each.
    """

    def __init__(
        self,
        settings: TuneSettings,
        run: RunDirectory,
        setup: TrainingSetup,
        *,
        shared: bool = False,
        worker: int = 0,
    ) -> None:
        self._settings = settings
        self._run = run
        self._setup = setup
        self._worker = worker
        self._space = settings.search_space()
        self._evaluator = Evaluator(settings, run, setup)
        self._storage = study_storage(settings.storage, run, shared=shared)
        self._trials = TrialStore(run)
        queue = WarmStart(()) if run.manifest.exists() else self._plan_queue()
        self.notes = queue.notes
        files.create_folder(run.folder)
        files.create_folder(run.trials_folder)
        self._lock = StudyLock(run.lock)
        self._read_and_tidy()  # the long part of it, while others may work
        with self._lock:
            files.remove_unfinished(run.folder, older_than_seconds=LEFT_BEHIND_SECONDS)
            self._optuna = OptunaSync(
                self._storage, run, n_objectives=len(self._evaluator.objectives)
            )
            self._manifest = check_manifest(
                run, build_manifest(settings, setup, queue=queue.configs)
            )
            self._read_and_tidy()
            self._catch_up()
        self._sampler = Sampler(
            self._space,
            n_objectives=len(self._evaluator.objectives),
            sampler=settings.sampler,
            seed=settings.seed,
            n_trials=settings.trials,
            queue=self._manifest["queue"],
            # How the time of a step grows on a GPU was not measured.
            cost=partial(step_cost, setup) if setup.source.device.type == "cpu" else None,
        )

    @property
    def records(self) -> tuple[TrialRecord, ...]:
        """Finished trials by number, as of their first training."""
        return self._trials.trials

    def refresh(self) -> tuple[TrialRecord, ...]:
        """Trials and repeats that other processes have ended since the last look."""
        return self._trials.refresh()

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
            Asked after every gradient step; a running trial is put away with its checkpoint.
        clock : callable
            Seconds that only grow.
        pause : callable
            Waits so many seconds while all that is left is in the hands of other processes.
        """
        limit = self._settings.time_limit_seconds
        deadline = None if limit is None else clock() + limit

        def must_stop() -> bool:
            return should_stop() or (deadline is not None and clock() >= deadline)

        while not must_stop():
            work = self._take_work()
            if work is not None:
                if not self._do(work, observer, must_stop):
                    break
            elif self._trials.open_items:
                pause(WAIT_SECONDS)
            else:
                break
        return self.conclude(asked=should_stop())

    def conclude(self, *, asked: bool) -> StudyResult:
        """What the study has come to, with its result written down."""
        with self._lock:
            self._trials.refresh()
            self._catch_up()
        trainings = self._trials.trainings
        outcome = self.outcome()
        if outcome is not None:
            self._save_best_params(outcome)
        if self._trials.open_items:
            ended_by = "request" if asked else "time limit"
        elif len(self.records) >= self._settings.trials:
            ended_by = "trials"
        elif self._evaluator.has_stalled(trainings):
            ended_by = "patience"
        else:
            ended_by = "request" if asked else "time limit"
        importances = parameter_importances(
            self.records, space=self._space, objectives=self._evaluator.objectives
        )
        return StudyResult(ended_by, outcome, average_over_seeds(trainings), importances)

    def outcome(self) -> Outcome | None:
        """Front and choice so far."""
        return self._evaluator.outcome(self._trials.trainings)

    def _read_and_tidy(self) -> None:
        """Read what has ended; its process may have died before it tidied up."""
        for record in self._trials.refresh():
            self._trials.tidy(TrainingId(record.number, record.seed_index))

    def _plan_queue(self) -> WarmStart:
        return plan_warm_start(
            self._settings.model,
            self._space,
            [Path(run) for run in self._settings.warm_start],
            n_trials=self._settings.trials,
        )

    def _take_work(self) -> ClaimedTraining | None:
        """What a dead process left, else a repeat whose turn it is, else a new trial.

        None where all that is left is in the hands of others, or nothing is left.
        """
        self._trials.refresh()
        under_way = [item.number for item in self._trials.open_items if item.seed_index > 0]
        repeat = self._evaluator.next_repeat(self._trials.trainings, under_way)
        with self._lock:
            self._trials.refresh()
            for item in self._trials.open_items:
                if (work := self._claim(item)) is not None:
                    return work
            if self._evaluator.has_stalled(self._trials.trainings):
                return None
            if (
                repeat is not None
                and not self._trials.has_begun(repeat)
                and (work := self._claim(repeat)) is not None
            ):
                return work
            # Where locks do not reach beyond a machine, another one may take the same number.
            while (number := self._trials.free_number) < self._settings.trials:
                if (work := self._claim(TrainingId(number))) is not None:
                    return work
            return None

    def _claim(self, item: TrainingId) -> ClaimedTraining | None:
        claim = Claim.take(self._run.trial_folder(*item), worker=self._worker)
        if not self._trials.has_begun(item):
            self._trials.begin(item)
        if claim is None:
            return None
        if self._run.record(*item).exists():
            claim.settle()  # a network file system showed its end late
            return None
        return ClaimedTraining(item, claim)

    def _do(self, work: ClaimedTraining, observer: Observer, must_stop: Callable[[], bool]) -> bool:
        """Evaluate what was claimed; False where it was put away because it must stop."""
        try:
            record = self._evaluate(work, observer, must_stop)
            kept = self._keep(record, work)
        except TrialInterrupted as interrupted:
            if work.claim.lost:
                return not must_stop()
            files.save_bytes(self._run.checkpoint(*work.item), interrupted.checkpoint)
            return False
        finally:
            work.claim.release()
        outcome = self.outcome()
        if outcome is not None:
            self._save_best_params(outcome)
        if kept:
            observer.trial_ended(record, outcome)
        return True

    def _evaluate(
        self, work: ClaimedTraining, observer: Observer, must_stop: Callable[[], bool]
    ) -> TrialRecord:
        number, seed_index = work.item
        config = self._config(number)
        seed = trial_seed(self._settings.seed, number, seed_index)
        checkpoint_path = self._run.checkpoint(*work.item)
        checkpoint = checkpoint_path.read_bytes() if checkpoint_path.exists() else None
        progress = checkpoint_path.stat().st_mtime if checkpoint is not None else 0.0
        deaths = work.claim.deaths_before(since=progress)
        if deaths >= self._settings.max_deaths:
            reason = f"{deaths} processes died over it; memory may be too small for this config"
            return TrialRecord(
                number, TrialState.FAILED, config, seed, seed_index=seed_index, reason=reason
            )
        observer.trial_started(number, config, resumed=checkpoint is not None)

        def goes_on(rung: int, scores: dict[str, float]) -> bool:
            return seed_index > 0 or self._goes_on(number, rung, scores)

        with self._optuna.alive(number):
            record = run_trial(
                self._setup,
                config,
                number=number,
                seed=seed,
                seed_index=seed_index,
                checkpoint=checkpoint,
                survives=goes_on,
                should_stop=lambda: must_stop() or work.claim.lost,
                on_progress=lambda step, loss: observer.trial_advanced(
                    step, self._setup.budget_steps, loss
                ),
                on_rung=lambda rungs, state: self._trials.save_rungs(work.item, rungs, state),
            )
        device = self._setup.source.device
        if record.state is TrialState.FAILED and not device_answers(device):
            raise ExecutionError(
                f"device {device} does not answer any more ({record.reason}); trial {number} is "
                "left to other processes"
            )
        return record

    def _keep(self, record: TrialRecord, work: ClaimedTraining) -> bool:
        """Write down what came of a training, unless another process has taken it over."""
        if record.forecasts and work.claim.still_held():
            files.save_arrays(self._run.forecasts(*work.item), record.forecasts)
        with self._lock:
            if not work.claim.still_held() or self._run.record(*work.item).exists():
                return False
            self._trials.save_record(record)
            self._trials.refresh()
            self._trials.tidy(work.item)
            work.claim.settle()
            self._catch_up()
        return True

    def _config(self, number: int) -> Config:
        """The config of a trial, proposed now if nobody has."""
        config = self._trials.config(number)
        if config is None:
            known = self._configs_under_way(number)
            config = self._suggest(number)
            with self._lock:
                self._trials.refresh()
                if (taken_over := self._trials.config(number)) is not None:
                    return taken_over  # this process was held up, another one has proposed
                # Two that propose at the same moment would go to the same place.
                if self._configs_under_way(number).keys() - known.keys():
                    config = self._suggest(number)
                self._trials.save_proposal(number, config)
                self._catch_up()
        return config

    def _suggest(self, number: int) -> Config:
        """The config of a new trial, from all that is known of the others."""
        self._trials.refresh()
        outcome = self.outcome()
        judged = self.records if outcome is None else outcome.records
        seen = [
            self._evaluator.seen(r.number, r.config, r.rungs, r.scores, failed=not r.scores)
            for r in judged
        ]
        seen += [
            self._evaluator.seen(other, config, self._trials.rungs(other), running=True)
            for other, config in self._configs_under_way(number).items()
        ]
        return self._sampler.suggest(number, seen)

    def _configs_under_way(self, number: int) -> dict[int, Config]:
        """Configs of the other trials that run, as far as they have one."""
        configs = {other: self._trials.config(other) for other in self._others_under_way(number)}
        return {other: config for other, config in configs.items() if config is not None}

    def _goes_on(self, number: int, rung: int, scores: dict[str, float]) -> bool:
        """Whether a trial goes on beyond a rung, against all that have reached it before."""
        self._trials.refresh()
        others = [*(record.number for record in self.records), *self._others_under_way(number)]
        before = [rungs[rung].scores for o in others if len(rungs := self._trials.rungs(o)) > rung]
        return self._evaluator.goes_on(before, scores)

    def _others_under_way(self, number: int) -> list[int]:
        """Trials, not repeats, that were begun and have not ended, without this one."""
        trials = (item.number for item in self._trials.open_items if item.seed_index == 0)
        return [other for other in trials if other != number]

    def _catch_up(self) -> None:
        """Bring Optuna's study in line with the records; the caller holds the lock."""
        self._optuna.catch_up(self._trials.free_number, self._mirrored)

    def _mirrored(self, number: int) -> FrozenTrial | None:
        """A trial as Optuna keeps it, or None while its config is not known."""
        if (config := self._trials.config(number)) is None:
            return None
        record = self._trials.record(TrainingId(number))
        if record is None:
            return frozen_trial(config, self._space, state=OptunaState.RUNNING)
        complete = record.state is TrialState.COMPLETE
        values = self._evaluator.values(record.scores) if complete else None
        return frozen_trial(config, self._space, state=_OPTUNA_STATES[record.state], values=values)

    def _save_best_params(self, outcome: Outcome) -> None:
        """Write down what a study has come to, unless more has ended: who ended that will."""
        content = best_params(
            outcome,
            identity={
                "model": self._run.model,
                "dataset": self._run.dataset,
                "job_id": self._run.job_id,
                "strategy": self._settings.strategy,
                "study_name": self._run.study_name,
                "storage_path": storage_place(self._storage, self._run),
                "manifest_hash": self._manifest["manifest_hash"],
            },
            objectives=self._settings.objectives,
            optimization_date=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        with self._lock:
            if not self._trials.refresh():
                files.save_json(self._run.best_params, content)
