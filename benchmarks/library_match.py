"""Our side and the library's side of a comparison: same series, architecture, covariates, batch.

Imports NeuralForecast, which takes seconds: scripts import this module after reading their options.
"""

from __future__ import annotations

import logging
import time
import warnings
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import neuralforecast.models
import pandas as pd
import torch
from clocks import seconds_between
from neuralforecast import NeuralForecast
from neuralforecast.losses.pytorch import MQLoss
from neuralforecast_conversion import nhits_arguments
from pytorch_lightning import Callback

from paretocast.data.scaling import Transform, scale_task
from paretocast.data.task import Task
from paretocast.models.base import Batch, QuantileModel
from paretocast.models.nhits import NHITS
from paretocast.search.models import MODELS
from paretocast.settings import TrainingSettings, TuneSettings
from paretocast.training import Training, TrainingInterrupted, forecast_positions, pinball_loss
from paretocast.training.setup import TrainingSetup, start_training

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from paretocast.search.space import Config

LIBRARY_NAMES = {"NHITS_Q": "NHITS", "TFT_Q": "TFT", "TIMESNET_Q": "TimesNet"}
# Beyond any run here: no evaluation and no end of the schedule falls into a timing.
ENDLESS_STEPS = 1_000_000


def silence_library() -> None:
    """No seed notices, device notices and warnings among the figures."""
    warnings.filterwarnings("ignore")
    for name in ("pytorch_lightning", "lightning_fabric", "lightning", "neuralforecast"):
        logging.getLogger(name).setLevel(logging.ERROR)


def load_task(data_dir: Path | None) -> Task:
    """Heat with calendar features where its file is at hand, else the demo with its covariates."""
    if data_dir is None:
        return Task.from_settings(TuneSettings(dataset="demo"))
    return Task.from_settings(TuneSettings(dataset="heat", data_dir=str(data_dir), covariates=()))


def config_with(model: str, **changes: float) -> Config:
    """The default config of a model with some values replaced."""
    return {**MODELS[model].default, **changes}


@dataclass(frozen=True)
class Match:
    """One architecture on one task, built for either side.

    Attributes
    ----------
    setup : TrainingSetup
        Our side; it holds the scaled windows that both sides see.
    """

    setup: TrainingSetup
    config: Config

    @property
    def batch_size(self) -> int:
        """Windows per gradient step, on both sides."""
        return self.setup.batch_size

    def start_ours(self, *, seed: int = 1) -> Training:
        """Our training at step 0."""
        return start_training(self.setup, self.config, seed=seed)

    def build_library(self, *, steps: int = 1, **settings: object) -> Any:  # noqa: ANN401 - not typed
        """The library's module; what is not given here or in the config is its default."""
        name = LIBRARY_NAMES[self.setup.model]
        levels = list(self.setup.task.shape.levels)
        return getattr(neuralforecast.models, name)(
            **_library_architecture(self),
            loss=MQLoss(quantiles=levels),
            max_steps=steps,
            val_check_steps=steps,
            batch_size=1,
            windows_batch_size=self.batch_size,
            scaler_type="identity",
            **{"accelerator": "cpu", "devices": 1, **settings},
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            num_sanity_val_steps=0,
            limit_val_batches=0,
        )

    def fit_library(
        self, frame: pd.DataFrame, *, steps: int, **settings: object
    ) -> tuple[NeuralForecast, float]:
        """`NeuralForecast.fit`, and its seconds per step without start-up and first step."""
        clock = StepClock()
        fitted = NeuralForecast(
            models=[self.build_library(steps=steps, callbacks=[clock], **settings)], freq="h"
        )
        fitted.fit(frame)
        ends = fitted.models[0].trainer_kwargs["callbacks"][0].ends
        return fitted, seconds_between(ends) if len(ends) > 1 else float("nan")


def make_match(
    task: Task,
    model: str,
    config: Config,
    *,
    batch_size: int | None = None,
    steps: int = ENDLESS_STEPS,
    n_evaluations: int = 1,
    device: str = "cpu",
) -> Match:
    """A match with our recipe for that many steps; patience never ends it.

    Without a batch it is the one that training chooses for model and device.
    """
    training = TrainingSettings(
        steps=steps,
        batch_size=batch_size,
        n_evaluations=n_evaluations,
        patience=n_evaluations,
        transform=Transform.NONE,
        anchor="none",
    )
    settings = TuneSettings(model=model, training=training, device=device)
    return Match(TrainingSetup.from_settings(settings, task), config)


def library_frame(setup: TrainingSetup) -> pd.DataFrame:
    """The scaled series as NeuralForecast takes it, one row per hour.

    `available_mask` is 1 where the target was observed: such hours alone enter its loss.
    """
    arrays, _ = scale_task(setup.task, setup.training.transform)
    columns = {
        "unique_id": setup.task.series.name,
        "ds": setup.task.series.index.tz_convert(None),
        "y": arrays.history,
        "available_mask": arrays.observed_mask,
    }
    columns |= {f"past_{i}": column for i, column in enumerate(arrays.past.T)}
    columns |= {f"known_{i}": column for i, column in enumerate(arrays.known.T)}
    return pd.DataFrame(columns)


def train_frame(setup: TrainingSetup) -> pd.DataFrame:
    """The part of the frame that training may see."""
    return library_frame(setup).iloc[: setup.task.train_stop]


class StepClock(Callback):
    """Notes when each training step of a fit ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_batch_end(self, *_: object) -> None:
        """Called by Lightning."""
        self.ends.append(time.perf_counter())


class LibraryForecaster(QuantileModel):
    """A module of the library behind our contract, so that our loss and our clock see it."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, batch: Batch) -> Tensor:
        """Quantile forecasts of shape (B, H, Q), scaled."""
        forecast: Tensor = self.module(
            {
                "insample_y": batch.history[:, :, None],
                "insample_mask": batch.history_mask[:, :, None],
                "hist_exog": batch.past if batch.past.shape[2] else None,
                "futr_exog": batch.known if batch.known.shape[2] else None,
                "stat_exog": None,
            }
        )
        return forecast


class InFloat32(QuantileModel):
    """A model that does not follow the autocast around it."""

    def __init__(self, model: QuantileModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> Tensor:
        """Quantile forecasts of shape (B, H, Q), scaled."""
        with torch.autocast(batch.history.device.type, enabled=False):
            forecast: Tensor = self.model(batch)
        return forecast


def take_steps(training: Training, n_steps: int) -> None:
    """Gradient steps alone: a training that reaches its last step is evaluated there."""
    last_step = training.step + n_steps
    with suppress(TrainingInterrupted):
        training.advance(ENDLESS_STEPS, should_stop=lambda: training.step >= last_step)


def stop_split_loss(model: QuantileModel, setup: TrainingSetup) -> float:
    """Mean pinball loss on the stop split, scaled units, as our training computes it."""
    positions = setup.task.issues["stop"]
    forecast = torch.from_numpy(forecast_positions(model, setup.source, positions)).float()
    target, mask = setup.source.targets(torch.from_numpy(positions))
    return float(pinball_loss(forecast, target, mask, torch.tensor(setup.task.shape.levels)))


def _library_architecture(match: Match) -> dict[str, Any]:
    """Arguments of the library's module that fix its windows, covariates and sizes."""
    shape = match.setup.source.shape(len(match.setup.task.shape.levels))
    sizes = {k: v for k, v in match.config.items() if k not in {"lr", "weight_decay"}}
    arguments: dict[str, Any] = {"h": shape.horizon_steps, "input_size": shape.input_steps}
    if shape.n_known:
        arguments["futr_exog_list"] = [f"known_{i}" for i in range(shape.n_known)]
    # The library's TimesNet takes no covariates of the past.
    if shape.n_past and match.setup.model != "TIMESNET_Q":
        arguments["hist_exog_list"] = [f"past_{i}" for i in range(shape.n_past)]
    if match.setup.model == "NHITS_Q":
        with torch.device("meta"):
            ours = NHITS(shape, **sizes)  # type: ignore[arg-type]
        return arguments | nhits_arguments(ours)
    names = {"num_attention_heads": "n_head", "lstm_layers": "n_rnn_layers"}
    return arguments | {names.get(name, name): value for name, value in sizes.items()}
