"""Importance of each parameter for each objective."""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import optuna

from paretocast.search.space import MODEL, Contest, without_model
from paretocast.study.optuna_sync import frozen_trial

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from optuna.trial import FrozenTrial

    from paretocast.search.objectives import Objective
    from paretocast.search.space import AnySpace
    from paretocast.training.trial import TrialRecord

FEWEST_TRIALS = 10


def parameter_importances(
    records: Sequence[TrialRecord], *, space: AnySpace, objectives: Sequence[Objective]
) -> dict[str, dict[str, float]]:
    """Share of each parameter in the spread of each objective (PED-ANOVA), adding up to 1.

    As of the first rung, where all trials have had the same training. Empty while there are too
    few. Where several models share the study, of the one with the most trials.
    """
    if isinstance(space, Contest):
        tried = Counter(str(record.config[MODEL]) for record in records if record.rungs)
        if not tried:
            return {}
        most = tried.most_common(1)[0][0]
        space = space.spaces[most]
        own = [record for record in records if record.config[MODEL] == most]
        records = [replace(record, config=without_model(record.config)) for record in own]
    study = optuna.create_study(directions=["minimize"] * len(objectives))
    for record in records:
        if record.rungs:
            values = [objective.value(record.rungs[0].scores) for objective in objectives]
            study.add_trial(frozen_trial(record.config, space, values=values))
    if len(study.trials) < FEWEST_TRIALS:
        return {}
    with warnings.catch_warnings():
        # That low values are taken for good ones; they are: objectives are minimised.
        warnings.filterwarnings("ignore", message="PedAnova", category=UserWarning)
        return {
            objective.name: optuna.importance.get_param_importances(study, target=_value_at(i))
            for i, objective in enumerate(objectives)
        }


def _value_at(index: int) -> Callable[[FrozenTrial], float]:
    return lambda trial: trial.values[index]
