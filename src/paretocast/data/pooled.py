"""Tasks of many series of one file that share a network.

The network learns from the windows of all series, so that these have to be cut at the same times
and to hold the same columns: then no window to learn from reaches beyond the training period of any
series.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from paretocast.data.checks import at
from paretocast.data.collection import ALL, SECTION, expand_series, split_reference
from paretocast.data.spec import find_spec
from paretocast.data.task import VALIDATION_SPLITS, Task, manifest_hash
from paretocast.errors import DataError, SettingsError
from paretocast.steps import frequency_of
from paretocast.toml import read_toml

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray


REFERENCE = "ridge"
# What errors of series of different sizes are measured in, to be averaged.
UNIT = f"× {REFERENCE}"


class PoolSettings(Protocol):
    """The part of `settings.TuneSettings` that the tasks of a pool are planned from."""

    @property
    def dataset(self) -> str:
        """A file with a section `[series]`, or a reference to one of them."""

    @property
    def pool(self) -> tuple[str, ...]:
        """Names of the series."""


@dataclass(frozen=True)
class PooledTask:
    """Tasks of many series, alike in everything but their values.

    Attributes
    ----------
    name : str
        Of all of them together.
    tasks : mapping of str to Task
        By the name of the series, in the order of the pool.

    Raises
    ------
    DataError
        If they differ in periods, step, shape, features or the delay of the target.
    """

    name: str
    tasks: Mapping[str, Task]

    def __post_init__(self) -> None:
        (first, task), *others = self.tasks.items()
        expected = _shared(task)
        for name, other in others:
            found = _shared(other)
            differs = [key for key in expected if found[key] != expected[key]]
            if differs:
                key = differs[0]
                raise DataError(
                    f"one network for all needs series that are alike: {key} of {name} is "
                    f"{_words(found[key], expected[key])}, of {first} "
                    f"{_words(expected[key], found[key])}. Cut or complete the data, leave {name} "
                    "out, or tune each series by itself, without --pool"
                )

    @classmethod
    def around(
        cls, settings: PoolSettings, task: Task, *, read: Callable[[str], Task]
    ) -> PooledTask:
        """The tasks of a pool around that of one of its series, to which `settings` refer.

        Parameters
        ----------
        read : callable
            From the name of another series to its task.

        Raises
        ------
        ParetocastError
            If another series is not there, cannot be used or is not like this one.
        """
        own = split_reference(settings.dataset)[1]
        if own not in settings.pool:
            raise SettingsError(
                f"{settings.dataset} is none of the series {', '.join(settings.pool)} that the "
                "network was trained on"
            )
        tasks = {name: task if name == own else read(name) for name in settings.pool}
        return cls(collection_name(settings.dataset), tasks)

    @cached_property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of the manifest of each task, by series."""
        return {name: manifest_hash(task.manifest()) for name, task in self.tasks.items()}

    def manifest(self) -> dict[str, Any]:
        """Everything that makes two runs comparable; see `Task.manifest`."""
        first = next(iter(self.tasks.values())).manifest()
        data = manifest_hash(self.hashes)
        return {**first, "series": self.name, "unit": UNIT, "data_sha256": data}

    def day_marks(self) -> str:
        """No marks: which series has changed is told by `hashes`."""
        return ""

    @property
    def unit(self) -> str:
        """Unit of errors: those of the reference on the same hours of the same series."""
        return UNIT

    @property
    def issues(self) -> dict[str, NDArray[np.intp]]:
        """Issue positions of each split, series after series."""
        tasks = self.tasks.values()
        splits = ("train", *VALIDATION_SPLITS)
        return {split: np.concatenate([task.issues[split] for task in tasks]) for split in splits}

    @property
    def notes(self) -> tuple[str, ...]:
        """Those of all series, under their names."""
        return tuple(f"{name}: {note}" for name, t in self.tasks.items() for note in t.notes)

    @property
    def assumptions(self) -> tuple[str, ...]:
        """Sentences on what the scores mean and take for granted, each once."""
        means = (
            f"errors are means over {len(self.tasks)} series, each in units of those of its "
            f"{REFERENCE} on the same hours ({UNIT})"
        )
        return (means, *dict.fromkeys(x for t in self.tasks.values() for x in t.assumptions))


def collection_name(dataset: str | Path) -> str:
    """Name of all series of a file together, for a study of them.

    Raises
    ------
    SettingsError
        If it is no file with a section `[series]`.
    """
    first = expand_series(str(split_reference(dataset)[0]), ALL)[0]
    return find_spec(first).name.removesuffix(f"_{split_reference(first)[1]}")


def holds_many(dataset: str | Path) -> bool:
    """Return True for a file with a section `[series]` of which no series is named."""
    path, series = split_reference(dataset)
    if series is not None or path.suffix.lower() != ".toml" or not path.is_file():
        return False
    return SECTION in read_toml(path, "data set file")


def _shared(task: Task) -> dict[str, object]:
    """Properties that the tasks of a pool must have in common, by the words for them."""
    series, ahead, dates = task.series, task.features.ahead, task.dates
    columns = zip(task.features.names, task.features.roles, strict=True)
    return {
        "the step": f"{frequency_of(task.shape.steps_per_day)}",
        "the shape of a forecast": task.shape,
        "the list of features": tuple(f"{name} ({role})" for name, role in columns),
        "what is known by issue": () if ahead is None else tuple(map(str, ahead.columns)),
        "the delay of the target": f"{series.delay_hours} h",
        "the first time": at(series.index[0]),
        "the end of the train period": at(dates.train_to),
        "the end of the validation period": at(dates.validation_to),
        "the number of windows": ", ".join(
            f"{len(task.issues[split])} of {split}" for split in ("train", *VALIDATION_SPLITS)
        ),
    }


def _words(value: object, other: object) -> str:
    """A value in words; of a list what the other one lacks."""
    if not isinstance(value, tuple) or not isinstance(other, tuple):
        return str(value)
    return ", ".join(item for item in value if item not in other) or "without it"
