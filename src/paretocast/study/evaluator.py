"""Decisions on the trials of a study: objectives, constraints, front, pruning, repeats, patience.

They rest on records and stored forecasts; nothing is started or written here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from paretocast.errors import DataError, StoreError
from paretocast.search.models import MODELS
from paretocast.search.objectives import (
    check_defined,
    parse_constraints,
    parse_objectives,
    total_violation,
)
from paretocast.search.pruning import promotes
from paretocast.search.samplers import Observation
from paretocast.search.selection import TrialState
from paretocast.search.space import model_in
from paretocast.study.outcome import Outcome, summarise
from paretocast.study.repeats import average_over_seeds, plan_repeat
from paretocast.study.stopping import has_stalled, worst_corner
from paretocast.study.trial_store import TrainingId
from paretocast.training.pooled_scores import draw_on_tune, score_simple
from paretocast.training.trial import load_forecasts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from paretocast.search.space import Config
    from paretocast.settings import TuneSettings
    from paretocast.study.trial_store import TrialStore
    from paretocast.training.pooling import AnySetup
    from paretocast.training.trial import RungScores, TrialRecord
    from paretocast.workspace.runs import RunDirectory

    Scores = Mapping[str, float]


class Evaluator:
    """The trials of a study compared with each other and with the baselines.

    Everything is as of the last refresh of the trial store.

    Attributes
    ----------
    baselines : dict of name to scores
        On the tune split.
    notes : tuple of str
        A sentence on each baseline that cannot be compared.

    Raises
    ------
    SettingsError
        If an objective or a constraint is no number on these data.
    """

    def __init__(
        self, settings: TuneSettings, run: RunDirectory, setup: AnySetup, trials: TrialStore
    ) -> None:
        self._settings = settings
        self._run = run
        self._setup = setup
        self._trials = trials
        self.objectives = parse_objectives(settings.objectives)
        self.constraints = parse_constraints(settings.require)
        self.baselines, self.notes = score_baselines(setup)
        for scores in self.baselines.values():
            check_defined(self.objectives, self.constraints, scores)
        self._draws: dict[TrainingId, dict[str, NDArray[np.float64]]] = {}
        self._outcome: Outcome | None = None
        self._outcome_of: tuple[TrialRecord, ...] | None = None  # the trainings it summarises

    def outcome(self) -> Outcome | None:
        """Front and selected trial so far; None while no trial is complete."""
        trainings = self._trials.trainings
        if self._outcome_of is not trainings:  # the store makes a new tuple when one is added
            self._outcome = summarise(
                trainings,
                objectives=self.objectives,
                policy=self._settings.policy,
                target_coverage=self._settings.target_coverage,
                baselines=self.baselines,
                constraints=self.constraints,
                draws_of=self._draws_of,
            )
            self._outcome_of = trainings
        return self._outcome

    def averaged_records(self) -> tuple[TrialRecord, ...]:
        """Finished trials by number, each averaged over its seeds."""
        trainings = self._trials.trainings
        if self._outcome is not None and self._outcome_of is trainings:
            return self._outcome.records
        return average_over_seeds(trainings)

    def promotes(self, number: int, rung: int, scores: Scores) -> bool:
        """Return whether a trial goes on beyond a rung, against all that reached it before."""
        others = self._trials.scores_at_rung(rung, without=number)
        shape = (len(others), len(self.objectives))
        return promotes(
            np.reshape(np.array([self._values(other) for other in others]), shape),
            np.array(self._values(scores)),
            violations=[total_violation(self.constraints, s) for s in (*others, scores)],
        )

    def observations(self, *, without: int) -> list[Observation]:
        """The trials but one, finished and running, as a sampler may learn from them."""
        finished = [
            self._observation(r.number, r.config, r.rungs, r.scores, failed=not r.scores)
            for r in self.averaged_records()
        ]
        running = [
            self._observation(number, config, self._trials.rungs(number), running=True)
            for number, config in self._trials.running_configs(without=without).items()
        ]
        return finished + running

    def due_repeat(self) -> TrainingId | None:
        """The trial to train again with its new seed; None if it is a new trial's turn."""
        outcome = self.outcome()
        limits = self._settings.racing
        if outcome is None or limits.max_seeds == 1:
            return None
        planned = plan_repeat(
            self._trials.trainings,
            front_probability={
                number: chance
                for number, chance in outcome.front_probability.items()
                if self._is_network(number)
            },
            front=outcome.front,
            under_way=[t.number for t in self._trials.open_trainings if t.seed_index > 0],
            steps_of_next=self._setup.budget_steps,
            max_seeds=limits.max_seeds,
            share=limits.share,
        )
        return None if planned is None else TrainingId(*planned)

    def _is_network(self, number: int) -> bool:
        """Return whether another seed would give a trial another result."""
        config = self._trials.config(number) or {}
        return MODELS[model_in(config, self._setup.model)].is_network

    def has_stalled(self) -> bool:
        """Return whether the front has stopped growing, if the settings say to end then."""
        if self._settings.patience is None:
            return False
        values = [
            self._values(record.scores)
            if record.state is TrialState.COMPLETE
            and total_violation(self.constraints, record.scores) == 0.0
            else None
            for record in self.averaged_records()
        ]
        corner = worst_corner([self._values(s) for s in self.baselines.values()], values)
        return corner is not None and has_stalled(
            values,
            patience=self._settings.patience,
            growth_percent=self._settings.patience_growth,
            corner=corner,
        )

    def _observation(
        self,
        number: int,
        config: Config,
        rungs: Sequence[RungScores],
        scores: Scores | None = None,
        *,
        running: bool = False,
        failed: bool = False,
    ) -> Observation:
        """One trial; `scores`, the mean over its seeds, stand in for those of its last rung."""
        if not rungs or failed:
            return Observation(number=number, config=config, running=running, failed=failed)
        # By index, not by its steps: a training that lost patience has fewer than its rung.
        budget = self._setup.budget_steps
        shares = [step / budget for step in self._setup.rung_steps[: len(rungs)]]
        if rungs[-1].step == 0:
            shares = [1.0]  # a model that is fitted at once is complete at its only rung
        scores = scores or rungs[-1].scores
        before = [self._values(rung.scores) for rung in rungs[:-1]]
        return Observation(
            number=number,
            config=config,
            values=self._values(scores),
            violations=tuple(constraint.violation(scores) for constraint in self.constraints),
            share=shares[-1],
            before=tuple(zip(shares, before, strict=False)),
            running=running,
        )

    def _values(self, scores: Scores) -> tuple[float, ...]:
        """The objectives, all to be minimised."""
        return tuple(objective.value(scores) for objective in self.objectives)

    def _draws_of(self, record: TrialRecord) -> dict[str, NDArray[np.float64]]:
        """Scores of a training on resampled days; empty where its forecasts are gone."""
        training_id = TrainingId(record.number, record.seed_index)
        if training_id not in self._draws:
            try:
                forecast = load_forecasts(self._run.forecasts(*training_id))["tune"]
                self._draws[training_id] = draw_on_tune(self._setup, forecast)
            except (StoreError, DataError):
                return {}
        return self._draws[training_id]


def score_baselines(setup: AnySetup) -> tuple[dict[str, dict[str, float]], tuple[str, ...]]:
    """Scores of the baselines on the tune split, and a sentence on each that lacks history."""
    scores, reasons = score_simple(setup)
    return scores, tuple(f"not compared with {name}: {why}" for name, why in reasons.items())
