"""What a search minimises, by name.

Every objective is minimised; this module alone knows which scores have to be turned round for that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from paretocast.errors import SettingsError

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
        """How the score itself is better, for people: `minimize` or `maximize`."""
        return "minimize" if self.sign > 0 else "maximize"

    def value(self, scores: Mapping[str, float]) -> float:
        """The number to minimise, from the scores of a forecast."""
        return self.sign * scores[self.name]


OBJECTIVES = {
    objective.name: objective
    for objective in (
        Objective("mae", "MAE", "target"),
        Objective("coverage_error", "|PICP − target|", "%"),
        Objective("rmse", "RMSE", "target"),
        Objective("pinball", "mean pinball loss", "target"),
        Objective("crps", "CRPS", "target"),
        Objective("winkler", "Winkler score", "target"),
        Objective("mean_width", "mean width", "target"),
        Objective("r2", "R²", "", sign=-1),
    )
}
SINGLE_STAGE = ("mae", "coverage_error")


def parse_objectives(names: Sequence[str]) -> tuple[Objective, ...]:
    """Objectives by name, in the order given.

    Raises
    ------
    SettingsError
        If a name is unknown or given twice, or there is none.
    """
    for name in names:
        if name not in OBJECTIVES:
            raise SettingsError(
                f"objective {name!r} is unknown, expected some of {', '.join(OBJECTIVES)}"
            )
    if not names or len(set(names)) != len(names):
        raise SettingsError(f"objectives {list(names)} must name at least one score, each once")
    return tuple(OBJECTIVES[name] for name in names)
