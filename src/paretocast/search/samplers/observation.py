"""A trial as samplers learn from it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from paretocast.search.pruning import order_by_merit

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from paretocast.search.space import Config


@dataclass(frozen=True)
class Observation:
    """A trial that a sampler may learn from.

    Attributes
    ----------
    number : int
        Its number in the study.
    values : tuple of float or None
        Objectives as of its last rung, complete or not; None for a trial that has not reached a
        rung, or that failed: the samplers keep away from both.
    violations : tuple of float
        One per constraint of the study, unitless, above 0 where it is violated.
    share : float
        Of the budget, at the last rung; 1 for a complete trial.
    before : tuple of (share, values)
        Objectives at the rungs before, ascending.
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


def was_tried(config: Config, trials: Iterable[Observation]) -> bool:
    """Return whether a trial has this config, but for the rounding of a logarithm."""
    return any(_same(config, trial.config) for trial in trials)


def best_first(trials: Sequence[Observation]) -> NDArray[np.intp]:
    """Indices of trials with values by `order_by_merit`, whatever rung the values are from."""
    violations = [sum(max(0.0, v) for v in trial.violations) for trial in trials]
    return order_by_merit(np.array([trial.values for trial in trials]), violations=violations)


def _same(left: Config, right: Config) -> bool:
    return all(
        math.isclose(value, other, rel_tol=1e-9)
        if isinstance(value, float) and isinstance(other := right.get(name), float)
        else value == right.get(name)
        for name, value in left.items()
    )
