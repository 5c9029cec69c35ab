"""One network for many series: what it learns from, what it is told, and what it must not see."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from builders import make_dates, make_series, make_task, with_values
from paretocast.data.pooled import PooledTask
from paretocast.data.task import Task, TaskShape, plan_task
from paretocast.errors import DataError, SettingsError
from paretocast.search.models import MODELS
from paretocast.settings import TuneSettings
from paretocast.training import forecast_positions
from paretocast.training.pooled_scores import score_on_tune, scores_by_series
from paretocast.training.pooling import PooledSetup
from paretocast.training.scoring import score_on_tune as score_one
from paretocast.training.setup import TrainingSetup, start_training
from studies import make_settings

CONFIG = {**MODELS["NHITS_Q"].default, "input_steps": 48, "layer_widths": 16, "num_stacks": 2}


@pytest.fixture(scope="module")
def tasks() -> dict[str, Task]:
    """Two series, the second of another size and other noise."""
    north, south = make_series(seed=0), make_series(seed=1)
    return {"north": make_task(north), "south": make_task(with_values(south, 50 * south.values))}


def settings(**changes: object) -> TuneSettings:
    return make_settings(pool=("north", "south"), dataset="zones.toml", **changes)


def trained(setup: TrainingSetup, seed: int = 3) -> np.ndarray:
    """Forecasts of the tune split by a few steps of training."""
    training = start_training(setup, CONFIG, seed=seed)
    training.advance(6)
    with training.best_model() as model:
        scaled = forecast_positions(model, setup.source, setup.task.issues["tune"])
    return setup.scaling.unscale(scaled)


@pytest.mark.parametrize("anchor", ["none", "ridge"])
def test_of_one_series_alone_the_training_is_the_one_it_has_by_itself(anchor: str) -> None:
    stated = make_settings(training={"steps": 6, "batch_size": 32, "anchor": anchor})
    task = make_task()
    alone = TrainingSetup.from_settings(stated, task, device="cpu").prepared(CONFIG)
    pooled = PooledSetup.from_settings(stated, PooledTask("zones", {"north": task}), device="cpu")
    np.testing.assert_array_equal(trained(pooled.prepared(CONFIG).series[0]), trained(alone))
