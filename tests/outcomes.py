"""Trials and outcomes written by hand, for figures and pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from paretocast.search.objectives import DEFAULT_OBJECTIVES, parse_objectives
from paretocast.search.selection import Selection, TrialState
from paretocast.study.outcome import Outcome
from paretocast.training.trial import TrialRecord


def complete(number: int, mae: float, picp: float, **others: float) -> TrialRecord:
    """A complete trial, with other scores by name."""
    return TrialRecord(
        number,
        TrialState.COMPLETE,
        config={},
        seed=number,
        scores={"mae": mae, "picp": picp, **others},
        picp_interval=(picp - 2.0, picp + 2.0),
    )


def failed(number: int, *, reason: str = "") -> TrialRecord:
    """A failed trial."""
    return TrialRecord(number, TrialState.FAILED, config={}, seed=number, reason=reason)


def outcome_of(
    records: Sequence[TrialRecord],
    *,
    front: Sequence[int],
    chosen: int,
    places: Mapping[int, float] | None = None,
    gap_errors: Mapping[int, Mapping[str, float]] | None = None,
    references: Mapping[str, Mapping[str, float]] | None = None,
    objectives: Sequence[str] = DEFAULT_OBJECTIVES,
    selection: Selection | None = None,
    feasible: bool = True,
) -> Outcome:
    """An outcome with this front and this chosen trial, whatever the scores say."""
    return Outcome(
        records=tuple(records),
        front=tuple(front),
        front_probability=places or {},
        gap_errors=gap_errors or {},
        selection=selection or Selection(chosen, "knee", "knee", "it was written so"),
        baselines=references or {},
        target_coverage=80.0,
        objectives=parse_objectives(objectives),
        constraints=(),
        feasible=feasible,
    )
