"""Suggestion of the next config where several models share a study.

Each model has its default config first and then a sampler of its own, which sees its trials alone.
Models take turns by what they promise: next is the one on which the least was spent for its
promise. Spent is the number of its trials times the cost of its default; a model whose best trial
has a loss a few percent above the best of all promises little. A model that costs much waits for
its first trial until that is a small part of what was spent, or until the last trials of a study.
A suggestion is a function of the study's seed, the trial's number and the other trials.
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
# The first trial of a model may cost this share of what was spent before.
FIRST_TRIAL_SHARE = 0.25
USUAL_COST = 1.0  # up to here a model is tried at once
# What every trial costs beside its training; also, the tenth variant of a ridge finds little new.
COST_OF_ANY_TRIAL = 0.3


class ContestSampler:
    """The order in which configs of several models are tried.

    Parameters
    ----------
    samplers : mapping of model to Sampler
        Each with the default config of its model in its queue.
    n_trials : int
        Of the study.
    """

    def __init__(self, samplers: Mapping[str, Sampler], *, n_trials: int) -> None:
        self._samplers = dict(samplers)
        self._n_trials = n_trials

    def suggest(self, number: int, trials: Sequence[Observation]) -> Config:
        """The config of trial `number`, with its model; see `Sampler.suggest`."""
        by_model: dict[str, list[Observation]] = {name: [] for name in self._samplers}
        for trial in trials:
            own = replace(trial, config=without_model(trial.config))
            by_model[str(trial.config[MODEL])].append(own)
        model = next_model(by_model, n_left=self._n_trials - number)
        config = self._samplers[model].suggest(len(by_model[model]), by_model[model])
        return {MODEL: model, **config}


def next_model(trials: Mapping[str, Sequence[Observation]], *, n_left: int) -> str:
    """The model to try next.

    Parameters
    ----------
    trials : mapping of model to sequence of Observation
        Finished and running trials of each.
    n_left : int
        Trials that the study has left, this one included.
    """
    spent = {name: len(own) * MODELS[name].cost for name, own in trials.items()}
    untried = sorted((name for name in trials if not trials[name]), key=lambda n: MODELS[n].cost)
    if untried:
        affordable = MODELS[untried[0]].cost <= FIRST_TRIAL_SHARE * sum(spent.values())
        if affordable or n_left <= len(untried) or MODELS[untried[0]].cost <= USUAL_COST:
            return untried[0]
    best = {
        name: min(t.values[0] for t in own if t.values is not None)
        for name, own in trials.items()
        if any(t.values is not None for t in own)
    }
    overall = min(best.values(), default=math.nan)

    def spent_over_promise(name: str) -> float:
        promise, n_trials = LEAST_PROMISE, len(trials[name])
        if name in best and overall > 0.0:
            promise = max(promise, math.exp(-(best[name] / overall - 1.0) / PATIENCE))
        return (spent[name] + COST_OF_ANY_TRIAL * n_trials) / promise

    return min((name for name in trials if trials[name]), key=spent_over_promise)
