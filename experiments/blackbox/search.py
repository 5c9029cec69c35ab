"""A search replayed on a black box: one worker or many, on a virtual clock.

Workers take configs from one strategy. A trial runs from rung to rung; at each rung its objectives
are told and the strategy says whether it goes on. Nothing is trained, so the clock is that of the
recorded curves: a worker is busy for the seconds its trial took, and proposals cost what the caller
says they cost.
"""

from __future__ import annotations

import heapq
import itertools
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from paretocast.search.objectives import DEFAULT_OBJECTIVES
from paretocast.search.pareto import front, hypervolume
from paretocast.training.trial import trial_seed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blackbox.replay import Blackbox, Curve
    from numpy.typing import NDArray

    from paretocast.search.space import Config

    Floats = NDArray[np.float64]

OBJECTIVES = DEFAULT_OBJECTIVES
WORTH = "worth"


class Strategy(Protocol):
    """A way to search; it keeps its own record of what it was told.

    Attributes
    ----------
    rungs : sequence of int
        Indices of the black box's rungs at which its trials are scored; the last one is the end.
    """

    @property
    def rungs(self) -> Sequence[int]: ...

    def suggest(self, number: int) -> Config:
        """The config of trial `number`; numbers are asked for in order."""

    def goes_on(self, number: int, rung: int, values: tuple[float, ...]) -> bool:
        """Told the objectives at a rung (an index of `rungs`) that is not the last."""

    def ended(self, number: int, values: tuple[float, ...]) -> None:
        """Told the objectives at the last rung."""


@dataclass(frozen=True)
class Ended:
    """A trial that was trained to the end.

    Attributes
    ----------
    steps : int
        Gradient steps that all workers had taken when it ended.
    seconds : float
        Virtual time then.
    values : dict of split to tuple
        Its objectives on each split, minimised; the search saw those of the tune split. `add_worth`
        adds `WORTH`: what fresh trainings of its config would have on the tune split on average.
    """

    number: int
    config: Config
    steps: int
    seconds: float
    values: dict[str, tuple[float, ...]]


@dataclass
class History:
    """Course of a search.

    Attributes
    ----------
    n_started, n_pruned : int
        Trials that were begun, and those that were stopped at a rung.
    ends : list of float
        Virtual times, ascending, at which trials ended, complete or stopped.
    waited_seconds : float
        Time that workers waited for the study's lock, all of them together.
    """

    complete: list[Ended] = field(default_factory=list)
    n_started: int = 0
    n_pruned: int = 0
    steps: int = 0
    seconds: float = 0.0
    waited_seconds: float = 0.0
    ends: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Coordination:
    """Cost of a trial beside its training, seconds.

    Attributes
    ----------
    proposal : float
        Time a worker spends on a proposal, while others work.
    locked : float
        Time for which it holds the study's lock, per trial and rung; others wait.
    """

    proposal: float = 0.0
    locked: float = 0.0


@dataclass
class _Running:
    number: int
    config: Config
    curve: Curve
    rung: int = 0


def replay(
    strategy: Strategy,
    blackbox: Blackbox,
    *,
    seed: int,
    budget_steps: int | None = None,
    budget_seconds: float = math.inf,
    n_trials: int | None = None,
    n_workers: int = 1,
    coordination: Coordination | None = None,
    seconds_scale: float = 1.0,
) -> History:
    """Search until the budget of steps or seconds is spent or as many trials have ended.

    Parameters
    ----------
    seed : int
        Of the study; the noise of a trial derives from it and the trial's number.
    seconds_scale : float
        Factor on the recorded training times.
    """
    cost = coordination or Coordination()
    history = History()
    lock_free = 0.0
    order = itertools.count()
    events: list[tuple[float, int, _Running]] = []

    def start(now: float) -> None:
        number = history.n_started
        history.n_started += 1
        config = strategy.suggest(number)
        curve = blackbox.curve(config, seed=trial_seed(seed, number))
        running = _Running(number, config, curve)
        train(now + cost.proposal, running)

    def train(now: float, running: _Running) -> None:
        nonlocal lock_free
        history.waited_seconds += max(0.0, lock_free - now)
        lock_free = max(now, lock_free) + cost.locked
        seconds = seconds_scale * _between_rungs(running.curve.seconds, strategy.rungs, running)
        heapq.heappush(events, (lock_free + seconds, next(order), running))

    for _ in range(n_workers if n_trials is None else min(n_workers, n_trials)):
        start(0.0)
    while events:
        now, _, running = heapq.heappop(events)
        steps = int(_between_rungs(blackbox.rung_steps, strategy.rungs, running))
        if budget_steps is not None and history.steps + steps > budget_steps:
            break
        if now > budget_seconds:
            break
        history.steps += steps
        history.seconds = now
        if _tell(strategy, running, history, now):
            running.rung += 1
            train(now, running)
            continue
        history.ends.append(now)
        if n_trials is None or history.n_started < n_trials:
            start(now)
    return history


def _between_rungs(at_rungs: Sequence[float], rungs: Sequence[int], running: _Running) -> float:
    """Steps or seconds from the rung before to the one that is trained for."""
    before = at_rungs[rungs[running.rung - 1]] if running.rung else 0.0
    return at_rungs[rungs[running.rung]] - before


def _tell(strategy: Strategy, running: _Running, history: History, now: float) -> bool:
    """Tell the strategy; True if the trial goes on."""
    at = strategy.rungs[running.rung]
    values = {split: _objectives(scores[at]) for split, scores in running.curve.scores.items()}
    if running.rung < len(strategy.rungs) - 1:
        if strategy.goes_on(running.number, running.rung, values["tune"]):
            return True
        history.n_pruned += 1
        return False
    strategy.ended(running.number, values["tune"])
    history.complete.append(Ended(running.number, running.config, history.steps, now, values))
    return False


def _objectives(scores: dict[str, float]) -> tuple[float, ...]:
    return tuple(scores[name] for name in OBJECTIVES)


def add_worth(history: History, blackbox: Blackbox) -> History:
    """The same history, whose complete trials know what they are worth."""
    for ended in history.complete:
        ended.values[WORTH] = blackbox.expected(ended.config)["tune"]
    return history


def hypervolumes(
    history: History,
    *,
    at: Sequence[float],
    split: str,
    reference: Floats,
    clock: Literal["steps", "seconds"] = "steps",
) -> Floats:
    """Hypervolume after so many gradient steps or seconds, one value per entry of `at`.

    The front is that of the tune split, which the search saw. Its trials are scored on `split`,
    or by what they are worth: there, nothing in the value was chosen.
    """
    volumes = []
    tune = np.array([ended.values["tune"] for ended in history.complete])
    values = np.array([ended.values[split] for ended in history.complete])
    ends = np.array([getattr(ended, clock) for ended in history.complete])
    for limit in at:
        n = int((ends <= limit).sum())
        volumes.append(hypervolume(values[:n][front(tune[:n])], reference) if n else 0.0)
    return np.array(volumes)


def steps_to_reach(history: History, target: float, *, split: str, reference: Floats) -> float:
    """Gradient steps until the hypervolume is at least `target`, or infinity."""
    ends = [ended.steps for ended in history.complete]
    reached = hypervolumes(history, at=ends, split=split, reference=reference) >= target
    return float(ends[int(reached.argmax())]) if reached.any() else float("inf")
