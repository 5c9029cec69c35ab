"""Fair timing: contenders take turns, and a ratio is the median over rounds.

On a shared machine the load drifts by the minute. Two turns of one round meet nearly the same load,
so their ratio is worth more than a ratio of two medians.
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

MOST_STEPS = 500


def alternate(turns: Mapping[str, Callable[[], float]], *, n_rounds: int) -> dict[str, list[float]]:
    """Results of every contender by round; within a round they go one after the other."""
    measured: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(n_rounds):
        for name, turn in turns.items():
            measured[name].append(turn())
    return measured


def median_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """Median over rounds of the ratio within a round.

    >>> median_ratio([2.0, 30.0, 4.0], [1.0, 10.0, 1.0])
    3.0
    """
    return statistics.median(n / d for n, d in zip(numerators, denominators, strict=True))


def steps_for(seconds: float, seconds_per_step: float, *, fewest: int = 1) -> int:
    """Steps that fill a turn, at least `fewest`.

    >>> steps_for(2.0, 0.02), steps_for(2.0, 5.0)
    (100, 1)
    """
    return max(fewest, min(MOST_STEPS, round(seconds / seconds_per_step)))


def paced(run: Callable[[int], float], *, seconds: float, fewest: int) -> Callable[[], float]:
    """A turn of about `seconds` and at least `fewest` steps, after a rehearsal that also warms up.

    Parameters
    ----------
    run : callable
        Takes that many steps and gives seconds per step.
    """
    seconds_per_step = run(1)
    if seconds_per_step < seconds:  # a slow step tells its pace at once, a fast one needs warmth
        seconds_per_step = run(2)
    n_steps = steps_for(seconds, seconds_per_step, fewest=fewest)
    return lambda: run(n_steps)


def seconds_between(ends: Sequence[float], *, n_skipped: int = 1) -> float:
    """Mean seconds per step from the times at which steps ended.

    The first `n_skipped` steps are left out, and the start-up before them with them.

    >>> seconds_between([7.0, 8.0, 10.0])
    1.5
    """
    counted = ends[n_skipped - 1 :]
    return (counted[-1] - counted[0]) / (len(counted) - 1)
