"""What a search knows of a trial when it proposes another one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from paretocast.space import Config


@dataclass(frozen=True)
class SeenTrial:
    """A trial that a proposal may learn from.

    Attributes
    ----------
    number : int
        Its number in the study.
    values : tuple of float or None
        Objectives as of its last rung, complete or not; None for a trial that was not judged yet,
        or that failed: the samplers keep away from both.
    violations : tuple of float
        One per constraint of the study, unitless, above 0 where it is violated.
    share : float
        Of the budget, at the last rung; 1 for a complete trial.
    before : tuple of (share, values)
        What it was worth at the rungs before, ascending.
    running : bool
        Whether it has not ended: it will have other values than those of its last rung, if any.
    failed : bool
        Whether it has ended without values.
    """

    number: int
    config: Config
    values: tuple[float, ...] | None = None
    violations: tuple[float, ...] = ()
    share: float = 1.0
    before: tuple[tuple[float, tuple[float, ...]], ...] = ()
    running: bool = False
    failed: bool = False
