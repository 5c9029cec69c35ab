"""The task of a benchmark, with the test split: the only module that asks for it.

A study may be benchmarked only if it was made on the same hours of the same data and has read
nothing of the test period.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pandas as pd

from paretocast.data.task import DATA_HASHES, Task, position_after
from paretocast.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paretocast.benchmarking.configs import ModelConfig
    from paretocast.settings import TuneSettings

# What forecasts must share to be compared window by window.
SHARED = ("periods", "horizon_steps", "issue_hour", "issue_zone", "levels")


def load_test_task(settings: TuneSettings, remembered: Mapping[str, Any] | None = None) -> Task:
    """The task of some settings, test split included.

    Parameters
    ----------
    remembered : mapping, optional
        The manifest of a study's task: its test period is that of the benchmark, however many
        hours the data have after it.

    Raises
    ------
    StoreError
        If the test split holds no issue.
    """
    task = Task.from_settings(settings, remembered=remembered, with_test=True)
    if not task.issues["test"].size:
        raise StoreError(
            f"the test period of {task.series.name}, after {task.dates.validation_to}, holds no "
            "window; it cannot be benchmarked"
        )
    return task


def refuse_seen_test(config: ModelConfig, task: Task) -> None:
    """Refuse a study that has seen test hours or was made on other data.

    Raises
    ------
    StoreError
        Saying what differs and what to do.
    """
    if config.study is None:
        return
    then, now = config.study.task_manifest, task.manifest()
    study = config.study.run.study_name
    test_from = pd.Timestamp(now["periods"]["test"][0])
    seen_to = max(pd.Timestamp(then["periods"][name][1]) for name in ("train", "validation"))
    if seen_to >= test_from:
        raise StoreError(
            f"study {study} was tuned on hours up to {seen_to:%Y-%m-%d %H:%M}, and the test split "
            f"begins at {test_from:%Y-%m-%d %H:%M}: it has seen what it would be tested on. Set "
            "the splits of the data set back, tune again on the present ones, or name another "
            "study with --run"
        )
    changed = sorted(key for key in {*then, *now} if then.get(key) != now.get(key))
    if changed and set(changed) <= set(DATA_HASHES):
        raise StoreError(
            f"study {study} was made on other data: values before the test split have changed "
            f"since{config.study.first_change(task)}. Give the folder of the data it was made on "
            "with --data-dir, tune again, or name another study with --run"
        )
    if changed:
        raise StoreError(
            f"study {study} was made on another task: {', '.join(changed)} differ. Tune again "
            "with the present data set, or name another study with --run"
        )


def refuse_other_pool(config: ModelConfig, hashes: Mapping[str, str]) -> None:
    """Refuse a network of many series whose other series are not what they were.

    Parameters
    ----------
    hashes : mapping of str to str
        SHA-256 of the manifest of each task as it is now, by series; empty for one series.

    Raises
    ------
    StoreError
        Naming the series that have changed.
    """
    if config.study is None or not hashes:
        return
    then = config.study.manifest["comparable"].get("pool", {})
    if changed := sorted(name for name in hashes if hashes[name] != then.get(name)):
        raise StoreError(
            f"study {config.study.run.study_name} was trained on other data of "
            f"{', '.join(changed)}, or other periods of them. Give the folder of the data it was "
            "made on with --data-dir, tune again, or name another study with --run"
        )


def check_comparable(tasks: dict[str, Task]) -> None:
    """Refuse models whose forecasts are not of the same hours and levels.

    Raises
    ------
    StoreError
        Naming what differs.
    """
    described: dict[str, dict[str, Any]] = {
        model: {key: task.manifest()[key] for key in SHARED} for model, task in tasks.items()
    }
    first, *others = described.items()
    for model, description in others:
        if differs := [key for key in SHARED if description[key] != first[1][key]]:
            raise StoreError(
                f"the studies of {first[0]} and {model} differ in {', '.join(differs)}: their "
                "forecasts are not of the same hours and levels. Benchmark them one by one"
            )


def validation_stop(task: Task) -> int:
    """Position after the last validation hour."""
    return position_after(task.series.index, task.dates.validation_to)


def hash_of_test(task: Task) -> str:
    """SHA-256 of the stamps and values of the test period: names the data behind a score."""
    stop = validation_stop(task)
    digest = hashlib.sha256()
    digest.update(task.series.index[stop:].asi8.tobytes())
    digest.update(task.series.values[stop:].tobytes())
    return digest.hexdigest()


def hash_of_test_features(task: Task) -> str:
    """SHA-256 of the features of the test period, and of their values by issue."""
    table = task.features
    digest = hashlib.sha256(table.values[validation_stop(task) :].tobytes())
    for part in () if table.ahead is None else (table.ahead.values, table.ahead.first):
        digest.update(part.tobytes())
    return digest.hexdigest()
