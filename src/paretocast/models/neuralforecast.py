"""NeuralForecast's modules, built without touching the random state of the process."""

from __future__ import annotations

import random
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from paretocast.models.base import WindowShape


def build_library_module(name: str, shape: WindowShape, **arguments: float) -> Any:  # noqa: ANN401 - the library is not typed
    """The module `neuralforecast.models.NAME` for windows of a shape, training settings default.

    Quantile outputs are equally spaced, `n_levels` of them: the loss counts outputs here.
    """
    import neuralforecast.models
    from neuralforecast.losses.pytorch import MQLoss

    n_levels = shape.n_levels
    past = {"hist_exog_list": [f"past_{i}" for i in range(shape.n_past)]} if shape.n_past else {}
    known = [f"known_{i}" for i in range(shape.n_known)] or None
    with _random_state_kept():
        return getattr(neuralforecast.models, name)(
            h=shape.horizon_steps,
            input_size=shape.input_steps,
            futr_exog_list=known,
            loss=MQLoss(quantiles=[(i + 1) / (n_levels + 1) for i in range(n_levels)]),
            **past,
            **arguments,
        )


@contextmanager
def _random_state_kept() -> Iterator[None]:
    """The library's constructors seed every generator; put them back."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
