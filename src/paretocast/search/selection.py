"""Selection of the trial that a study results in, by a policy, with the reason.

A policy is a name for a rule; the rule that really decided is kept with the result. Trials that
meet the constraints of a study come before those that do not. A policy selects among the trials
that no others beat significantly, and its first criterion decides only where the difference is
significant; see `docs/decisions/noise.md`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from paretocast.errors import SettingsError
from paretocast.formatting import percent
from paretocast.search.pareto import TIED_FROM, front, front_probabilities, knee

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

TOLERANCE = 5.0  # percentage points around the target coverage
SIGNIFICANT = 0.95
"""Share of the resamples on which a trial must be worse to count as worse."""

SURE = 0.9
"""Probability of a coverage near the target that the policy `probability` asks for."""


class TrialState(StrEnum):
    """The end of a trial."""

    COMPLETE = "complete"
    PRUNED = "pruned"
    FAILED = "failed"


@dataclass(frozen=True)
class Draws:
    """A trial's scores on resampled days and with other seeds; entry r belongs to resample r.

    Attributes
    ----------
    values : ndarray of shape (R, m)
        Objectives of the study.
    mae, picp : ndarray of shape (R,)
        Target units and percent.
    """

    values: Floats
    mae: Floats
    picp: Floats


@dataclass(frozen=True)
class Candidate:
    """A complete trial that a policy may select.

    Attributes
    ----------
    values : tuple of float
        Objectives of the study, all minimised.
    mae : float
        Target units.
    picp, picp_low, picp_high : float
        Measured coverage and its 95 % interval, percent.
    violation : float
        Total violation of the study's constraints, 0 where all are met.
    n_seeds : int
        Trainings whose mean this is.
    draws : Draws or None
        None where they are not known: every measured difference then counts as significant.
    """

    number: int
    values: tuple[float, ...]
    mae: float
    picp: float
    picp_low: float
    picp_high: float
    violation: float = 0.0
    n_seeds: int = 1
    draws: Draws | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Selection:
    """The selected trial.

    Attributes
    ----------
    policy, rule : str
        The policy asked for, and the rule that decided: they differ where a policy falls back.
    reason : str
        One sentence for people.
    """

    number: int
    policy: str
    rule: str
    reason: str


def eligible(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The trials that meet the constraints; if none does, those of the least violation."""
    least = min((c.violation for c in candidates), default=0.0)
    return [c for c in candidates if c.violation == least]


def front_numbers(candidates: Sequence[Candidate]) -> list[int]:
    """Numbers of the non-dominated trials, in order of MAE."""
    allowed = eligible(candidates)
    on_front = front(np.array([c.values for c in allowed], dtype=np.float64))
    ordered = sorted((allowed[i] for i in on_front), key=_by_mae)
    return [c.number for c in ordered]


def front_probability(candidates: Sequence[Candidate]) -> dict[int, float]:
    """Chance to be on the front, of each trial that is on it or tied with it, by number.

    A trial of the front whose chance is below 1 is there by measurement, and perhaps by luck. All
    have the chance 1 where a candidate has no draws.
    """
    members = set(front_numbers(candidates))
    allowed = eligible(candidates)
    draws = [c.draws.values for c in allowed if c.draws is not None]
    if len(draws) < len(allowed):
        return dict.fromkeys(sorted(members), 1.0)
    chances = front_probabilities(np.stack(draws, axis=1))
    return {
        c.number: float(chance)
        for c, chance in zip(allowed, chances, strict=True)
        if chance >= TIED_FROM or c.number in members
    }


def select(
    candidates: Sequence[Candidate],
    *,
    policy: str,
    target: float,
    tied: Collection[int] | None = None,
) -> Selection:
    """The trial that a policy selects.

    Parameters
    ----------
    candidates : sequence of Candidate
        Complete trials, at least one.
    target : float
        Wanted coverage, percent.
    tied : collection of int, optional
        Numbers that `front_probability` gives for these candidates, if it was computed already.

    Raises
    ------
    SettingsError
        If the policy is unknown.
    """
    if policy not in POLICIES:
        raise SettingsError(
            f"selection policy {policy!r} is unknown, expected one of {', '.join(POLICIES)}"
        )
    tied = front_probability(candidates) if tied is None else tied
    return POLICIES[policy]([c for c in candidates if c.number in tied], target)


def _min_mae(members: Sequence[Candidate], _target: float) -> Selection:
    best = min(members, key=_by_mae)
    selected = min(_not_worse(members, best, _mae_draws), key=lambda c: (-c.n_seeds, *_by_mae(c)))
    reason = "lowest MAE, whatever its coverage"
    if selected is not best:
        reason = (
            f"MAE tied with the lowest, that of trial {best.number}, and known from "
            f"{selected.n_seeds} trainings instead of {best.n_seeds}"
        )
    return Selection(selected.number, "min-mae", "min-mae", reason)


def _closest_coverage(members: Sequence[Candidate], target: float) -> Selection:
    def miss(draws: Draws) -> Floats:
        return np.abs(draws.picp - target)

    best = min(members, key=lambda c: (abs(c.picp - target), *_by_mae(c)))
    selected = min(_not_worse(members, best, miss), key=_by_mae)
    reason = f"coverage closest to {target:g} %"
    if selected is not best:
        reason = (
            f"lowest MAE among trials whose coverage is tied with that of trial {best.number}, the "
            f"closest to {target:g} %"
        )
    return Selection(selected.number, "closest-coverage", "closest-coverage", reason)


def _knee(members: Sequence[Candidate], _target: float) -> Selection:
    ordered = sorted(members, key=_by_mae)
    best = ordered[knee(np.array([c.values for c in ordered], dtype=np.float64))]
    reason = "knee of the front: what one objective gains beyond it, the other loses"
    return Selection(best.number, "knee", "knee", reason)


def _compatible_coverage(members: Sequence[Candidate], target: float) -> Selection:
    low, high = _band(target)
    compatible = [c for c in members if c.picp_high >= low and c.picp_low <= high]
    if not compatible:
        at_knee = _knee(members, target)
        reason = (
            f"no trial has a coverage in {low:g}–{high:g} %, uncertainty included, so the "
            f"{at_knee.reason}"
        )
        return Selection(at_knee.number, "compatible-coverage", at_knee.rule, reason)

    def doubt(candidate: Candidate) -> float:
        return 1.0 - _chance_within(candidate, low, high)

    best = min(compatible, key=_by_mae)
    selected = min(_not_worse(compatible, best, _mae_draws), key=lambda c: (doubt(c), *_by_mae(c)))
    lead = (
        "lowest MAE among trials whose 95 % interval of coverage reaches into"
        if selected is best
        else f"MAE tied with the lowest, that of trial {best.number}, and coverage most likely in"
    )
    reason = (
        f"{lead} {low:g}–{high:g} %: measured "
        f"{selected.picp:.1f} % [{selected.picp_low:.1f}, {selected.picp_high:.1f}]"
    )
    return Selection(selected.number, "compatible-coverage", "compatible-coverage", reason)


def _probability(members: Sequence[Candidate], target: float) -> Selection:
    low, high = _band(target)
    chances = {c.number: _chance_within(c, low, high) for c in members}
    sure = [c for c in members if chances[c.number] >= SURE]
    if sure:
        best = min(sure, key=_by_mae)
        reason = f"lowest MAE among trials whose coverage lies within {low:g}–{high:g} % with"
        reason += f" a probability of {percent(SURE)} or more: {percent(chances[best.number])}"
        return Selection(best.number, "probability", "probability", reason)
    best = min(members, key=lambda c: (-chances[c.number], *_by_mae(c)))
    reason = (
        f"no trial's coverage lies within {low:g}–{high:g} % with a probability of "
        f"{percent(SURE)}; "
        f"this one is likeliest to, at {percent(chances[best.number])}"
    )
    return Selection(best.number, "probability", "likeliest-coverage", reason)


def _band(target: float) -> tuple[float, float]:
    """Ends of the band around a target coverage, percent."""
    return max(0.0, target - TOLERANCE), min(100.0, target + TOLERANCE)


def _chance_within(candidate: Candidate, low: float, high: float) -> float:
    """Chance that the coverage lies in a band; without draws 1 if measured there, else 0."""
    if candidate.draws is None:
        return float(low <= candidate.picp <= high)
    return float(((candidate.draws.picp >= low) & (candidate.draws.picp <= high)).mean())


def _not_worse(
    members: Sequence[Candidate], best: Candidate, quantity: Callable[[Draws], Floats]
) -> list[Candidate]:
    """The trials that are not significantly worse than the best one in a quantity."""
    if best.draws is None:
        return [best]
    lowest = quantity(best.draws)
    return [
        c
        for c in members
        if c is best or (c.draws is not None and (quantity(c.draws) > lowest).mean() < SIGNIFICANT)
    ]


def _mae_draws(draws: Draws) -> Floats:
    return draws.mae


def _by_mae(candidate: Candidate) -> tuple[float, int]:
    return candidate.mae, candidate.number


POLICIES: dict[str, Callable[[Sequence[Candidate], float], Selection]] = {
    "compatible-coverage": _compatible_coverage,
    "min-mae": _min_mae,
    "closest-coverage": _closest_coverage,
    "knee": _knee,
    "probability": _probability,
}
DEFAULT_POLICY = "compatible-coverage"
