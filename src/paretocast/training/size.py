"""How large the networks of a config are, and what a step of them costs, before one is made."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

from paretocast.models.base import count_weights
from paretocast.training.setup import fresh_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from paretocast.search.space import Config
    from paretocast.training.setup import TrainingSetup

# Seconds per step on a CPU grow with about this power of the number of weights.
TIME_BY_WEIGHTS = 0.6


def step_cost(setup: TrainingSetup, config: Config) -> float:
    """Duration of the trial of a config on a CPU, relative to others of its model.

    It goes by weights, steps and seeds alone and not by a clock, so that what is made of it can be
    repeated. NaN for a config whose model cannot be built; its trial will say why.
    """
    n_trainings = float(config.get("n_seeds", 1)) * float(config.get("steps_factor", 1.0))
    return n_trainings * math.pow(_n_weights(lambda: setup, config), TIME_BY_WEIGHTS)


def total_weights(setup: TrainingSetup, config: Config) -> float:
    """Number of weights of all networks of a config: one for each of its seeds.

    They are trained side by side. NaN as for `step_cost`.

    Parameters
    ----------
    setup : TrainingSetup
        Of any config; the networks are those that see what this one asks for.
    """
    return _n_weights(lambda: setup.prepared(config), config) * float(config.get("n_seeds", 1))


def _n_weights(setup: Callable[[], TrainingSetup], config: Config) -> float:
    try:
        return float(count_weights(partial(fresh_model, setup(), config)))
    except Exception:  # noqa: BLE001  (whatever it is: the trial is where failures are recorded)
        return math.nan
