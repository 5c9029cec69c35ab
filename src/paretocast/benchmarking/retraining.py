"""Configs trained again with the full budget, and their forecasts on every split.

N windows, H horizon steps, Q levels; forecasts are in target units.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from paretocast.models.base import imported
from paretocast.search.models import MODELS
from paretocast.training import forecast_positions
from paretocast.training.setup import TrainingSetup, learned_until, start_training

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from paretocast.data.task import Task
    from paretocast.search.space import Config
    from paretocast.training import Training

    Floats = NDArray[np.float64]
    Positions = NDArray[np.intp]

# Forecast by the model that was trained on the train split alone, whatever is learned later.
OUT_OF_SAMPLE = ("tune", "calibrate")
TEST = "test"


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
    """

    positions: Positions
    until: int | None = None


def plan_retraining(
    task: Task, *, refit_until: int | None = None, retrain_days: int | None = None
) -> tuple[RetrainingPeriod, ...]:
    """The test split cut where models are retrained.

    Parameters
    ----------
    refit_until : int, optional
        Learn from all hours before this position, the first test issue at the latest.
    retrain_days : int, optional
        Learn again every so many issues, from all hours before the issue.
    """
    issues = task.issues[TEST]
    if retrain_days is None:
        return (RetrainingPeriod(issues, refit_until),)
    parts = [issues[i : i + retrain_days] for i in range(0, len(issues), retrain_days)]
    return (
        RetrainingPeriod(parts[0], refit_until),
        *(RetrainingPeriod(p, int(p[0])) for p in parts[1:]),
    )


def train_and_forecast(
    setup: TrainingSetup,
    config: Config,
    *,
    seed: int,
    periods: Sequence[RetrainingPeriod],
    on_progress: Callable[[int, float], None] = lambda _step, _loss: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, Floats]:
    """Forecasts of a config on tune, calibrate and the periods of the test split.

    The first training is that of a trial. A later one repeats its schedule up to the step that was
    best for it, on more hours; nothing is held back to stop it.

    Raises
    ------
    TrainingInterrupted
        If `should_stop` said so.
    """
    setup = setup.prepared(config)
    if not MODELS[setup.model].is_network:
        return _fit_and_forecast(setup, config, periods)
    first = start_training(setup, config, seed=seed)
    first.advance(setup.budget_steps, on_progress=on_progress, should_stop=should_stop)
    forecasts = {
        split: _forecast(setup, first, setup.task.issues[split]) for split in OUT_OF_SAMPLE
    }
    parts = []
    for period in periods:
        later, training = setup, first
        if period.until is not None:
            later = _later_setup(setup, period.until)
            training = start_training(later, config, seed=seed)
            training.advance(first.best_step, on_progress=on_progress, should_stop=should_stop)
        share = first.correction_share  # later ones have learned from the stop split
        parts.append(_forecast(later, training, period.positions, share=share))
    return {**forecasts, TEST: np.concatenate(parts)}


def _fit_and_forecast(
    setup: TrainingSetup, config: Config, periods: Sequence[RetrainingPeriod]
) -> dict[str, Floats]:
    """The same of a model that is fitted at once."""
    task, fit = setup.base_task, imported(MODELS[setup.model].fit)
    first = fit(task, config, None)
    forecasts = {split: first.forecast(task, task.issues[split]) for split in OUT_OF_SAMPLE}
    parts = []
    for period in periods:
        fitted = first if period.until is None else fit(task, config, period.until)
        parts.append(fitted.forecast(task, period.positions))
    return {**forecasts, TEST: np.concatenate(parts)}


def _forecast(
    setup: TrainingSetup, training: Training, positions: Positions, *, share: float | None = None
) -> Floats:
    with training.best_model(share) as model:
        return setup.scaling.unscale(forecast_positions(model, setup.source, positions))


def _later_setup(setup: TrainingSetup, until: int) -> TrainingSetup:
    """The set-up with every window that ends before a position to learn from.

    The schedule stays that of the first training, and the averaged weights of the last step are
    taken: with one evaluation at its end there is nothing to choose from.
    """
    settings = setup.training.model_copy(
        update={"steps": setup.budget_steps, "epochs": None, "n_evaluations": 1}
    )
    return replace(learned_until(setup, until), training=settings)
