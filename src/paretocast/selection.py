"""Which trial of a study is handed over, and why.

A policy is a name for a rule; the rule that really chose is kept with the result.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from paretocast.errors import SettingsError
from paretocast.pareto import front, knee

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TOLERANCE = 5.0  # percentage points around the target coverage


class TrialState(StrEnum):
    """How a trial ended."""

    COMPLETE = "complete"
    PRUNED = "pruned"
    FAILED = "failed"


@dataclass(frozen=True)
class Candidate:
    """A complete trial as a policy sees it.

    Attributes
    ----------
    values : tuple of float
        Objectives of the study, all minimised.
    mae : float
        Target units.
    picp, picp_low, picp_high : float
        Measured coverage and its 95 % interval, percent.
    """

    number: int
    values: tuple[float, ...]
    mae: float
    picp: float
    picp_low: float
    picp_high: float


@dataclass(frozen=True)
class Selection:
    """The chosen trial.

    Attributes
    ----------
    policy, rule : str
        What was asked for, and the rule that chose: they differ where a policy falls back.
    reason : str
        One sentence for people.
    """

    number: int
    policy: str
    rule: str
    reason: str


def front_numbers(candidates: Sequence[Candidate]) -> list[int]:
    """Numbers of the non-dominated trials, in order of MAE."""
    on_front = front(np.array([c.values for c in candidates], dtype=np.float64))
    ordered = sorted((candidates[i] for i in on_front), key=lambda c: (c.mae, c.number))
    return [c.number for c in ordered]


def select(candidates: Sequence[Candidate], *, policy: str, target: float) -> Selection:
    """The trial that a policy chooses.

    Parameters
    ----------
    candidates : sequence of Candidate
        Complete trials, at least one.
    target : float
        Wanted coverage, percent.

    Raises
    ------
    SettingsError
        If the policy is unknown.
    """
    if policy not in POLICIES:
        raise SettingsError(
            f"selection policy {policy!r} is unknown, expected one of {', '.join(POLICIES)}"
        )
    on_front = set(front_numbers(candidates))
    return POLICIES[policy]([c for c in candidates if c.number in on_front], target)


def _min_mae(front_members: Sequence[Candidate], _target: float) -> Selection:
    best = min(front_members, key=lambda c: (c.mae, c.number))
    return Selection(best.number, "min-mae", "min-mae", "lowest MAE, whatever its coverage")


def _closest_coverage(front_members: Sequence[Candidate], target: float) -> Selection:
    best = min(front_members, key=lambda c: (abs(c.picp - target), c.mae, c.number))
    reason = f"coverage closest to {target:g} %"
    return Selection(best.number, "closest-coverage", "closest-coverage", reason)


def _knee(front_members: Sequence[Candidate], _target: float) -> Selection:
    ordered = sorted(front_members, key=lambda c: (c.mae, c.number))
    best = ordered[knee(np.array([c.values for c in ordered], dtype=np.float64))]
    reason = "knee of the front: what one objective gains beyond it, the other loses"
    return Selection(best.number, "knee", "knee", reason)


def _compatible_coverage(front_members: Sequence[Candidate], target: float) -> Selection:
    low, high = max(0.0, target - TOLERANCE), min(100.0, target + TOLERANCE)
    compatible = [c for c in front_members if c.picp_high >= low and c.picp_low <= high]
    if compatible:
        best = min(compatible, key=lambda c: (c.mae, c.number))
        reason = (
            f"lowest MAE among trials whose coverage is compatible with {low:g}–{high:g} %: "
            f"{best.picp:.1f} % [{best.picp_low:.1f}, {best.picp_high:.1f}]"
        )
        return Selection(best.number, "compatible-coverage", "compatible-coverage", reason)
    chosen = _knee(front_members, target)
    reason = f"no trial's coverage is compatible with {low:g}–{high:g} %, so the {chosen.reason}"
    return Selection(chosen.number, "compatible-coverage", chosen.rule, reason)


POLICIES: dict[str, Callable[[Sequence[Candidate], float], Selection]] = {
    "compatible-coverage": _compatible_coverage,
    "min-mae": _min_mae,
    "closest-coverage": _closest_coverage,
    "knee": _knee,
}
DEFAULT_POLICY = "compatible-coverage"
