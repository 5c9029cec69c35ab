"""The scaled task with its anchor that all trials of a study share, and the start of a training."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from paretocast.data.scaling import ScaledArrays, TargetScaling, scale_task
from paretocast.data.series import STEPS_PER_DAY
from paretocast.errors import DataError
from paretocast.metrics.scores import seasonal_scale
from paretocast.models.anchor import Anchor, fit_anchor, is_long_enough, refit_anchor
from paretocast.models.base import build_model, count_weights
from paretocast.search.models import MODELS
from paretocast.search.pruning import plan_rungs
from paretocast.training import Recipe, Training, WindowSource, seed_weights

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from paretocast.data.task import Task
    from paretocast.models.base import QuantileModel
    from paretocast.search.space import Config
    from paretocast.settings import TrainingSettings, TuneSettings

# Seconds per step on a CPU grow with about this power of the number of weights.
TIME_BY_WEIGHTS = 0.6
# Of the budget and of the peak learning rate, for a model that learns on from its last weights:
# compared by experiments/relearning.py, on hours before the test split.
RELEARNING_SHARE, RELEARNING_RATE = 0.05, 0.3


@dataclass(frozen=True)
class TrainingSetup:
    """The scaled task on its device with all that trials of a study share, prepared once.

    Attributes
    ----------
    mase_scale : float
        Mean absolute daily difference of the train period, target units.
    """

    task: Task
    model: str
    training: TrainingSettings
    target_coverage: float
    scaling: TargetScaling
    source: WindowSource
    mase_scale: float

    @classmethod
    def from_settings(
        cls, settings: TuneSettings, task: Task, *, device: str | None = None
    ) -> TrainingSetup:
        """Scale a task and put it on a device.

        Parameters
        ----------
        device : str, optional
            "auto", "cpu", "cuda" or "cuda:N"; that of the settings without it.
        """
        arrays, scaling = scale_task(task, settings.training.transform)
        anchor = _anchor(task, arrays, settings.training.anchor)
        return cls(
            task=task,
            model=settings.model,
            training=settings.training,
            target_coverage=settings.target_coverage,
            scaling=scaling,
            source=_window_source(task, arrays, anchor, device=device or settings.device),
            mase_scale=seasonal_scale(task.series.values[: task.train_stop], STEPS_PER_DAY),
        )

    @property
    def batch_size(self) -> int:
        """Windows per gradient step: as set, else what suits the model on its device."""
        device = self.source.device.type
        return self.training.batch_size or MODELS[self.model].batch_sizes[device]

    @property
    def budget_steps(self) -> int:
        """Gradient steps of a full trial."""
        n_windows = len(self.task.issues["train"])
        return self.training.budget_steps(
            n_windows, batch_size=self.batch_size, anchored=self.source.anchor is not None
        )

    @property
    def rung_steps(self) -> tuple[int, ...]:
        """Gradient steps at which a trial is scored; the last one is the budget."""
        n_rungs = self.training.rungs(anchored=self.source.anchor is not None)
        return plan_rungs(self.budget_steps, n_rungs=n_rungs)


def learned_until(setup: TrainingSetup, until: int) -> TrainingSetup:
    """The setup whose trainings and anchor learn from every window that ends before a position."""
    task = setup.task
    windows = np.arange(task.shape.input_steps, until - task.shape.horizon_steps + 1)
    later = replace(task, issues={**task.issues, "train": windows})
    source = setup.source
    if source.anchor is not None:
        arrays, _ = scale_task(task, setup.training.transform)
        anchor = refit_anchor(source.anchor, later, arrays)
        source = _window_source(later, arrays, anchor, device=str(source.device))
    return replace(setup, task=later, source=source)


def start_training(setup: TrainingSetup, config: Config, *, seed: int) -> Training:
    """A fresh model with its training at step 0."""
    seed_weights(seed)
    model = _fresh_model(setup, config)
    if setup.source.anchor is not None:
        model.start_at_anchor()
    return _training(setup, model, recipe=_recipe(setup, config), seed=seed)


def relearning_steps(setup: TrainingSetup, share: float = RELEARNING_SHARE) -> int:
    """Gradient steps of `continue_training`."""
    return max(1, round(share * setup.budget_steps))


def continue_training(
    setup: TrainingSetup,
    config: Config,
    *,
    weights: Mapping[str, Tensor],
    seed: int,
    share: float = RELEARNING_SHARE,
    rate: float = RELEARNING_RATE,
) -> Training:
    """A training at step 0 of a model with given weights: few steps, at a low learning rate.

    The optimizer starts anew and the stop split is looked at once, after the last step.

    Parameters
    ----------
    weights : mapping of str to Tensor
        State of a model of the same config and setup, as `Training.best_weights` gives it.
    share, rate : float
        Of the steps and of the peak learning rate of a full trial.
    """
    seed_weights(seed)
    model = _fresh_model(setup, config)
    model.load_state_dict(weights)
    full = _recipe(setup, config)
    steps = relearning_steps(setup, share)
    recipe = replace(full, steps=steps, lr=rate * full.lr, n_evaluations=1)
    return _training(setup, model, recipe=recipe, seed=seed)


def _recipe(setup: TrainingSetup, config: Config) -> Recipe:
    """The recipe of a full trial."""
    settings = setup.training
    return Recipe(
        steps=setup.budget_steps,
        lr=float(config["lr"]),
        weight_decay=float(config.get("weight_decay", settings.weight_decay)),
        batch_size=setup.batch_size,
        clip_norm=settings.clip_norm,
        average_share=settings.average_share,
        n_evaluations=settings.n_evaluations,
        patience=settings.patience,
    )


def _training(setup: TrainingSetup, model: QuantileModel, *, recipe: Recipe, seed: int) -> Training:
    return Training(
        model,
        setup.source,
        recipe=recipe,
        levels=setup.task.shape.levels,
        train_positions=setup.task.issues["train"],
        stop_positions=setup.task.issues["stop"],
        seed=seed,
    )


def step_cost(setup: TrainingSetup, config: Config) -> float:
    """Duration of a gradient step of a config on a CPU, relative to others of its model.

    It goes by the weights alone and not by a clock, so that what is made of it can be repeated.
    NaN for a config whose model cannot be built; its trial will say why.
    """
    try:
        n_weights = count_weights(lambda: _fresh_model(setup, config))
    except Exception:  # noqa: BLE001  (whatever it is: the trial is where failures are recorded)
        return math.nan
    return math.pow(n_weights, TIME_BY_WEIGHTS)


def _anchor(task: Task, arrays: ScaledArrays, setting: str) -> Anchor | None:
    """The anchor that a setting asks for; `auto` goes without where it cannot be fitted."""
    if setting == "ridge":
        return fit_anchor(task, arrays)
    if setting == "auto" and is_long_enough(task):
        with contextlib.suppress(DataError):
            return fit_anchor(task, arrays)
    return None


def _window_source(
    task: Task, arrays: ScaledArrays, anchor: Anchor | None, *, device: str
) -> WindowSource:
    return WindowSource(
        arrays,
        input_steps=task.shape.input_steps,
        horizon_steps=task.shape.horizon_steps,
        device=device,
        anchor=anchor,
    )


def _fresh_model(setup: TrainingSetup, config: Config) -> QuantileModel:
    filled, usable = setup.task.filled
    train_values = setup.scaling.scale(np.where(usable, filled, np.nan)[: setup.task.train_stop])
    return build_model(
        setup.model,
        setup.source.shape(len(setup.task.shape.levels)),
        config,
        train_history=np.nan_to_num(train_values).astype(np.float32),
    )
