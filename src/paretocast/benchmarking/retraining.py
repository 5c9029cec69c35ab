"""Configs trained again with the full budget, and their forecasts on every split.

In the test split a model may learn again and again. The first one is trained in full; a later one
starts from the weights of the one before and takes few steps, on all windows up to its date.

N windows, H horizon steps, Q levels; forecasts are in target units.
"""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np

from paretocast.data.issue_weather import with_weather_error
from paretocast.errors import StoreError
from paretocast.models.base import imported
from paretocast.search.models import MODELS
from paretocast.training import forecast_positions
from paretocast.training.setup import (
    TrainingSetup,
    continue_training,
    learned_until,
    relearning_steps,
    start_training,
    with_other_weather,
)
from paretocast.workspace import files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from paretocast.data.task import Task
    from paretocast.models.baselines.base import Baseline
    from paretocast.search.space import Config
    from paretocast.training import Training
    from paretocast.training.setup import Weights

    Floats = NDArray[np.float64]
    Positions = NDArray[np.intp]

# Forecast by the model that was trained on the train split alone, whatever is learned later.
OUT_OF_SAMPLE = ("tune", "calibrate")
TEST = "test"
TEST_UNDER_ERROR = "test_under_weather_error"


@dataclass(frozen=True)
class RetrainingPeriod:
    """Issue positions that one model forecasts.

    Attributes
    ----------
    positions : ndarray of shape (n,)
        Ascending.
    until : int or None
        Position after the last hour that model has learned from; None for the model of the
        train split, stopped by the stop split.
    warm : bool
        True if it starts from the weights of the period before and takes few steps.
    """

    positions: Positions
    until: int | None = None
    warm: bool = False


@dataclass(frozen=True)
class Trained:
    """Forecasts of one training and of all that learned on from it.

    Attributes
    ----------
    forecasts : dict of str to ndarray of shape (N, H, Q)
        By split: tune and calibrate by the model of the train split, and test; with a weather
        error the test split once more, under it.
    relearning_seconds : float
        Spent on periods that start from the weights before; 0 without any.
    """

    forecasts: dict[str, Floats]
    relearning_seconds: float


def plan_retraining(
    task: Task, *, refit_until: int | None = None, retrain_days: int | None = None
) -> tuple[RetrainingPeriod, ...]:
    """The test split cut where models are retrained.

    Parameters
    ----------
    refit_until : int, optional
        Learn from all hours before this position, those known at the first test issue at the
        latest.
    retrain_days : int, optional
        Learn again every so many issues, from all hours that are known at the issue.
    """
    issues, delay = task.issues[TEST], task.series.delay_steps
    if refit_until is not None and issues.size:
        refit_until = min(refit_until, int(issues[0]) - delay)
    if retrain_days is None:
        return (RetrainingPeriod(issues, refit_until),)
    parts = [issues[i : i + retrain_days] for i in range(0, len(issues), retrain_days)]
    return (
        RetrainingPeriod(parts[0], refit_until),
        *(RetrainingPeriod(p, int(p[0]) - delay, warm=True) for p in parts[1:]),
    )


def retraining_steps(setup: TrainingSetup, schedules: Sequence[Sequence[RetrainingPeriod]]) -> int:
    """Gradient steps at most of `train_and_forecast` with some schedules."""
    periods = [period for periods in schedules for period in periods]
    n_full = 1 + len({p.until for p in periods if p.until is not None and not p.warm})
    n_warm = sum(period.warm for period in periods)
    return n_full * setup.budget_steps + n_warm * relearning_steps(setup)


def train_and_forecast(
    setup: TrainingSetup, config: Config, *, seed: int, periods: Sequence[RetrainingPeriod]
) -> dict[str, Floats]:
    """Forecasts of a config by split, (N, H, Q), on one schedule; see `train_schedules`."""
    return next(train_schedules(setup, config, seed=seed, schedules=[periods])).forecasts


def train_schedules(
    setup: TrainingSetup,
    config: Config,
    *,
    seed: int,
    schedules: Sequence[Sequence[RetrainingPeriod]],
    weather_error: float | None = None,
    kept: Path | None = None,
    on_progress: Callable[[int, float], None] = lambda _step, _loss: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[Trained]:
    """Forecasts of a config on tune, calibrate and the test split, a set for each schedule.

    Schedules share trainings in full; see `train_first` and `train_until`.

    Parameters
    ----------
    schedules : sequence of sequence of RetrainingPeriod
        Each covers the test split.
    weather_error : float, optional
        Forecast the test split once more, with temperatures of the horizon in error by so much.
    kept : Path, optional
        File of the first training, as of `train_first`.

    Raises
    ------
    TrainingInterrupted
        If `should_stop` said so.
    """
    setup = setup.prepared(config)
    if not MODELS[setup.model].is_network:
        yield from _fit_schedules(setup, config, schedules, weather_error)
        return
    first = train_first(
        setup, config, seed=seed, kept=kept, on_progress=on_progress, should_stop=should_stop
    )

    @cache
    def in_full(until: int | None) -> TrainedModel:
        return train_until(
            first, config, until, seed=seed, on_progress=on_progress, should_stop=should_stop
        )

    def learned_on(model: TrainedModel, until: int | None) -> TrainedModel:
        return train_from(
            setup,
            config,
            weights=model.training.best_weights(),
            until=until,
            share=first.share,
            seed=seed,
            on_progress=on_progress,
            should_stop=should_stop,
        )

    out_of_sample = {split: first.forecast(setup.task.issues[split]) for split in OUT_OF_SAMPLE}
    for periods in schedules:
        model, seconds = in_full(None), 0.0
        parts: dict[str, list[Floats]] = defaultdict(list)
        for period in periods:
            if period.warm:
                started = time.perf_counter()
                model = learned_on(model, period.until)
                seconds += time.perf_counter() - started
            else:
                model = in_full(period.until)
            parts[TEST].append(model.forecast(period.positions))
            if weather_error is not None:
                erring = model.under_error(weather_error, period.positions)
                parts[TEST_UNDER_ERROR].append(erring.forecast(period.positions))
        yield Trained({**out_of_sample, **_joined(parts)}, seconds)


def _fit_schedules(
    setup: TrainingSetup,
    config: Config,
    schedules: Sequence[Sequence[RetrainingPeriod]],
    weather_error: float | None,
) -> Iterator[Trained]:
    """The same of a model that is fitted at once."""
    task, fit = setup.base_task, imported(MODELS[setup.model].fit)
    tasks = tasks_by_split(task, weather_error)

    @cache
    def fitted(until: int | None) -> Baseline:
        model: Baseline = fit(task, config, until)
        return model

    out_of_sample = {
        split: fitted(None).forecast(task, task.issues[split]) for split in OUT_OF_SAMPLE
    }
    for periods in schedules:
        parts, seconds = defaultdict(list), 0.0
        for period in periods:
            started = time.perf_counter()
            model = fitted(period.until)
            seconds += time.perf_counter() - started if period.warm else 0.0
            for split, seen in tasks.items():
                parts[split].append(model.forecast(seen, period.positions))
        yield Trained({**out_of_sample, **_joined(parts)}, seconds)


def tasks_by_split(task: Task, weather_error: float | None) -> dict[str, Task]:
    """The task for each split of test forecasts: as it is and, with one, under a weather error."""
    tasks = {TEST: task}
    if weather_error is not None:
        tasks[TEST_UNDER_ERROR] = under_weather_error(task, error=weather_error)
    return tasks


def under_weather_error(task: Task, *, error: float) -> Task:
    """The task whose temperatures are in error over the horizons of the test split.

    See `issue_weather.with_weather_error` for the error.
    """
    features = with_weather_error(
        task.features, task.series, task.issues[TEST], task.shape.horizon_steps, error=error
    )
    return replace(task, features=features)


def _joined(parts: Mapping[str, list[Floats]]) -> dict[str, Floats]:
    return {split: np.concatenate(forecasts) for split, forecasts in parts.items()}


@dataclass(frozen=True)
class TrainedModel:
    """A training that has ended, with the setup it learned from.

    Attributes
    ----------
    share : float
        Of its correction of the anchor that is used, 0 to 1. A model that has learned from the
        stop split has that of the first training, to which the split has said how far to correct.
    """

    setup: TrainingSetup
    training: Training
    share: float

    def under_error(self, error: float, positions: Positions) -> TrainedModel:
        """The same weights, for windows of the test split under a weather error."""
        change = partial(under_weather_error, error=error)
        setup = with_other_weather(self.setup, change, positions=positions)
        return replace(self, setup=setup)

    def forecast(self, positions: Positions) -> Floats:
        """Quantiles at issue positions, (N, H, Q), target units."""
        with self.training.best_model(self.share) as model:
            scaled = forecast_positions(model, self.setup.source, positions)
        return self.setup.scaling.unscale(scaled)


def train_first(
    setup: TrainingSetup,
    config: Config,
    *,
    seed: int,
    kept: Path | None = None,
    on_progress: Callable[[int, float], None] = lambda _step, _loss: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> TrainedModel:
    """A network trained on the train split and stopped by the stop split, as a trial is.

    Parameters
    ----------
    setup : TrainingSetup
        Prepared for the config.
    kept : Path, optional
        Where its state is kept once it has ended; what is there is not made again. For a network of
        many series, which each of them asks for.
    """
    training = start_training(setup, config, seed=seed)
    if kept is not None and files.exists(kept):
        try:
            training.restore(kept.read_bytes())
        except StoreError:  # a damaged file costs time, nothing else
            training = start_training(setup, config, seed=seed)
    training.advance(setup.budget_steps, on_progress=on_progress, should_stop=should_stop)
    if kept is not None and not files.exists(kept):
        files.save_bytes(kept, training.checkpoint())
    return TrainedModel(setup, training, training.correction_share)


def train_until(
    first: TrainedModel,
    config: Config,
    until: int | None,
    *,
    seed: int,
    on_progress: Callable[[int, float], None] = lambda _step, _loss: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> TrainedModel:
    """The same network trained in full on every window that ends before a position.

    It repeats the schedule up to the step that was best for the first training: nothing is held
    back to stop it. `first` itself where `until` is None.
    """
    if until is None:
        return first
    setup = _later_setup(first.setup, until)
    training = start_training(setup, config, seed=seed)
    last_step = first.training.best_step
    training.advance(last_step, on_progress=on_progress, should_stop=should_stop)
    return TrainedModel(setup, training, first.share)


def train_from(
    setup: TrainingSetup,
    config: Config,
    *,
    weights: Weights,
    until: int | None,
    seed: int,
    share: float | None = None,
    on_progress: Callable[[int, float], None] = lambda _step, _loss: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> TrainedModel:
    """A network that has learned a few steps more from given weights, see `continue_training`.

    Parameters
    ----------
    until : int or None
        It learns from every window that ends before this position; None for the train split.
    share : float, optional
        Of its correction of the anchor; what the stop split says without it.
    """
    later = setup if until is None else _later_setup(setup, until)
    training = continue_training(later, config, weights=weights, seed=seed)
    training.advance(training.recipe.steps, on_progress=on_progress, should_stop=should_stop)
    return TrainedModel(later, training, training.correction_share if share is None else share)


def _later_setup(setup: TrainingSetup, until: int) -> TrainingSetup:
    """The set-up with every window that ends before a position to learn from.

    The schedule stays that of the first training, and the averaged weights of the last step are
    taken: with one evaluation at its end there is nothing to choose from.
    """
    settings = setup.training.model_copy(
        update={"steps": setup.budget_steps, "epochs": None, "n_evaluations": 1}
    )
    return replace(learned_until(setup, until), training=settings)
