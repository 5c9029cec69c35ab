"""The method that a study recommends: a trial, an average of trials, or a baseline.

An average is made of the best trials on the tune split, with weights that are learned there and
shrunk towards equal ones of the best trial of each model. All candidates are then judged on the
calibrate split, which has chosen none of them, by their mean pinball loss over all levels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from paretocast.calibration.ensemble import average_levels, weigh_members
from paretocast.errors import StoreError
from paretocast.metrics.forecast import Forecast
from paretocast.metrics.scores import pinball
from paretocast.models.baselines.catalogue import forecast_baselines
from paretocast.search.selection import TrialState
from paretocast.search.space import MODEL
from paretocast.study.repeats import complete_trainings
from paretocast.workspace import files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from paretocast.data.task import Task
    from paretocast.training.trial import TrialRecord
    from paretocast.workspace.files import RunDirectory

    Floats = NDArray[np.float64]

ENSEMBLE = "ensemble"
# Of each model so many trials may become members: the rest differ little from them.
CANDIDATES_PER_MODEL = 4
MOST_MEMBERS = 4
NEAR = 0.1  # of the lowest loss: models beyond are left out of the equal weights


@dataclass(frozen=True)
class Choice:
    """The recommended method with the losses of all candidates.

    Attributes
    ----------
    method : str
        "ensemble", "trial N" or the name of a baseline.
    members : tuple of (trial number, weight)
        Of the ensemble; its weights add up to 1. Empty where there is none.
    best_of_model : mapping of model to trial number
        The trial with the lowest loss on the tune split.
    losses : mapping of method to float
        Mean pinball loss on the calibrate split, target units.
    """

    method: str
    members: tuple[tuple[int, float], ...]
    best_of_model: Mapping[str, int]
    losses: Mapping[str, float]

    def as_json(self) -> dict[str, Any]:
        """The choice for `best_params_*.json`."""
        return {
            "method": self.method,
            "members": [{"trial": number, "weight": weight} for number, weight in self.members],
            "best_of_model": dict(self.best_of_model),
            "pinball_on_calibrate": dict(self.losses),
        }


def choose_method(
    run: RunDirectory, records: Sequence[TrialRecord], *, task: Task, model: str
) -> Choice | None:
    """The method that a study recommends; None while no trial has forecasts.

    Parameters
    ----------
    records : sequence of TrialRecord
        Trials and their repeats: the forecast of a trial is the mean over its seeds.
    model : str
        Of configs that name none.
    """
    trainings = complete_trainings([r for r in records if r.state is TrialState.COMPLETE])
    by_model: dict[str, list[int]] = {}
    for number in sorted(trainings, key=lambda n: trainings[n][0].scores["pinball"]):
        name = str(trainings[number][0].config.get(MODEL, model))
        by_model.setdefault(name, []).append(number)
    offered: dict[int, dict[str, Floats]] = {}
    for numbers in by_model.values():
        for number in numbers[:CANDIDATES_PER_MODEL]:
            if forecasts := _mean_forecasts(run, trainings[number]):
                offered[number] = forecasts
    if not offered:
        return None
    best = {
        name: next(n for n in numbers if n in offered)
        for name, numbers in by_model.items()
        if set(numbers) & set(offered)
    }
    candidates = {f"trial {number}": offered[number]["calibrate"] for number in best.values()}
    members = _members(offered, task, list(best.values()))
    if len(members) > 1:
        average = average_levels(
            [offered[number]["calibrate"] for number, _ in members], [w for _, w in members]
        )
        candidates[ENSEMBLE] = average
    candidates |= forecast_baselines(task, "calibrate")
    observed, levels = task.observed("calibrate"), task.shape.levels
    losses = {
        name: float(np.nanmean(pinball(observed, forecast, levels=levels)))
        for name, forecast in candidates.items()
    }
    return Choice(min(losses, key=lambda name: losses[name]), members, best, losses)


def _members(
    offered: Mapping[int, Mapping[str, Floats]], task: Task, best: Sequence[int]
) -> tuple[tuple[int, float], ...]:
    """Trials of the average with their weights, shrunk towards the best trial of each model.

    A model that is far behind on the tune split has no part in these equal weights.
    """
    numbers = list(offered)
    observed, levels = task.observed("tune"), task.shape.levels
    losses = {
        number: float(np.nanmean(pinball(observed, offered[number]["tune"], levels=levels)))
        for number in best
    }
    near = [n for n in best if losses[n] <= (1.0 + NEAR) * min(losses.values())]
    chosen = weigh_members(
        [Forecast(offered[number]["tune"], levels, observed) for number in numbers],
        most=MOST_MEMBERS,
        prior=[float(number in near) / len(near) for number in numbers],
    )
    return tuple(
        (numbers[i], weight) for i, weight in zip(chosen.indices, chosen.weights, strict=True)
    )


def _mean_forecasts(run: RunDirectory, trainings: Sequence[TrialRecord]) -> dict[str, Floats]:
    """Forecasts of a trial by split, the mean over its seeds; empty where they are gone."""
    try:
        stored = [files.load_arrays(run.forecasts(t.number, t.seed_index)) for t in trainings]
        return {
            split: average_levels([arrays[split].astype(np.float64) for arrays in stored])
            for split in ("tune", "calibrate")
        }
    except (StoreError, KeyError):
        return {}
