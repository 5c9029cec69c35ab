"""Search strategies under one interface: the product's and those it is compared with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import optuna
from blackbox.search import OBJECTIVES

from paretocast.search.pruning import promotes
from paretocast.search.samplers import Observation, Sampler
from paretocast.search.space import DEFAULT_SAMPLER, suggest_config
from paretocast.settings import TrainingSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from blackbox.replay import Blackbox
    from blackbox.search import Strategy

    from paretocast.search.space import Config, Space

    Values = tuple[float, ...]
    Rule = Callable[..., bool]

N_RUNGS = TrainingSettings().rungs(anchored=False)


@dataclass
class Product:
    """The search of `paretocast tune`: its proposals and its rule at rungs, as it ships them.

    The sampler sees every trial with its rungs, and whether it runs; the rule at rungs counts all.

    Attributes
    ----------
    rule : callable
        Of the objectives of the trials before at a rung and those of the newcomer: does it go on?
    """

    sampler: Sampler
    rungs: Sequence[int]
    shares: Sequence[float]
    rule: Rule = promotes
    configs: dict[int, Config] = field(default_factory=dict)
    at_rungs: dict[int, list[Values]] = field(default_factory=dict)
    over: set[int] = field(default_factory=set)

    def suggest(self, number: int) -> Config:
        self.configs[number] = self.sampler.suggest(number, self.observations())
        self.at_rungs[number] = []
        return self.configs[number]

    def observations(self) -> list[Observation]:
        """The trials as the sampler sees them."""
        return [self.observation(n, at_rungs) for n, at_rungs in self.at_rungs.items()]

    def observation(self, number: int, at_rungs: Sequence[Values]) -> Observation:
        """A trial with its objectives at the rungs that it has reached."""
        running = number not in self.over
        if not at_rungs:
            return Observation(number, self.configs[number], running=running)
        reached = list(zip(self.shares, at_rungs, strict=False))
        share, values = reached[-1]
        return Observation(
            number,
            self.configs[number],
            values,
            share=share,
            before=tuple(reached[:-1]),
            running=running,
        )

    def goes_on(self, number: int, rung: int, values: Values) -> bool:
        before = [at[rung] for at in self.at_rungs.values() if len(at) > rung]
        self.at_rungs[number].append(values)
        goes_on = self.rule(np.reshape(before, (len(before), len(values))), np.array(values))
        if not goes_on:
            self.over.add(number)
        return goes_on

    def ended(self, number: int, values: Values) -> None:
        self.at_rungs[number].append(values)
        self.over.add(number)


@dataclass
class ThroughOptuna:
    """A sampler of Optuna that lives through the study, every trial to the end."""

    study: optuna.Study
    space: Space
    rungs: Sequence[int]

    def __post_init__(self) -> None:
        self._running: dict[int, optuna.Trial] = {}

    def suggest(self, number: int) -> Config:
        trial = self.study.ask()
        self._running[number] = trial
        return suggest_config(trial, self.space)

    def goes_on(self, number: int, rung: int, values: Values) -> bool:
        del number, rung, values
        return True

    def ended(self, number: int, values: Values) -> None:
        self.study.tell(self._running.pop(number), values)


@dataclass
class PrunedOnMae(ThroughOptuna):
    """One objective, MAE, with a pruner of Optuna: the usual single-objective search."""

    rung_steps: Sequence[int] = ()

    def goes_on(self, number: int, rung: int, values: Values) -> bool:
        trial = self._running[number]
        trial.report(values[0], self.rung_steps[self.rungs[rung]])
        if trial.should_prune():
            self.study.tell(self._running.pop(number), state=optuna.trial.TrialState.PRUNED)
            return False
        return True

    def ended(self, number: int, values: Values) -> None:
        self.study.tell(self._running.pop(number), values[0])


def last_rungs(blackbox: Blackbox, n_rungs: int) -> range:
    """Indices of the black box's last rungs."""
    n = len(blackbox.rung_steps)
    return range(n - n_rungs, n)


def shares_of_budget(blackbox: Blackbox, rungs: Sequence[int]) -> list[float]:
    """Of the gradient steps of a full trial, those up to each rung."""
    return [blackbox.rung_steps[rung] / blackbox.rung_steps[-1] for rung in rungs]


def make_product(
    blackbox: Blackbox,
    *,
    seed: int,
    n_trials: int,
    n_rungs: int = N_RUNGS,
    sampler: str = DEFAULT_SAMPLER,
    starts_with_default: bool = True,
    cost: Callable[[Config], float] | None = None,
    rule: Rule = promotes,
) -> Product:
    """The product's search; without `cost` all configs cost the same, otherwise as it ships."""
    suggests = Sampler(
        blackbox.recording.space,
        n_objectives=len(OBJECTIVES),
        sampler=sampler,
        seed=seed,
        n_trials=n_trials,
        queue=[blackbox.recording.first] if starts_with_default else [],
        cost=cost,
    )
    rungs = last_rungs(blackbox, n_rungs)
    return Product(suggests, rungs, shares_of_budget(blackbox, rungs), rule)


def make_single(blackbox: Blackbox, *, seed: int) -> PrunedOnMae:
    """Optuna's TPE on MAE with its Hyperband pruner over all recorded rungs."""
    first, *_, last = blackbox.rung_steps
    study = optuna.create_study(
        direction="minimize",
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=optuna.pruners.HyperbandPruner(first, last, reduction_factor=3),
        study_name=f"single-{seed}",  # the pruner draws its brackets from the name
    )
    rungs = last_rungs(blackbox, len(blackbox.rung_steps))
    return PrunedOnMae(study, blackbox.recording.space, rungs, rung_steps=blackbox.rung_steps)


def make_through_optuna(blackbox: Blackbox, sampler: optuna.samplers.BaseSampler) -> ThroughOptuna:
    """Every trial to the end, all objectives."""
    study = optuna.create_study(directions=["minimize"] * len(OBJECTIVES), sampler=sampler)
    return ThroughOptuna(study, blackbox.recording.space, last_rungs(blackbox, 1))


def strategies(n_trials: int) -> dict[str, Callable[[Blackbox, int], Strategy]]:
    """Makers of every strategy that needs nothing beside the package, by name.

    Parameters
    ----------
    n_trials : int
        Full trials of the budget.
    """
    samplers = optuna.samplers
    return {
        "ours": lambda box, seed: make_product(box, seed=seed, n_trials=n_trials),
        "random": lambda box, seed: make_through_optuna(box, samplers.RandomSampler(seed=seed)),
        "NSGA-II(50)": lambda box, seed: make_through_optuna(
            box, samplers.NSGAIISampler(population_size=50, seed=seed)
        ),
        "TPE": lambda box, seed: make_through_optuna(box, samplers.TPESampler(seed=seed)),
        "TPE on MAE + Hyperband": lambda box, seed: make_single(box, seed=seed),
    }
