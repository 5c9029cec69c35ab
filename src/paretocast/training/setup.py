"""The scaled task with its anchor that all trials of a study share, and the start of a training."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch

from paretocast.data.features import weekly_lags
from paretocast.data.scaling import ScaledArrays, TargetScaling, Transform, scale_task
from paretocast.errors import DataError, SettingsError
from paretocast.metrics.scores import seasonal_scale
from paretocast.models.anchor import (
    Anchor,
    LinearOptions,
    fit_anchor,
    is_long_enough,
    refit_anchor,
    repoint_anchor,
)
from paretocast.models.base import SeedAverage, build_model
from paretocast.models.baselines.base import train_scaling
from paretocast.search.models import MODELS, has_several, models_of
from paretocast.search.pruning import plan_rungs
from paretocast.search.recipe import DataChoice
from paretocast.search.space import model_in
from paretocast.training import Recipe, Training, WindowSource, seed_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from paretocast.data.task import Task
    from paretocast.models.base import QuantileModel
    from paretocast.search.space import Config
    from paretocast.settings import TrainingSettings, TuneSettings

Anchors: TypeAlias = dict[tuple[Transform, bool], Anchor]
Weights: TypeAlias = "Mapping[str, Tensor] | Mapping[str, NDArray[np.float32]]"
# Prepared setups that are kept: each holds the scaled series and its windows' anchors.
MOST_PREPARED = 12
# Of the budget and of the peak learning rate, for a model that learns on from its last weights:
# compared by experiments/relearning.py, on hours before the test split.
RELEARNING_SHARE, RELEARNING_RATE = 0.05, 0.3


@dataclass(frozen=True)
class PooledWindows:
    """What a network of many series learns from, in place of the windows of one.

    Attributes
    ----------
    source : WindowSource
        The series one after the other, each in its own scaled units and with its own anchor.
    train, stop : ndarray
        Issue positions in `source`, of all series.
    n_windows : int
        Issues of the train splits of all series, that the budget goes by.
    train_history : ndarray
        The train periods one after the other, scaled; 0 where nothing was observed.
    identity : ndarray of shape (K,)
        What tells the network its series, beside the features that are known ahead; of one series
        alone nothing.
    hashes : dict of str to str
        SHA-256 of each task's manifest, by series.
    prepared : callable
        From a config to the setup of the same series.
    """

    source: WindowSource
    train: NDArray[np.intp]
    stop: NDArray[np.intp]
    n_windows: int
    train_history: NDArray[np.float32]
    identity: NDArray[np.float32]
    hashes: Mapping[str, str]
    prepared: Callable[[Config], TrainingSetup]


@dataclass(frozen=True)
class TrainingSetup:
    """The scaled task on its device with all that trials of a study share, prepared once.

    Attributes
    ----------
    model : str
        A model, or the label of several; `prepared` says which one a config is of.
    base_task : Task
        The task as it was planned; `task` is what the networks of this setup see of it.
    data : DataChoice
        What they see.
    mase_scale : float
        Mean absolute daily difference of the train period, target units.
    pool : PooledWindows or None
        What is learned from, where networks learn from other series too.
    """

    task: Task
    model: str
    training: TrainingSettings
    target_coverage: float
    scaling: TargetScaling
    source: WindowSource
    mase_scale: float
    base_task: Task
    data: DataChoice = field(default_factory=DataChoice)
    pool: PooledWindows | None = None
    _prepared: dict[DataChoice, TrainingSetup] = field(default_factory=dict, compare=False)
    _anchors: Anchors = field(default_factory=dict, compare=False)

    @classmethod
    def from_settings(
        cls,
        settings: TuneSettings,
        task: Task,
        *,
        device: str | None = None,
        anchors: Anchors | None = None,
    ) -> TrainingSetup:
        """Scale a task and put it on a device.

        Parameters
        ----------
        device : str, optional
            "auto", "cpu", "cuda" or "cuda:N"; that of the settings without it.
        anchors : dict, optional
            Anchors of the same task that other setups have fitted, by transform and weather.

        Raises
        ------
        SettingsError
            If the settings are those of a network of many series: `training.pooling` has its setup.
        """
        if settings.pool:
            raise SettingsError(
                f"the study trained one network on the series {', '.join(settings.pool)}, which "
                "cannot be done here; tune the series by itself, without --pool"
            )
        arrays, scaling = scale_task(task, settings.training.transform)
        anchors = {} if anchors is None else anchors
        anchor = None
        if any(MODELS[name].is_network for name in models_of(settings.model)):
            anchor = _anchor(task, scaling, settings.training.anchor, anchors, weather=True)
        return cls(
            task=task,
            model=settings.model,
            training=settings.training,
            target_coverage=settings.target_coverage,
            scaling=scaling,
            source=window_source(task, arrays, anchor, device=device or settings.device),
            mase_scale=daily_scale(task),
            base_task=task,
            _anchors=anchors,
        )

    def prepared(self, config: Config) -> TrainingSetup:
        """The setup of a config: its model, the data it sees, its budget.

        What a config does not hold is as the settings say. The rungs of all configs are the same.
        """
        if self.pool is not None:
            return self.pool.prepared(config)
        return self.seeing(config).with_budget(config)

    def seeing(self, config: Config) -> TrainingSetup:
        """The setup with the model of a config and the data it sees."""
        name = model_in(config, self.model)
        training = self.training.model_copy(update={"n_rungs": self.n_rungs})
        data = DataChoice.of(config)
        if data.input_steps == self.base_task.shape.input_steps:
            data = replace(data, input_steps=None)
        setup = self
        if MODELS[name].is_network and data != self.data:
            setup = self._prepared.get(data) or self._see(data)
            while len(self._prepared) >= MOST_PREPARED:
                del self._prepared[next(iter(self._prepared))]
            self._prepared[data] = setup
        return replace(setup, model=name, training=training)

    def with_budget(self, config: Config) -> TrainingSetup:
        """The setup with the gradient steps that a config asks for."""
        if "steps_factor" not in config:
            return self
        steps = max(1, round(float(config["steps_factor"]) * self.budget_steps))
        budget = {"steps": steps, "epochs": None}
        return replace(self, training=self.training.model_copy(update=budget))

    def _see(self, data: DataChoice) -> TrainingSetup:
        """The setup whose networks see something else of the task."""
        transform = Transform(data.transform or self.training.transform)
        task = visible(self.base_task, data)
        setting = data.anchor or self.training.anchor
        scaling = train_scaling(task, transform)
        anchor = _anchor(task, scaling, setting, self._anchors, weather=data.weather)
        task = _with_train_windows(with_window(task, data))
        arrays, _ = scale_task(task, transform)
        source = window_source(task, arrays, anchor, device=str(self.source.device))
        return replace(self, task=task, scaling=scaling, source=source, data=data)

    @property
    def series(self) -> tuple[TrainingSetup, ...]:
        """The setups of all series that a trial is scored on: this one."""
        return (self,)

    @property
    def pool_hashes(self) -> Mapping[str, str]:
        """SHA-256 of each task's manifest by series, of those that are learned from together."""
        return {} if self.pool is None else self.pool.hashes

    @property
    def anchored(self) -> bool:
        """True if models correct an anchor."""
        return self.source.anchor is not None

    @property
    def train_positions(self) -> NDArray[np.intp]:
        """Issue positions of the windows to train on, ascending.

        Those that the anchor has a forecast for; of every hour without one. Of many series in
        `pool.source`.
        """
        if self.pool is not None:
            return self.pool.train
        train = self.task.issues["train"]
        if self.source.anchor is not None:
            train = np.intersect1d(train, self.source.anchor.positions)
        n_skipped = round((1.0 - self.data.history_share) * len(train))
        return train[n_skipped:]

    @property
    def batch_size(self) -> int:
        """Windows per gradient step: as set, else what suits the model on its device."""
        device = self.source.device.type
        models = models_of(self.model)
        return self.training.batch_size or MODELS[models[0]].batch_sizes[device]

    @property
    def budget_steps(self) -> int:
        """Gradient steps of a full trial; of the windows of an hour one counts."""
        n_windows = len(self.task.issues["train"]) if self.pool is None else self.pool.n_windows
        return self.training.budget_steps(
            n_windows // self.task.shape.steps_per_hour,
            batch_size=self.batch_size,
            anchored=self.anchored,
        )

    @property
    def n_rungs(self) -> int:
        """Number of times that a trial is scored, its end included.

        Once where several models share a study: their first steps are not alike.
        """
        return 1 if has_several(self.model) else self.training.rungs(anchored=self.anchored)

    @property
    def rung_steps(self) -> tuple[int, ...]:
        """Gradient steps at which a trial is scored; the last one is the budget."""
        return plan_rungs(self.budget_steps, n_rungs=self.n_rungs)


def daily_scale(task: Task) -> float:
    """Mean absolute daily difference of the train period, target units."""
    return seasonal_scale(task.series.values[: task.train_stop], task.shape.steps_per_day)


def learned_until(setup: TrainingSetup, until: int) -> TrainingSetup:
    """The setup whose trainings and anchor learn from every window that ends before a position.

    Raises
    ------
    SettingsError
        If it is one of many series: the others have not been read so far.
    """
    if setup.pool is not None:
        raise SettingsError(
            f"a network of the series {', '.join(setup.pool.hashes)} cannot learn from hours after "
            "the train split; leave that out, or tune the series by itself, without --pool"
        )
    task = setup.task
    windows = np.arange(task.shape.input_steps, until - task.shape.horizon_steps + 1)
    later = replace(task, issues={**task.issues, "train": windows})
    source = setup.source
    if source.anchor is not None:
        arrays, _ = scale_task(task, setup.scaling.transform)
        seen = visible(setup.base_task, setup.data)
        anchor = refit_anchor(source.anchor, seen, setup.scaling, until=until)
        source = window_source(later, arrays, anchor, device=str(source.device))
    return replace(setup, task=later, source=source)


def with_other_weather(
    setup: TrainingSetup, change: Callable[[Task], Task], *, positions: NDArray[np.intp]
) -> TrainingSetup:
    """The setup whose windows at some issue positions read other weather over their horizon.

    Scaling, and all that an anchor has learned, stay.

    Parameters
    ----------
    change : callable
        Returns a task with other values of `features.ahead`.
    """
    base, task = change(setup.base_task), change(setup.task)
    arrays, _ = scale_task(task, setup.scaling.transform)
    anchor = setup.source.anchor
    if anchor is not None:
        seen = visible(base, setup.data)
        anchor = repoint_anchor(anchor, seen, setup.scaling, positions=positions)
    if setup.pool is not None:
        arrays = with_identity(arrays, setup.pool.identity)
    source = window_source(task, arrays, anchor, device=str(setup.source.device))
    return replace(setup, base_task=base, task=task, source=source)


def start_training(setup: TrainingSetup, config: Config, *, seed: int) -> Training:
    """A fresh model with its training at step 0."""
    seed_weights(seed)
    model = _fresh_models(setup, config)
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
    weights: Weights,
    seed: int,
    share: float = RELEARNING_SHARE,
    rate: float = RELEARNING_RATE,
) -> Training:
    """A training at step 0 of a model with given weights: few steps, at a low learning rate.

    The optimizer starts anew and the stop split is looked at once, after the last step.

    Parameters
    ----------
    weights : mapping of str to Tensor or ndarray
        State of a model of the same config and setup, as `Training.best_weights` gives it.
    share, rate : float
        Of the steps and of the peak learning rate of a full trial.
    """
    seed_weights(seed)
    model = _fresh_models(setup, config)
    model.load_state_dict({name: torch.as_tensor(values) for name, values in weights.items()})
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
    pool = setup.pool
    return Training(
        model,
        setup.source if pool is None else pool.source,
        recipe=recipe,
        levels=setup.task.shape.levels,
        train_positions=setup.train_positions,
        stop_positions=setup.task.issues["stop"] if pool is None else pool.stop,
        seed=seed,
    )


def _anchor(
    task: Task,
    scaling: TargetScaling,
    setting: str,
    fitted: Anchors,
    *,
    weather: bool,
) -> Anchor | None:
    """The anchor that a setting asks for; `auto` goes without where it cannot be fitted.

    Parameters
    ----------
    fitted : dict
        Anchors that were fitted before, by transform and weather; a new one is added.
    """
    if setting == "none" or (setting == "auto" and not is_long_enough(task)):
        return None
    key = scaling.transform, weather
    if key not in fitted:
        try:
            fitted[key] = fit_anchor(task, scaling, LinearOptions(weather=weather))
        except DataError:
            if setting != "auto":
                raise
            return None
    return fitted[key]


def visible(task: Task, data: DataChoice) -> Task:
    """The task with the covariates that a choice of data allows."""
    return task if data.weather else replace(task, features=task.features.calendar)


def with_window(task: Task, data: DataChoice) -> Task:
    """The task with the length of the window and the features that a choice of data says."""
    steps = data.input_steps or task.shape.input_steps
    if steps == task.shape.input_steps and not data.weekly_lags:
        return task
    features = task.features
    if data.weekly_lags:
        features = features.joined(weekly_lags(task.series, task.shape.horizon_steps))
    return replace(task, shape=replace(task.shape, input_steps=steps), features=features)


def _with_train_windows(task: Task) -> Task:
    """The task with the train issues that its window length leaves."""
    steps = task.shape.input_steps
    train = np.arange(steps, task.train_stop - task.shape.horizon_steps + 1)
    if not train.size:
        raise SettingsError(f"input_steps {steps} leaves no window in the train period")
    return replace(task, issues={**task.issues, "train": train})


def with_identity(arrays: ScaledArrays, identity: NDArray[np.float32]) -> ScaledArrays:
    """The arrays with columns that are the same at all times behind those known ahead."""
    if not identity.size:
        return arrays
    columns = np.tile(identity, (len(arrays.known), 1))
    return replace(arrays, known=np.hstack([arrays.known, columns]))


def window_source(
    task: Task, arrays: ScaledArrays, anchor: Anchor | None, *, device: str
) -> WindowSource:
    """The windows of a task on a device."""
    return WindowSource(
        arrays,
        input_steps=task.shape.input_steps,
        horizon_steps=task.shape.horizon_steps,
        device=device,
        anchor=anchor,
        steps_per_hour=task.shape.steps_per_hour,
    )


def _fresh_models(setup: TrainingSetup, config: Config) -> QuantileModel:
    """A model, or the average of as many as a config asks for."""
    models = [fresh_model(setup, config) for _ in range(int(config.get("n_seeds", 1)))]
    return models[0] if len(models) == 1 else SeedAverage(models)


def fresh_model(setup: TrainingSetup, config: Config) -> QuantileModel:
    """One network of a config, freshly initialised."""
    pool = setup.pool
    return build_model(
        setup.model,
        setup.source.shape(len(setup.task.shape.levels)),
        config,
        train_history=train_history(setup) if pool is None else pool.train_history,
    )


def train_history(setup: TrainingSetup) -> NDArray[np.float32]:
    """Target of the train period of one series, scaled; 0 where nothing was observed."""
    values = setup.scaling.scale(setup.task.seen.filled[: setup.task.train_stop])
    return np.nan_to_num(values).astype(np.float32)
