"""Importance of each parameter for each objective."""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import optuna

from paretocast.search.space import Contest, model_in, without_model
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
        model, own = most_tried(records, "")
        if not own:
            return {}
        space = space.spaces[model]
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


def most_tried(records: Sequence[TrialRecord], only: str) -> tuple[str, list[TrialRecord]]:
    """The model with the most trials that have scores, and these trials.

    Parameters
    ----------
    only : str
        The model where configs name none.
    """
    judged = [record for record in records if record.scores]
    tried = Counter(model_in(record.config, only) for record in judged)
    model = tried.most_common(1)[0][0] if tried else only
    return model, [record for record in judged if model_in(record.config, only) == model]


def _value_at(index: int) -> Callable[[FrozenTrial], float]:
    return lambda trial: trial.values[index]
