"""The method that a study recommends: a trial, an average of trials, or a baseline.

An average is made of the best trials on the tune split, with weights that are learned there and
shrunk towards equal ones of models and of the best trials of each. All candidates are then judged
on the calibrate split, which has chosen none of them, by their mean pinball loss. What is likely to
be good stays unless something else is better beyond chance: the average before single methods, and
the first trial of a model, its default config, before the others. Where the calibrate split holds
too few days to tell, those of the tune split are compared with them. Where the interval of the best
candidate misses the target coverage once calibrated, one that holds it with a Winkler score as low
is recommended in its place.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from paretocast.calibration.cross_fit import cross_fitted
from paretocast.calibration.ensemble import ENSEMBLE, average_levels, weigh_members
from paretocast.errors import DataError, StoreError
from paretocast.metrics.forecast import Forecast
from paretocast.metrics.interval_quality import IntervalQuality, coverage_first, measure_interval
from paretocast.metrics.score_table import per_window
from paretocast.metrics.scores import percent_above
from paretocast.metrics.uncertainty import preferred_or_better
from paretocast.models.baselines.catalogue import forecast_baselines
from paretocast.search.selection import TrialState
from paretocast.search.space import model_in
from paretocast.study.repeats import complete_trainings
from paretocast.training.trial import load_forecasts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from paretocast.data.task import Task
    from paretocast.training.trial import TrialRecord
    from paretocast.workspace.runs import RunDirectory

    Floats = NDArray[np.float64]

# Of each model so many trials may become members: the rest differ little from them.
CANDIDATES_PER_MODEL = 4
MOST_MEMBERS = 4
STANDING_FOR_A_MODEL = 3  # trials of a model that share its part of the equal weights
AS_GOOD = 0.01  # of the loss of its best one: trials beyond do not stand for a model
NEAR = 0.1  # of the lowest loss: models beyond are left out of the equal weights
FEW_WINDOWS = 28  # observed ones of the calibrate split: below, the tune split is counted too


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
        The trial with the lowest loss on the tune split, or the first one if they are tied.
    losses : mapping of method to float
        Mean pinball loss on the calibrate split, target units.
    models : mapping of trial number to model
        Of the trials that are named above.
    intervals : mapping of method to IntervalQuality
        Of the interval on the calibrate split, each half calibrated by the other.
    target_coverage : float
        Percent.
    judged_on : tuple of str
        Splits by whose losses the methods were compared.
    notes : tuple of str
        Sentences on trials that could not be compared.
    """

    method: str
    members: tuple[tuple[int, float], ...]
    best_of_model: Mapping[str, int]
    losses: Mapping[str, float]
    models: Mapping[int, str]
    intervals: Mapping[str, IntervalQuality]
    target_coverage: float
    judged_on: tuple[str, ...] = ("calibrate",)
    notes: tuple[str, ...] = ()

    @property
    def holds_target(self) -> bool:
        """Return whether the coverage of the recommended method agrees with the target."""
        return self.intervals[self.method].holds(self.target_coverage)

    @property
    def grounds(self) -> str:
        """What the methods were compared on, in words that follow "on"."""
        if self.judged_on == ("calibrate",):
            return "the calibrate split, which was not used to select any of these"
        return "the calibrate split; as it is short, the tune split was counted too"

    @property
    def label(self) -> str:
        """The recommended method in words."""
        if self.method != ENSEMBLE:
            return self.named(self.method)
        parts = (f"{weight:.2f} × trial {n} {self.models[n]}" for n, weight in self.members)
        return f"the average {' + '.join(parts)}"

    def others(self) -> list[tuple[str, float, float | None]]:
        """The other candidates, best first: loss, and its distance above the recommended, percent.

        The distance is None where the recommended method has no loss.
        """
        lowest = self.losses[self.method]
        names = sorted(set(self.losses) - {self.method}, key=lambda name: self.losses[name])
        losses = [(name, self.losses[name]) for name in names]
        return [(self.named(name), loss, percent_above(loss, lowest)) for name, loss in losses]

    def named(self, method: str) -> str:
        """A method with the model of a trial behind it."""
        of_trials = {f"trial {number}": model for number, model in self.models.items()}
        return f"{method} {of_trials[method]}" if method in of_trials else method

    def as_json(self) -> dict[str, Any]:
        """The choice for `best_params_*.json`."""
        return {
            "method": self.method,
            "members": [{"trial": number, "weight": weight} for number, weight in self.members],
            "best_of_model": dict(self.best_of_model),
            "judged_on": list(self.judged_on),
            "pinball_on_calibrate": dict(self.losses),
            "coverage_on_calibrate": {
                name: [found.picp, found.low, found.high] for name, found in self.intervals.items()
            },
        }


def choose_method(
    run: RunDirectory,
    records: Sequence[TrialRecord],
    *,
    task: Task,
    model: str,
    target_coverage: float,
) -> Choice | None:
    """The method that a study recommends; None while no trial has forecasts.

    Parameters
    ----------
    records : sequence of TrialRecord
        Trials and their repeats: the forecast of a trial is the mean over its seeds.
    model : str
        Of configs that name none.
    target_coverage : float
        Percent.
    """
    found = contenders(run, records, task=task, model=model)
    if found is None:
        return None
    candidates = found.forecasts(task, "calibrate")
    losses = {name: window_losses(task, "calibrate", f) for name, f in candidates.items()}
    means = {name: float(np.nanmean(loss)) for name, loss in losses.items()}
    judged_on: tuple[str, ...] = ("calibrate",)
    if min(np.isfinite(loss).sum() for loss in losses.values()) < FEW_WINDOWS:
        judged_on = ("tune", "calibrate")
        earlier = found.forecasts(task, "tune")
        losses = {
            name: np.concatenate([window_losses(task, "tune", earlier[name]), loss])
            for name, loss in losses.items()
            if name in earlier  # a naive method may see too little before the tune split
        }
    names = list(losses)
    lowest = min(names, key=lambda name: float(np.nanmean(losses[name])))
    preferred = ENSEMBLE if ENSEMBLE in names else lowest
    intervals = {
        name: _calibrated_interval(task, forecasts, target_coverage)
        for name, forecasts in candidates.items()
    }
    chosen = coverage_first(
        preferred_or_better(list(losses.values()), names.index(preferred)),
        [intervals[name] for name in names],
        target_coverage,
    )
    return Choice(
        method=names[chosen],
        members=found.members,
        best_of_model=found.best,
        losses=means,
        models=found.models,
        intervals=intervals,
        target_coverage=target_coverage,
        judged_on=judged_on,
        notes=found.notes,
    )


@dataclass(frozen=True)
class Contenders:
    """Methods that a study may recommend, as the tune split has left them.

    Attributes
    ----------
    offered : mapping of trial number to forecasts by split
        Means over the seeds of a trial, target units.
    best : mapping of model to trial number
        The trial with the lowest loss on the tune split, or the first one if they are tied.
    members : tuple of (trial number, weight)
        Of the average.
    models : mapping of trial number to model
        Of the trials in `best` and `members`.
    notes : tuple of str
        Sentences on trials whose forecasts are gone or damaged.
    """

    offered: Mapping[int, Mapping[str, Floats]]
    best: Mapping[str, int]
    members: tuple[tuple[int, float], ...]
    models: Mapping[int, str]
    notes: tuple[str, ...] = ()

    def forecasts(self, task: Task, split: str) -> dict[str, Floats]:
        """Forecasts by method, (N, H, Q): the average, the best trial of each model, baselines."""
        found = {}
        if len(self.members) > 1:
            found[ENSEMBLE] = average_levels(
                [self.offered[number][split] for number, _ in self.members],
                [weight for _, weight in self.members],
            )
        found |= {f"trial {number}": self.offered[number][split] for number in self.best.values()}
        return found | forecast_baselines(task, split)


def contenders(
    run: RunDirectory, records: Sequence[TrialRecord], *, task: Task, model: str
) -> Contenders | None:
    """Methods that a study may recommend; None while no trial has forecasts.

    Arguments as of `choose_method`.
    """
    trainings = complete_trainings([r for r in records if r.state is TrialState.COMPLETE])
    by_model: dict[str, list[int]] = {}
    for number in sorted(trainings, key=lambda n: trainings[n][0].scores["pinball"]):
        name = model_in(trainings[number][0].config, model)
        by_model.setdefault(name, []).append(number)
    offered: dict[int, dict[str, Floats]] = {}
    of_model: dict[str, list[int]] = {}  # the first trial of each model, then the best ones
    notes: list[str] = []
    for name, numbers in by_model.items():
        for number in dict.fromkeys([min(numbers), *numbers[:CANDIDATES_PER_MODEL]]):
            try:
                offered[number] = _mean_forecasts(run, trainings[number])
            except (StoreError, DataError) as error:
                notes.append(f"trial {number} had no part in the recommendation: {error}")
            else:
                of_model.setdefault(name, []).append(number)
    if not offered:
        return None
    on_tune = {n: window_losses(task, "tune", f["tune"]) for n, f in offered.items()}
    best = {
        name: numbers[preferred_or_better([on_tune[n] for n in numbers], 0)]
        for name, numbers in of_model.items()
    }
    members = _members(offered, task, _prior(of_model, best, on_tune))
    named = {*best.values(), *(number for number, _ in members)}
    models = {number: name for name, own in of_model.items() for number in own if number in named}
    return Contenders(offered, best, members, models, tuple(notes))


def judge_trial(
    run: RunDirectory, trainings: Sequence[TrialRecord], *, task: Task, target_coverage: float
) -> tuple[float, IntervalQuality] | None:
    """Loss and interval of a trial on the calibrate split, as candidates for a choice are judged.

    Parameters
    ----------
    trainings : sequence of TrialRecord
        The trial and its repeats: its forecast is the mean over its seeds.

    Returns
    -------
    tuple of (float, IntervalQuality) or None
        Mean pinball loss, target units, and the interval once calibrated; None where the forecasts
        are gone.
    """
    try:
        forecast = _mean_forecasts(run, trainings)["calibrate"]
    except (StoreError, DataError):
        return None
    loss = float(np.nanmean(window_losses(task, "calibrate", forecast)))
    return loss, _calibrated_interval(task, forecast, target_coverage)


def _calibrated_interval(task: Task, quantiles: Floats, coverage: float) -> IntervalQuality:
    """The interval on the calibrate split, each half calibrated by the other where both have data.

    Whatever is recommended is calibrated before it is used.
    """
    forecast = Forecast(quantiles, task.shape.levels, task.observed("calibrate"))
    with contextlib.suppress(DataError):
        forecast = cross_fitted(forecast)
    return measure_interval(forecast, coverage)


def window_losses(task: Task, split: str, forecast: Floats) -> Floats:
    """Mean pinball loss of each window, (N,)."""
    observed, levels = task.observed(split), task.shape.levels
    return per_window(observed, forecast, levels=levels)["pinball"]


def _prior(
    of_model: Mapping[str, Sequence[int]],
    best: Mapping[str, int],
    on_tune: Mapping[int, Floats],
) -> dict[int, float]:
    """Weights by trial that need little evidence: equal ones for models, and for their best trials.

    A model far behind on the tune split has no part. Several trials of a model stand for it: which
    one is best is known less well than that they are good.
    """
    means = {number: float(np.nanmean(losses)) for number, losses in on_tune.items()}
    lowest = min(means[number] for number in best.values())
    near = [name for name, number in best.items() if means[number] <= (1.0 + NEAR) * lowest]
    prior: dict[int, float] = {}
    for name in near:
        as_good = (1.0 + AS_GOOD) * means[best[name]]
        others = [n for n in of_model[name] if n != best[name] and means[n] <= as_good]
        others.sort(key=lambda number: means[number])
        standing = [best[name], *others][:STANDING_FOR_A_MODEL]
        prior |= {number: 1.0 / (len(near) * len(standing)) for number in standing}
    return prior


def _members(
    offered: Mapping[int, Mapping[str, Floats]], task: Task, prior: Mapping[int, float]
) -> tuple[tuple[int, float], ...]:
    """Trials of the average with their weights, learned on the tune split."""
    numbers = list(offered)
    observed, levels = task.observed("tune"), task.shape.levels
    chosen = weigh_members(
        [Forecast(offered[number]["tune"], levels, observed) for number in numbers],
        most=MOST_MEMBERS,
        prior=[prior.get(number, 0.0) for number in numbers],
    )
    return tuple(
        (numbers[i], weight) for i, weight in zip(chosen.indices, chosen.weights, strict=True)
    )


def _mean_forecasts(run: RunDirectory, trainings: Sequence[TrialRecord]) -> dict[str, Floats]:
    """Forecasts of a trial by split, the mean over its seeds."""
    stored = [load_forecasts(run.forecasts(t.number, t.seed_index)) for t in trainings]
    return {
        split: average_levels([arrays[split].astype(np.float64) for arrays in stored])
        for split in ("tune", "calibrate")
    }
