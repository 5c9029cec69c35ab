"""Trainings that a benchmark keeps, in files named by all that they depend on.

What is there is not made again: an interrupted benchmark goes on where it stopped, and one network
for many series is trained once for the benchmarks of all of them.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from paretocast.benchmarking.retraining import OUT_OF_SAMPLE, TEST, TEST_UNDER_ERROR, Trained
from paretocast.benchmarking.test_split import hash_of_test, hash_of_test_features
from paretocast.data.task import installed_versions
from paretocast.errors import StoreError
from paretocast.training.setup import RELEARNING_RATE, RELEARNING_SHARE
from paretocast.workspace import files

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from paretocast.benchmarking.configs import TrainedConfig
    from paretocast.benchmarking.plan import BenchmarkPlan
    from paretocast.training.setup import TrainingSetup

RELEARNING_SECONDS = "relearning_seconds"  # among the arrays of a kept training


def save_trained(path: Path, trained: Trained) -> None:
    """Write the forecasts of a training."""
    seconds = np.array(trained.relearning_seconds)
    files.save_arrays(path, {**trained.forecasts, RELEARNING_SECONDS: seconds})


def load_kept(path: Path, plan: BenchmarkPlan) -> Trained | None:
    """A training of an earlier benchmark; None if there is none, or a damaged one: it is redone."""
    try:
        return load_trained(path, plan) if files.exists(path) else None
    except StoreError:
        return None


def load_trained(path: Path, plan: BenchmarkPlan) -> Trained:
    """The forecasts of a training.

    Raises
    ------
    StoreError
        If the file does not hold those that the plan asks for.
    """
    arrays = files.load_arrays(path)
    seconds = arrays.pop(RELEARNING_SECONDS, None)
    task, names = plan.task, [*OUT_OF_SAMPLE, TEST]
    shape = (task.shape.horizon_steps, len(task.shape.levels))
    wanted = {name: (len(task.issues[name]), *shape) for name in names}
    if plan.weather_error is not None:
        wanted[TEST_UNDER_ERROR] = wanted[TEST]
    found = {name: array.shape for name, array in arrays.items() if _is_finite(array)}
    if found != wanted or len(arrays) != len(wanted) or seconds is None or seconds.shape != ():
        raise StoreError(
            f"{path} is damaged: it holds {found}, expected {wanted}; remove it, and its training "
            "is made again"
        )
    return Trained(arrays, float(seconds))


def _is_finite(array: NDArray[Any]) -> bool:
    return np.issubdtype(array.dtype, np.floating) and bool(np.isfinite(array).all())


def pool_file(
    setup: TrainingSetup, candidate: TrainedConfig, index: int, kept_in: Path
) -> Path | None:
    """File of a network that the benchmarks of all series of a pool share; None for one series."""
    if not setup.pool_hashes:
        return None
    content = {**_training_content(setup, candidate, index), "pool": dict(setup.pool_hashes)}
    return kept_in / f"pool_{_digest(content)}.safetensors"


def _training_content(setup: TrainingSetup, candidate: TrainedConfig, index: int) -> dict[str, Any]:
    """Everything that a training depends on beside its task."""
    return {
        "model": candidate.model,
        "config": candidate.config,
        "seed": candidate.seed(index),
        "training": setup.training.model_dump(mode="json"),
        "steps": setup.budget_steps,
        "device": setup.source.device.type,
        "versions": installed_versions(),
    }


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def training_key(
    plan: BenchmarkPlan,
    setup: TrainingSetup,
    candidate: TrainedConfig,
    index: int,
    *,
    days: int | None,
) -> str:
    """Part of a file name: a hash of all that a training depends on."""
    content = {
        **_training_content(setup, candidate, index),
        "task": setup.task.manifest(),
        "test": hash_of_test(setup.task),
        "test_features": hash_of_test_features(setup.task),
        "weather_error": plan.weather_error,
        "refit_until": plan.refit_until,
        "retrain_days": days,
        "relearning": None if days is None else [RELEARNING_SHARE, RELEARNING_RATE],
        **({"pool": dict(setup.pool_hashes)} if setup.pool_hashes else {}),
    }
    return f"{candidate.model}_{_digest(content)}"
