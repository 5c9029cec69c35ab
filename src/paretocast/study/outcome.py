"""The result of a study, from its records: front, selected trial, and `best_params_*.json`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from paretocast.errors import StoreError
from paretocast.metrics.score_table import SCORES
from paretocast.metrics.scores import percent_above
from paretocast.search.objectives import (
    Constraint,
    Objective,
    parse_objectives,
    total_violation,
)
from paretocast.search.pruning import order_by_merit
from paretocast.search.selection import (
    SIGNIFICANT,
    Candidate,
    Draws,
    Selection,
    TrialState,
    front_numbers,
    front_probability,
    select,
)
from paretocast.study.repeats import (
    average_draws,
    average_over_seeds,
    complete_trainings,
    seed_spread,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from paretocast.search.space import Config
    from paretocast.study.choice import Choice
    from paretocast.training.trial import TrialRecord

    DrawsOf = Callable[[TrialRecord], Mapping[str, NDArray[np.float64]]]

SCHEMA_VERSION = 1
# Trials beyond the best so many are not compared by resampling: they are far from any front.
MOST_COMPARED = 100


@dataclass(frozen=True)
class Outcome:
    """Front and selected trial of a study so far.

    Attributes
    ----------
    records : tuple of TrialRecord
        Finished trials by number, each averaged over its seeds.
    front : tuple of int
        Numbers of the non-dominated trials in order of MAE. Where constraints are given, of those
        that meet them all; if none does, of those that miss them least.
    front_probability : mapping of number to chance
        Chance to be on the front, given what days and seeds may have done: for the trials of the
        front and those that are statistically tied with it.
    gap_errors : mapping of number to mapping of score to standard error
        Of the difference between a trial near the front and the selected one, on the same
        resamples: of the MAE and the objectives. Empty where there are no resamples.
    baselines : mapping of name to scores
        On the same windows as the trials.
    feasible : bool
        Whether the front meets the constraints.
    """

    records: tuple[TrialRecord, ...]
    front: tuple[int, ...]
    front_probability: Mapping[int, float]
    gap_errors: Mapping[int, Mapping[str, float]]
    selection: Selection
    baselines: Mapping[str, Mapping[str, float]]
    target_coverage: float
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...]
    feasible: bool

    @property
    def chosen(self) -> TrialRecord:
        """The record of the selected trial."""
        return next(r for r in self.records if r.number == self.selection.number)

    @property
    def tied(self) -> tuple[int, ...]:
        """Trials off the front that are statistically tied with it, the likeliest member first."""
        off = [number for number in self.front_probability if number not in self.front]
        return tuple(sorted(off, key=lambda number: (-self.front_probability[number], number)))

    def is_tied(self, number: int) -> bool:
        """Return whether another trial may well belong on the front instead of this one."""
        return self.front_probability.get(number, 1.0) < SIGNIFICANT

    def count(self, state: TrialState) -> int:
        """Number of trials that ended in a state."""
        return sum(record.state is state for record in self.records)

    def gain_on(self, config: Config) -> tuple[float, float] | None:
        """Gain of the selected trial's MAE on that of the trial with a config, in percent of it.

        Returns
        -------
        tuple of (gain, standard error) or None
            None where no finished trial has the config, its MAE is 0, or the difference has no
            error.
        """
        for record in self.records:
            if record.config == config and record.number in self.gap_errors:
                mae = record.scores["mae"]
                above = percent_above(self.chosen.scores["mae"], mae)
                if above is None:
                    return None
                return -above, 100.0 * self.gap_errors[record.number]["mae"] / mae
        return None

    def beaten_by(self) -> tuple[str, ...]:
        """Baselines whose MAE on the tune split is not above that of the selected trial."""
        mae = self.chosen.scores["mae"]
        return tuple(name for name, scores in self.baselines.items() if scores["mae"] <= mae)


def summarise(
    records: Sequence[TrialRecord],
    *,
    objectives: Sequence[Objective],
    policy: str,
    target_coverage: float,
    baselines: Mapping[str, Mapping[str, float]],
    constraints: Sequence[Constraint] = (),
    draws_of: DrawsOf | None = None,
) -> Outcome | None:
    """Front and selected trial, or None while no trial is complete.

    Parameters
    ----------
    records : sequence of TrialRecord
        Trials and their repeats.
    draws_of : callable, optional
        From the record of a training to its scores on resampled days (`scoring.draw_on_tune`),
        empty where its forecasts are gone. Asked for trials near the front only. Without it,
        measured
        differences count as they are.
    """
    averaged = average_over_seeds(records)
    complete = [record for record in averaged if record.state is TrialState.COMPLETE]
    if not complete:
        return None
    candidates = [_candidate(record, objectives, constraints) for record in complete]
    if draws_of is not None:
        candidates = _with_draws(candidates, records, objectives, draws_of)
    front = front_numbers(candidates)
    chances = front_probability(candidates)
    selection = select(candidates, policy=policy, target=target_coverage, tied=chances)
    return Outcome(
        records=averaged,
        front=tuple(front),
        front_probability=chances,
        gap_errors=_gap_errors(candidates, selection.number, objectives),
        selection=selection,
        baselines=baselines,
        target_coverage=target_coverage,
        objectives=tuple(objectives),
        constraints=tuple(constraints),
        feasible=all(c.violation == 0.0 for c in candidates if c.number in front),
    )


def best_params(
    outcome: Outcome,
    *,
    identity: Mapping[str, str],
    objectives: Sequence[str],
    optimization_date: str,
    choice: Choice | None = None,
) -> dict[str, Any]:
    """The content of `best_params_*.json`.

    Parameters
    ----------
    identity : mapping
        model, dataset, job_id, strategy, study_name, storage_path and manifest_hash.
    optimization_date : str
        ISO 8601 with a zone.
    """
    chosen = outcome.chosen
    by_number = {record.number: record for record in outcome.records}
    return {
        "schema_version": SCHEMA_VERSION,
        "model": identity["model"],
        "dataset": identity["dataset"],
        "job_id": identity["job_id"],
        "optimization_date": optimization_date,
        "strategy": identity["strategy"],
        "objectives": [
            {"name": o.name, "unit": o.unit, "direction": o.direction}
            for o in parse_objectives(objectives)
        ],
        "n_trials": len(outcome.records),
        "n_completed": outcome.count(TrialState.COMPLETE),
        "n_pruned": outcome.count(TrialState.PRUNED),
        "n_failed": outcome.count(TrialState.FAILED),
        "constraints": [str(constraint) for constraint in outcome.constraints],
        "feasible": outcome.feasible,
        "n_pareto_optimal": len(outcome.front),
        "best_trial_number": chosen.number,
        "selection": {
            "policy": outcome.selection.policy,
            "rule": outcome.selection.rule,
            "reason": outcome.selection.reason,
        },
        "best_mae": chosen.scores["mae"],
        "best_picp": chosen.scores["picp"],
        "best_picp_interval": _interval(chosen),
        "best_params": chosen.config,
        "choice": None if choice is None else choice.as_json(),
        "validation_metrics": _metrics(chosen.scores),
        "references": {name: _metrics(scores) for name, scores in outcome.baselines.items()},
        "training_time_hours": sum(record.fit_seconds for record in outcome.records) / 3600.0,
        "study_name": identity["study_name"],
        "storage_path": identity["storage_path"],
        "manifest_hash": identity["manifest_hash"],
        "all_pareto_trials": [_pareto_trial(by_number[n], outcome) for n in outcome.front],
        "tied_trials": [_pareto_trial(by_number[n], outcome) for n in outcome.tied],
    }


def _candidate(
    record: TrialRecord, objectives: Sequence[Objective], constraints: Sequence[Constraint]
) -> Candidate:
    low, high = _interval(record)
    return Candidate(
        number=record.number,
        values=tuple(objective.value(record.scores) for objective in objectives),
        mae=record.scores["mae"],
        picp=record.scores["picp"],
        picp_low=low,
        picp_high=high,
        violation=total_violation(constraints, record.scores),
        n_seeds=record.n_seeds,
    )


def _with_draws(
    candidates: Sequence[Candidate],
    records: Sequence[TrialRecord],
    objectives: Sequence[Objective],
    draws_of: DrawsOf,
) -> list[Candidate]:
    """The candidates near the front, with their scores on resampled days and other seeds."""
    spread, trainings = seed_spread(records), complete_trainings(records)
    scores = {"mae", "picp", *(objective.name for objective in objectives)}

    def draw(number: int) -> Draws | None:
        drawn = [draws_of(training) for training in trainings[number]]
        mean = average_draws(
            [{score: draws[score] for score in scores} if draws else {} for draws in drawn],
            spread,
            rng=np.random.default_rng(number),
        )
        if not mean:
            return None
        values = np.stack([o.sign * mean[o.name] for o in objectives], axis=-1)
        return Draws(values=values, mae=mean["mae"], picp=mean["picp"])

    return [replace(c, draws=draw(c.number)) for c in _near_front(candidates)]


def _near_front(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The front, and the best of the others up to `MOST_COMPARED`."""
    order = order_by_merit(
        np.array([c.values for c in candidates]), violations=[c.violation for c in candidates]
    )
    near = {candidates[i].number for i in order[:MOST_COMPARED]} | set(front_numbers(candidates))
    return [c for c in candidates if c.number in near]


def _gap_errors(
    candidates: Sequence[Candidate], selected: int, objectives: Sequence[Objective]
) -> dict[int, dict[str, float]]:
    """Standard errors of each trial's differences to the selected one, see `Outcome`."""
    draws = {c.number: c.draws for c in candidates if c.draws is not None}
    if (base := draws.pop(selected, None)) is None:
        return {}
    errors: dict[int, dict[str, float]] = {}
    for number, other in draws.items():
        gaps = {"mae": other.mae - base.mae}
        for j, objective in enumerate(objectives):
            gaps[objective.name] = other.values[:, j] - base.values[:, j]
        errors[number] = {score: float(gap.std(ddof=1)) for score, gap in gaps.items()}
    return errors


def _interval(record: TrialRecord) -> tuple[float, float]:
    if record.picp_interval is None:
        raise StoreError(
            f"trial {record.number} is complete but its record holds no interval of PICP"
        )
    return record.picp_interval


def _metrics(scores: Mapping[str, float]) -> dict[str, float]:
    """The published scores; those of a plugin are missing from older records."""
    return {
        name: scores[name] for name, score in SCORES.items() if score.published and name in scores
    }


def _pareto_trial(record: TrialRecord, outcome: Outcome) -> dict[str, Any]:
    return {
        "trial": record.number,
        "mae": record.scores["mae"],
        "picp": record.scores["picp"],
        "picp_interval": _interval(record),
        "picp_penalty": abs(record.scores["picp"] - outcome.target_coverage),
        "mean_width": record.scores["mean_width"],
        "winkler": record.scores["winkler"],
        "pinball": record.scores["pinball"],
        "objectives": {o.name: record.scores[o.name] for o in outcome.objectives},
        "standard_errors": {o.name: record.standard_errors.get(o.name) for o in outcome.objectives},
        "n_seeds": record.n_seeds,
        "front_probability": outcome.front_probability[record.number],
        "tied": outcome.is_tied(record.number),
        "params": record.config,
    }
