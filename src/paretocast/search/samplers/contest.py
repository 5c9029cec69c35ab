"""Suggestion of the next config where several models share a study.

Each model has its default config first and then a sampler of its own, which sees its trials alone.
Which model is next follows from what each promises: the time that was spent on a model, in units of
its default trial, over its promise is smallest for the model whose turn it is. A model whose best
trial has a loss a few percent above the best of all promises little and gets little. A suggestion
is a function of the study's seed, the trial's number and the other trials, as everywhere.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from paretocast.search.models import MODELS
from paretocast.search.space import MODEL, without_model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from paretocast.search.samplers.observation import Observation
    from paretocast.search.samplers.sampler import Sampler
    from paretocast.search.space import Config

# Relative loss above the best model's at which a model's promise falls to 1 / e.
PATIENCE = 0.03
LEAST_PROMISE = 0.05


class ContestSampler:
    """The order in which configs of several models are tried.

    Parameters
    ----------
    samplers : mapping of model to Sampler
        Each with the default config of its model in its queue.
    """

    def __init__(self, samplers: Mapping[str, Sampler]) -> None:
        self._samplers = dict(samplers)

    def suggest(self, number: int, trials: Sequence[Observation]) -> Config:
        """The config of trial `number`, with its model; see `Sampler.suggest`."""
        del number  # a model counts its own
        by_model: dict[str, list[Observation]] = {name: [] for name in self._samplers}
        for trial in trials:
            own = replace(trial, config=without_model(trial.config))
            by_model[str(trial.config[MODEL])].append(own)
        model = next_model(by_model)
        config = self._samplers[model].suggest(len(by_model[model]), by_model[model])
        return {MODEL: model, **config}


def next_model(trials: Mapping[str, Sequence[Observation]]) -> str:
    """The model to try next: first each one's default, the cheapest first, then by promise.

    Parameters
    ----------
    trials : mapping of model to sequence of Observation
        Finished and running trials of each.
    """
    untried = [name for name in trials if not trials[name]]
    if untried:
        return min(untried, key=lambda name: MODELS[name].cost)
    best = {
        name: min((t.values[0] for t in own if t.values is not None), default=math.nan)
        for name, own in trials.items()
    }
    known = [loss for loss in best.values() if not math.isnan(loss)]
    overall = min(known, default=math.nan)

    def spent_over_promise(name: str) -> float:
        promise = LEAST_PROMISE
        if not math.isnan(best[name]) and overall > 0.0:
            promise = max(promise, math.exp(-(best[name] / overall - 1.0) / PATIENCE))
        return len(trials[name]) * MODELS[name].cost / promise

    return min(trials, key=spent_over_promise)
