"""What the trials of a study are worth: objectives, requirements, front, who goes on, who is raced.

It reads records and kept forecasts and decides; it starts nothing and writes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from paretocast.errors import StoreError
from paretocast.models.baselines.catalogue import forecast_baselines
from paretocast.search.objectives import (
    check_defined,
    parse_constraints,
    parse_objectives,
    total_violation,
)
from paretocast.search.pruning import promotes
from paretocast.search.samplers import Observation
from paretocast.search.selection import TrialState
from paretocast.study.outcome import Outcome, summarise
from paretocast.study.repeats import average_over_seeds, plan_repeat
from paretocast.study.stopping import has_stalled, reference_corner
from paretocast.study.trial_store import TrainingId
from paretocast.training.scoring import draw_on_tune, score_on_tune
from paretocast.workspace import files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from paretocast.search.space import Config
    from paretocast.settings import TuneSettings
    from paretocast.training.setup import TrainingSetup
    from paretocast.training.trial import RungScores, TrialRecord
    from paretocast.workspace.files import RunDirectory

    Scores = Mapping[str, float]


class Evaluator:
    """The eyes of one study.

    Attributes
    ----------
    references : dict of name to scores
        On the tune split.

    Raises
    ------
    SettingsError
        If an objective or a requirement is no number on these data.
    """

    def __init__(self, settings: TuneSettings, run: RunDirectory, setup: TrainingSetup) -> None:
        self._settings = settings
        self._run = run
        self._setup = setup
        self.objectives = parse_objectives(settings.objectives)
        self.constraints = parse_constraints(settings.require)
        self.references = score_baselines(setup)
        for scores in self.references.values():
            check_defined(self.objectives, self.constraints, scores)
        self._draws: dict[TrainingId, dict[str, NDArray[np.float64]]] = {}
        self._outcome: tuple[int, Outcome | None] = (0, None)

    def values(self, scores: Scores) -> tuple[float, ...]:
        """The objectives, all to be minimised."""
        return tuple(objective.value(scores) for objective in self.objectives)

    def outcome(self, trainings: Sequence[TrialRecord]) -> Outcome | None:
        """Front and choice so far; None while no trial is complete."""
        if self._outcome[0] != len(trainings):  # records are added and never changed
            outcome = summarise(
                trainings,
                objectives=self.objectives,
                policy=self._settings.policy,
                target_coverage=self._settings.target_coverage,
                references=self.references,
                constraints=self.constraints,
                draws_of=self._draws_of,
            )
            self._outcome = (len(trainings), outcome)
        return self._outcome[1]

    def goes_on(self, before: Sequence[Scores], scores: Scores) -> bool:
        """Whether a trial goes on beyond a rung, against all that have reached it before."""
        shape = (len(before), len(self.objectives))
        values = np.reshape(np.array([self.values(other) for other in before]), shape)
        return promotes(
            values,
            np.array(self.values(scores)),
            violations=[total_violation(self.constraints, s) for s in (*before, scores)],
        )

    def seen(
        self,
        number: int,
        config: Config,
        rungs: Sequence[RungScores],
        scores: Scores | None = None,
        *,
        running: bool = False,
        failed: bool = False,
    ) -> Observation:
        """A trial as a sampler may learn from it; one that was not judged is to keep away from.

        Parameters
        ----------
        scores : mapping, optional
            Those to go by in place of the last rung's: the mean over seeds.
        """
        if not rungs or failed:
            return Observation(number=number, config=config, running=running, failed=failed)
        # By place, not by its steps: a training that lost patience has fewer than its rung.
        budget = self._setup.budget_steps
        shares = [step / budget for step in self._setup.rung_steps[: len(rungs)]]
        known = scores or rungs[-1].scores
        before = [self.values(rung.scores) for rung in rungs[:-1]]
        return Observation(
            number=number,
            config=config,
            values=self.values(known),
            violations=tuple(constraint.violation(known) for constraint in self.constraints),
            share=shares[-1],
            before=tuple(zip(shares, before, strict=False)),
            running=running,
        )

    def next_repeat(
        self, trainings: Sequence[TrialRecord], under_way: Sequence[int]
    ) -> TrainingId | None:
        """The trial to train again with its new seed, or None if it is a new trial's turn."""
        outcome = self.outcome(trainings)
        racing = self._settings.racing
        if outcome is None or racing.max_seeds == 1:
            return None
        planned = plan_repeat(
            trainings,
            places=outcome.places,
            front=outcome.front,
            under_way=under_way,
            steps_of_next=self._setup.budget_steps,
            max_seeds=racing.max_seeds,
            share=racing.share,
        )
        return None if planned is None else TrainingId(*planned)

    def has_stalled(self, trainings: Sequence[TrialRecord]) -> bool:
        """Whether the front has stopped growing, if the user asked to end it then."""
        if self._settings.patience is None:
            return False
        values = [
            self.values(record.scores)
            if record.state is TrialState.COMPLETE
            and total_violation(self.constraints, record.scores) == 0.0
            else None
            for record in self._judged(trainings)
        ]
        corner = reference_corner([self.values(s) for s in self.references.values()], values)
        return corner is not None and has_stalled(
            values,
            patience=self._settings.patience,
            growth_percent=self._settings.patience_growth,
            corner=corner,
        )

    def _judged(self, trainings: Sequence[TrialRecord]) -> Sequence[TrialRecord]:
        """Each trial on the mean over its seeds, without asking for the front."""
        known = self._outcome[1] if self._outcome[0] == len(trainings) else None
        return average_over_seeds(trainings) if known is None else known.records

    def _draws_of(self, record: TrialRecord) -> dict[str, NDArray[np.float64]]:
        """Scores of a training on resampled days; empty where its forecasts are gone."""
        item = TrainingId(record.number, record.seed_index)
        if item not in self._draws:
            try:
                kept = files.load_arrays(self._run.forecasts(*item))["tune"]
            except (StoreError, KeyError):
                return {}
            self._draws[item] = draw_on_tune(self._setup, kept)
        return self._draws[item]


def score_baselines(setup: TrainingSetup) -> dict[str, dict[str, float]]:
    """Scores of the references on the tune split; one that lacks history is left out."""
    forecasts = forecast_baselines(setup.task, "tune")
    return {name: score_on_tune(setup, forecast, seed=0)[0] for name, forecast in forecasts.items()}
