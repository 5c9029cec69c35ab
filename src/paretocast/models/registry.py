"""From the name of a model and a config to a module.

A model's file is imported when the model is built: NeuralForecast alone takes seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from paretocast.search.space import model_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from paretocast.models.base import QuantileModel, WindowShape
    from paretocast.search.space import Value

TRAINING_PARAMETERS = ("lr", "weight_decay")


def build_model(
    name: str,
    shape: WindowShape,
    config: Mapping[str, Value],
    *,
    train_history: NDArray[np.float32],
) -> QuantileModel:
    """A freshly initialised model.

    Parameters
    ----------
    config : mapping
        A point of the model's space; parameters of the training are passed over.
    train_history : ndarray of shape (T,)
        Scaled target of the train period, from which TimesNet takes its periods.
    """
    architecture = {key: value for key, value in config.items() if key not in TRAINING_PARAMETERS}
    match model_name(name):
        case "NHITS_Q":
            from paretocast.models.nhits import NHITS

            return NHITS(shape, **architecture)  # type: ignore[arg-type]
        case "TFT_Q":
            from paretocast.models.tft import TFT

            return TFT(shape, **architecture)  # type: ignore[arg-type]
        case _:
            from paretocast.models.timesnet import TimesNet, dominant_periods

            window_steps = shape.input_steps + shape.horizon_steps
            periods = dominant_periods(train_history, window_steps, int(architecture["top_k"]))
            return TimesNet(shape, periods=periods, **architecture)  # type: ignore[arg-type]


def count_weights(build: Callable[[], QuantileModel]) -> int:
    """How many weights the model has that `build` makes; none of them takes memory."""
    import torch

    with torch.device("meta"):
        model = build()
    return sum(weights.numel() for weights in model.parameters())
