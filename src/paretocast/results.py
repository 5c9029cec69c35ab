"""From the records of a study to what is handed over: front, choice, and `best_params_*.json`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paretocast.errors import StoreError
from paretocast.objectives import OBJECTIVES, Objective
from paretocast.selection import Candidate, Selection, TrialState, front_numbers, select

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from paretocast.trial import TrialRecord

SCHEMA_VERSION = 1
VALIDATION_METRICS = ("mae", "rmse", "mape", "pinball", "crps", "winkler", "picp", "mean_width")


@dataclass(frozen=True)
class Outcome:
    """What a study has found so far.

    Attributes
    ----------
    records : tuple of TrialRecord
        Finished trials by number.
    front : tuple of int
        Numbers of the non-dominated trials in order of MAE.
    references : mapping of name to scores
        On the same windows as the trials.
    """

    records: tuple[TrialRecord, ...]
    front: tuple[int, ...]
    selection: Selection
    references: Mapping[str, Mapping[str, float]]
    target_coverage: float

    @property
    def chosen(self) -> TrialRecord:
        """The record of the selected trial."""
        return next(r for r in self.records if r.number == self.selection.number)

    def count(self, state: TrialState) -> int:
        """Number of trials that ended in a state."""
        return sum(record.state is state for record in self.records)

    def beaten_by(self) -> tuple[str, ...]:
        """References whose MAE on the tune split is not above that of the chosen trial."""
        chosen_mae = self.chosen.scores["mae"]
        return tuple(
            name for name, scores in self.references.items() if scores["mae"] <= chosen_mae
        )


def summarise(
    records: Sequence[TrialRecord],
    *,
    objectives: Sequence[Objective],
    policy: str,
    target_coverage: float,
    references: Mapping[str, Mapping[str, float]],
) -> Outcome | None:
    """Front and choice of the finished trials, or None while no trial is complete."""
    candidates = [
        _candidate(record, objectives) for record in records if record.state is TrialState.COMPLETE
    ]
    if not candidates:
        return None
    return Outcome(
        records=tuple(sorted(records, key=lambda record: record.number)),
        front=tuple(front_numbers(candidates)),
        selection=select(candidates, policy=policy, target=target_coverage),
        references=references,
        target_coverage=target_coverage,
    )


def best_params(
    outcome: Outcome,
    *,
    identity: Mapping[str, str],
    objectives: Sequence[str],
    optimization_date: str,
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
            {
                "name": name,
                "unit": OBJECTIVES[name].unit,
                "direction": OBJECTIVES[name].direction,
            }
            for name in objectives
        ],
        "n_trials": len(outcome.records),
        "n_completed": outcome.count(TrialState.COMPLETE),
        "n_pruned": outcome.count(TrialState.PRUNED),
        "n_failed": outcome.count(TrialState.FAILED),
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
        "validation_metrics": _metrics(chosen.scores),
        "references": {name: _metrics(scores) for name, scores in outcome.references.items()},
        "training_time_hours": sum(record.fit_seconds for record in outcome.records) / 3600.0,
        "study_name": identity["study_name"],
        "storage_path": identity["storage_path"],
        "manifest_hash": identity["manifest_hash"],
        "all_pareto_trials": [
            _pareto_trial(by_number[number], outcome.target_coverage) for number in outcome.front
        ],
    }


def _candidate(record: TrialRecord, objectives: Sequence[Objective]) -> Candidate:
    low, high = _interval(record)
    return Candidate(
        number=record.number,
        values=tuple(objective.value(record.scores) for objective in objectives),
        mae=record.scores["mae"],
        picp=record.scores["picp"],
        picp_low=low,
        picp_high=high,
    )


def _interval(record: TrialRecord) -> tuple[float, float]:
    if record.picp_interval is None:
        raise StoreError(
            f"trial {record.number} is complete but its record holds no interval of PICP"
        )
    return record.picp_interval


def _metrics(scores: Mapping[str, float]) -> dict[str, float]:
    return {name: scores[name] for name in VALIDATION_METRICS}


def _pareto_trial(record: TrialRecord, target: float) -> dict[str, Any]:
    return {
        "trial": record.number,
        "mae": record.scores["mae"],
        "picp": record.scores["picp"],
        "picp_interval": _interval(record),
        "picp_penalty": abs(record.scores["picp"] - target),
        "mean_width": record.scores["mean_width"],
        "winkler": record.scores["winkler"],
        "pinball": record.scores["pinball"],
        "params": record.config,
    }
