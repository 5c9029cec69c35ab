"""The product's search with one part changed at a time, to see which part does what."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from blackbox.search import OBJECTIVES
from blackbox.strategies import Product, last_rungs, make_product, shares_of_budget
from optuna.samplers import TPESampler

from paretocast.search.pruning import ETA, order_by_merit, promotes
from paretocast.search.samplers import Observation, Sampler

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import optuna
    from blackbox.replay import Blackbox
    from blackbox.search import Strategy
    from blackbox.strategies import Rule
    from numpy.typing import NDArray
    from optuna.samplers import BaseSampler

    from paretocast.search.space import Config

    Values = tuple[float, ...]

FEWEST_AT_A_RUNG = 8


class TpeWithOptions(Sampler):
    """The product's sampler with other options of TPE."""

    tpe: Mapping[str, Any]

    def _ask(self, study: optuna.Study, sampler: BaseSampler) -> Config:
        if isinstance(sampler, TPESampler) and self.tpe:
            n_trials = len(study.get_trials(deepcopy=False))
            seed = int(np.random.SeedSequence([self._seed, n_trials]).generate_state(1)[0])
            sampler = TPESampler(seed=seed, n_startup_trials=1, **self.tpe)
        return super()._ask(study, sampler)


def best_third(before: NDArray[np.float64], newcomer: NDArray[np.float64]) -> bool:
    """The rule of MO-ASHA: the best third at a rung, rounded up, goes on."""
    everybody = np.vstack([before, newcomer])
    return len(before) in order_by_merit(everybody)[: math.ceil(len(everybody) / ETA)]


RULES: dict[str, Rule] = {
    "best third": best_third,
    **{f"dominated by {s}": partial(promotes, most_dominating=s) for s in (0.1, 0.2, 0.5)},
}


@dataclass
class Changed(Product):
    """The product's search with another view for the sampler.

    Attributes
    ----------
    sees : str
        "last": the last rung of every trial, as Optuna's samplers do in the product. "complete":
        complete trials alone. "highest": the trials of the highest rung that enough have reached,
        with their values there. "projected": the last rung, moved by how trials that went on
        changed from that rung to the highest one.
    """

    sees: str = "last"

    def observations(self) -> list[Observation]:
        ended = {n: at for n, at in self.at_rungs.items() if n in self.over}
        values = self._visible(ended)
        return [
            Observation(n, config, values.get(n))
            for n, config in self.configs.items()
            if n in values or n not in ended
        ]

    def _visible(self, at_rungs: dict[int, list[Values]]) -> dict[int, Values]:
        """Values under which the sampler sees the trials that it sees."""
        if self.sees == "complete":
            return {n: at[-1] for n, at in at_rungs.items() if len(at) == len(self.rungs)}
        if self.sees == "highest":
            reached = Counter(rung for at in at_rungs.values() for rung in range(len(at)))
            enough = [rung for rung, n in reached.items() if n >= FEWEST_AT_A_RUNG]
            rung = max(enough, default=0)
            return {n: at[rung] for n, at in at_rungs.items() if len(at) > rung}
        if self.sees == "projected":
            return self._projected(at_rungs)
        return {n: at[-1] for n, at in at_rungs.items()}

    def _projected(self, at_rungs: dict[int, list[Values]]) -> dict[int, Values]:
        """Last values plus the median change of those that went on, rung by rung."""
        n_changes = len(self.rungs) - 1
        change = np.zeros((n_changes, len(OBJECTIVES)))
        for rung in range(n_changes):
            pairs = [(at[rung], at[rung + 1]) for at in at_rungs.values() if len(at) > rung + 1]
            if pairs:
                change[rung] = np.median([np.subtract(b, a) for a, b in pairs], axis=0)
        return {
            n: tuple((at[-1] + change[len(at) - 1 :].sum(axis=0)).tolist())
            for n, at in at_rungs.items()
        }


def make_changed(
    blackbox: Blackbox,
    seed: int,
    *,
    n_trials: int,
    n_rungs: int,
    sees: str = "last",
    n_startup: int | None = None,
    **tpe: Any,  # noqa: ANN401 - options of Optuna
) -> Strategy:
    """A changed search."""
    sampler = TpeWithOptions(
        blackbox.recording.space,
        n_objectives=len(OBJECTIVES),
        seed=seed,
        n_trials=n_trials,
        queue=[blackbox.recording.first],
        sampler="tpe",
    )
    sampler.tpe = tpe
    if n_startup is not None:
        sampler._n_startup = n_startup  # noqa: SLF001 - no option of the product
    rungs = last_rungs(blackbox, n_rungs)
    return Changed(sampler, rungs, shares_of_budget(blackbox, rungs), sees=sees)


def variants(n_trials: int) -> dict[str, Callable[[Blackbox, int], Strategy]]:
    """Makers by name; the first one is the product as it ships."""

    def product(**changes: Any) -> Callable[[Blackbox, int], Strategy]:  # noqa: ANN401
        return lambda box, seed: make_product(box, seed=seed, n_trials=n_trials, **changes)

    def changed(**changes: Any) -> Callable[[Blackbox, int], Strategy]:  # noqa: ANN401
        return partial(make_changed, n_trials=n_trials, **changes)

    makers: dict[str, Callable[[Blackbox, int], Strategy]] = {"ours": product()}
    for n in (1, 2, 3, 4):
        makers[f"{n} rungs"] = product(n_rungs=n)
    makers |= {name: product(rule=rule) for name, rule in RULES.items()}
    makers["no default first"] = product(starts_with_default=False)
    for sampler in ("tpe", "gp", "nsga2", "random", "qmc"):
        makers[f"{sampler}, 2 rungs"] = product(sampler=sampler, n_rungs=2)
    for n in (2, 3, 4):
        makers[f"gp, {n} rungs"] = product(sampler="gp", n_rungs=n)
        for sees in ("complete", "highest", "projected"):
            makers[f"sees {sees}, {n} rungs"] = changed(n_rungs=n, sees=sees)
    for size in (4, 16):
        makers[f"start-up {size}"] = changed(n_rungs=2, n_startup=size)
    makers["multivariate"] = changed(n_rungs=2, multivariate=True)
    makers["gamma 0.2"] = changed(n_rungs=2, gamma=lambda n: max(1, n // 5))
    makers["gamma 0.33"] = changed(n_rungs=2, gamma=lambda n: max(1, n // 3))
    return makers
