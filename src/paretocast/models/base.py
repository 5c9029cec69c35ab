"""The contract of every neural model, how one is built, and parts that models share.

Axes: B windows of a batch, L history steps, H horizon steps, P covariates of the past, K covariates
known ahead, Q quantile levels. Everything is in scaled units; `training` scales and unscales.
"""

from __future__ import annotations

import importlib
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name everybody knows

from paretocast.errors import SettingsError
from paretocast.search.models import MODELS
from paretocast.search.recipe import RECIPE
from paretocast.search.space import MODEL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from paretocast.search.space import Value

# Parameters of a config that belong to its training and not to the architecture.
TRAINING_PARAMETERS = ("lr", "weight_decay", MODEL, *RECIPE)
# Dropout rates are multiples of one over this.
DRAWS = 1 << 16


@dataclass(frozen=True)
class WindowShape:
    """Sizes that fix the architecture of a model together with its config.

    Attributes
    ----------
    n_past, n_known : int
        Numbers of covariates seen up to the issue time (role `past`) and over history and
        horizon (roles `calendar` and `forecast`). Either may be 0.
    steps_per_hour : int
        1 where a step is an hour or longer.
    """

    input_steps: int
    horizon_steps: int
    n_past: int
    n_known: int
    n_levels: int
    steps_per_hour: int = 1


@dataclass(frozen=True)
class Batch:
    """Windows as the models see them.

    Attributes
    ----------
    history : Tensor of shape (B, L)
        Target up to the issue time; 0 where `history_mask` is 0.
    history_mask : Tensor of shape (B, L)
        1 where the history holds a value (observed or filled), 0 inside long gaps.
    past : Tensor of shape (B, L, P)
        Covariates observed up to the issue time.
    known : Tensor of shape (B, L + H, K)
        Covariates known for history and horizon.
    hours : Tensor of shape (B, L), integer, or None
        Positions of the history's hours in the series: equal numbers stand for equal values of
        target, mask and covariates. What depends on an hour alone can then be computed once.
    anchor : Tensor of shape (B, H, Q), or None
        Linear forecast of the horizon's quantiles, which the model corrects.
    """

    history: Tensor
    history_mask: Tensor
    past: Tensor
    known: Tensor
    hours: Tensor | None = None
    anchor: Tensor | None = None


class QuantileModel(nn.Module, ABC):
    """A module from a batch of windows to quantiles of the horizon."""

    @abstractmethod
    def forward(self, batch: Batch) -> Tensor:
        """Quantile forecasts of shape (B, H, Q), scaled; levels ascend but may cross.

        A window's forecast does not depend on the other windows of its batch.
        """

    def output_layers(self) -> Sequence[nn.Linear]:
        """The last maps, from whose outputs the forecast is added up; none if there is no such."""
        return ()

    def start_at_anchor(self) -> None:
        """Let a fresh model correct nothing: its forecast is the anchor."""
        for layer in self.output_layers():
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)


class SeedAverage(QuantileModel):
    """Several networks of one config that differ in their initial weights: their mean forecast.

    They are trained side by side on the same batches, each by its own loss: in training the
    forecasts come one network after the other, (S, B, H, Q).
    """

    def __init__(self, models: Sequence[QuantileModel]) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)

    def forward(self, batch: Batch) -> Tensor:
        """Mean quantiles of shape (B, H, Q); those of each network, (S, B, H, Q), in training."""
        forecasts = torch.stack([model(batch) for model in self.models])
        return forecasts if self.training else forecasts.sort(dim=-1).values.mean(dim=0)

    def output_layers(self) -> list[nn.Linear]:
        """The last maps of every network."""
        models = [cast("QuantileModel", model) for model in self.models]
        return [layer for model in models for layer in model.output_layers()]

    def start_at_anchor(self) -> None:
        """Let every network correct nothing."""
        for model in self.models:
            cast("QuantileModel", model).start_at_anchor()


class ShrunkModel(QuantileModel):
    """A model of which only a share of its correction of the anchor is used."""

    def __init__(self, model: QuantileModel, share: float) -> None:
        super().__init__()
        self.model, self.share = model, share

    def forward(self, batch: Batch) -> Tensor:
        """Quantiles of shape (B, H, Q): anchor plus a share of what the model adds to it."""
        forecast: Tensor = self.model(batch)
        if batch.anchor is None:
            return forecast
        return torch.lerp(batch.anchor.to(forecast.dtype), forecast, self.share)


def corrected(anchor: Tensor | None, correction: Tensor) -> Tensor:
    """The anchor with a correction added, both (B, H, Q); the correction alone without one."""
    return correction if anchor is None else anchor + correction


def build_model(
    name: str,
    shape: WindowShape,
    config: Mapping[str, Value],
    *,
    train_history: NDArray[np.float32],
) -> QuantileModel:
    """A freshly initialised model of a registered name.

    Parameters
    ----------
    config : mapping
        A point of the model's space; `TRAINING_PARAMETERS` are passed over, the rest is the
        architecture that the model's `build` gets.
    train_history : ndarray of shape (T,)
        Scaled target of the train period, from which TimesNet takes its periods.

    Raises
    ------
    SettingsError
        If the model is unknown, or what its `build` gives is no `QuantileModel`.
    """
    architecture = {key: value for key, value in config.items() if key not in TRAINING_PARAMETERS}
    build = imported(MODELS[name].build)
    model = build(shape, architecture, train_history)
    if not isinstance(model, QuantileModel):
        raise SettingsError(f"model {name} builds a {type(model).__name__}, expected QuantileModel")
    return model


def restore_model(
    name: str,
    shape: WindowShape,
    config: Mapping[str, Value],
    state: Mapping[str, NDArray[Any]],
    *,
    share: float = 1.0,
) -> QuantileModel:
    """A trained model from its state, on the CPU and ready to forecast.

    Parameters
    ----------
    state : mapping of str to ndarray
        Of the module, as its `state_dict` has it; of the average of networks where the config asks
        for several seeds.
    share : float
        Of its correction of the anchor that is used, 0 to 1.
    """
    history = np.zeros(shape.input_steps + shape.horizon_steps, dtype=np.float32)
    models = [
        build_model(name, shape, config, train_history=history)
        for _ in range(int(config.get("n_seeds", 1)))
    ]
    model = models[0] if len(models) == 1 else SeedAverage(models)
    model.load_state_dict({key: torch.from_numpy(np.array(w)) for key, w in state.items()})
    model.eval()
    return model if share == 1.0 else ShrunkModel(model, share)


def imported(function: Callable[..., Any] | str | None) -> Callable[..., Any]:
    """A function, imported now if it is given as "module:function".

    Raises
    ------
    SettingsError
        If there is none.
    """
    if function is None:
        raise SettingsError("a fitted model has no build, and a network no fit")
    if not isinstance(function, str):
        return function
    module, _, name = function.partition(":")
    imported_function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return imported_function


def count_weights(build: Callable[[], QuantileModel]) -> int:
    """Number of weights of the model that `build` makes; none of them takes memory."""
    with torch.device("meta"):
        model = build()
    return sum(weights.numel() for weights in model.parameters())


def draw_kept(sizes: tuple[int, ...], drop_rate: float) -> Tensor:
    """Independent draws, false at `drop_rate`, a multiple of 1 / `DRAWS`.

    One 64-bit draw decides four positions: about four times faster than `bernoulli_` on a CPU.
    """
    n_draws = math.prod(sizes)
    words = torch.empty((n_draws + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    draws = words.view(torch.int16)[:n_draws].view(sizes)
    return draws >= round(drop_rate * DRAWS) - DRAWS // 2


def dropped_out(x: Tensor, dropout: float, *, training: bool) -> Tensor:
    """`F.dropout`, with the cheaper draws of `draw_kept` on a CPU."""
    if not training or dropout == 0.0 or x.device.type != "cpu":
        return F.dropout(x, dropout, training=training)
    drop_rate = round(dropout * DRAWS) / DRAWS
    return x * draw_kept(tuple(x.shape), drop_rate).to(x.dtype).mul_(1.0 / (1.0 - drop_rate))
