"""Objectives and constraints of a search, by the names of scores.

Every objective is minimised and every constraint is met where its violation is at most 0; this
module alone knows which scores have to be turned round for that.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from paretocast.errors import SettingsError, StoreError
from paretocast.formatting import did_you_mean
from paretocast.metrics.score_table import CALIBRATED_SCORES, MAXIMIZE, MINIMIZE, SCORES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class Objective:
    """A score and the direction in which it is better.

    Attributes
    ----------
    unit : str
        "target" for target units, "%" for percentage points, "" for unitless.
    """

    name: str
    label: str
    unit: str
    sign: int = 1

    @property
    def direction(self) -> str:
        """The better side of the score itself: `minimize` or `maximize`."""
        return MINIMIZE if self.sign > 0 else MAXIMIZE

    def value(self, scores: Mapping[str, float]) -> float:
        """The number to minimise, from the scores of a forecast."""
        if self.name not in scores:
            raise StoreError(f"a record lacks the score {self.name}; train its trial again")
        return self.sign * scores[self.name]


@dataclass(frozen=True)
class Constraint:
    """A bound on a score.

    Attributes
    ----------
    score : str
        Its name.
    lower : bool
        True for the least value allowed, False for the greatest.
    bound : float
        In units of the score.
    """

    score: str
    lower: bool
    bound: float

    def __str__(self) -> str:
        return f"{self.score} {'>=' if self.lower else '<='} {self.bound:g}"

    def violation(self, scores: Mapping[str, float]) -> float:
        """Distance by which the score misses the bound; at most 0 where it is met.

        Relative to the size of the bound, so that bounds in several units can be added up; in
        units of the score where the bound is 0.

        >>> parse_constraint("picp >= 75").violation({"picp": 60.0})
        0.2
        """
        miss = self.bound - scores[self.score] if self.lower else scores[self.score] - self.bound
        return miss / (abs(self.bound) or 1.0)


ALIASES = {"width": "mean_width"}
DEFAULT_OBJECTIVES = ("mae", "coverage_error")
# Accuracy and the interval as it will be once it is calibrated; a coverage that even calibration
# does not bring near the target is excluded.
HONEST, HONEST_OBJECTIVES, HONEST_TOLERANCE = "honest", ("mae", "calibrated_winkler"), 5.0
MOST_OBJECTIVES = 3
_CONSTRAINT = re.compile(r"\s*([A-Za-z0-9_]+)\s*(>=|<=|=>|=<|>|<|==?)\s*(\S+?)\s*")


def known_objectives() -> dict[str, Objective]:
    """Every objective by name: the scores that have a better side, plain and calibrated."""
    entries = [
        *(
            (name, SCORES[name].label, name)
            for name in dict.fromkeys((*DEFAULT_OBJECTIVES, *SCORES))
        ),
        *((name, f"{SCORES[of].label}, calibrated", of) for name, of in CALIBRATED_SCORES.items()),
    ]
    return {
        name: Objective(name, label, SCORES[of].unit, -1 if SCORES[of].direction == MAXIMIZE else 1)
        for name, label, of in entries
        if SCORES[of].direction
    }


def parse_objectives(names: Sequence[str]) -> tuple[Objective, ...]:
    """Objectives by name, in the order given.

    Raises
    ------
    SettingsError
        If a name is unknown or given twice, if there is none, or if there are too many.
    """
    objectives = known_objectives()
    full_names = [ALIASES.get(name, name) for name in names]
    for name, full_name in zip(names, full_names, strict=True):
        if full_name in objectives:
            continue
        if full_name in SCORES:
            raise SettingsError(
                f"{name} has no good side to search for; expected coverage_error as objective, or "
                f'a requirement such as "{name} >= 75"'
            )
        raise SettingsError(
            f"objective {name!r} is unknown, expected some of {', '.join(objectives)}"
            f"{did_you_mean(name, objectives)}"
        )
    if not full_names or len(set(full_names)) != len(full_names):
        raise SettingsError(f"objectives {list(names)} must name at least one score, each once")
    if len(full_names) > MOST_OBJECTIVES:
        raise SettingsError(
            f"{len(full_names)} objectives are given, expected at most {MOST_OBJECTIVES}: nearly "
            "every trial would be on the front. Bound a score by a requirement instead"
        )
    return tuple(objectives[name] for name in full_names)


def parse_constraint(text: str) -> Constraint:
    """A requirement such as ``picp >= 75`` or ``width <= 0.5``.

    Raises
    ------
    SettingsError
        If it is not a known score, ``>=`` or ``<=``, and a finite number.
    """
    match = _CONSTRAINT.fullmatch(text)
    score, relation, bound = match.groups() if match else ("", "", "")
    if relation not in (">=", "<="):
        raise SettingsError(
            f"requirement {text!r} is not understood, expected SCORE >= NUMBER or "
            'SCORE <= NUMBER, such as "picp >= 75"'
        )
    name = ALIASES.get(score, score)
    # A coverage can be bounded; as an objective it has no good side.
    bounded = dict.fromkeys(("picp", "calibrated_picp", *known_objectives(), *SCORES))
    if name not in bounded:
        raise SettingsError(
            f"requirement {text!r} bounds the unknown score {score!r}, expected one of "
            f"{', '.join(bounded)}"
        )
    try:
        number = float(bound)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise SettingsError(f"requirement {text!r} has the bound {bound!r}, expected a number")
    return Constraint(name, lower=relation == ">=", bound=number)


def parse_constraints(texts: Sequence[str]) -> tuple[Constraint, ...]:
    """Requirements in the order given.

    Raises
    ------
    SettingsError
        If one is not understood, a bound is given twice, or two leave nothing between them.
    """
    constraints = tuple(parse_constraint(text) for text in texts)
    for i, later in enumerate(constraints):
        for earlier in constraints[:i]:
            if later.score != earlier.score:
                continue
            if later.lower == earlier.lower:
                raise SettingsError(f"requirements {str(earlier)!r} and {str(later)!r}: give one")
            low, high = (later, earlier) if later.lower else (earlier, later)
            if low.bound > high.bound:
                raise SettingsError(f"requirements {str(low)!r} and {str(high)!r} exclude all")
    return constraints


def total_violation(constraints: Sequence[Constraint], scores: Mapping[str, float]) -> float:
    """Sum of what is violated, 0 where every constraint is met."""
    return sum(max(0.0, constraint.violation(scores)) for constraint in constraints)


def check_defined(
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint],
    scores: Mapping[str, float],
) -> None:
    """Refuse objectives and constraints that are no number on these data.

    Parameters
    ----------
    scores : mapping
        Of any forecast of the tune split: whether mape, mase and r2 are defined depends on the
        observations alone.

    Raises
    ------
    SettingsError
        If one is not.
    """
    used = [*(o.name for o in objectives), *(c.score for c in constraints)]
    undefined = [name for name in used if not math.isfinite(scores[name])]
    if undefined:
        raise SettingsError(
            f"{', '.join(undefined)} cannot be computed on the tune split (its values are all "
            "near zero, or do not vary); choose other --objectives or requirements"
        )
