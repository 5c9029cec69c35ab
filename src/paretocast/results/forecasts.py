"""Stored forecasts of a study's trials, alone or averaged, with what was observed.

Calibration, diagnosis and the search for levels read these arrays. They need the data set, the
manifest and `forecasts.npz` of a trial, or of several that are averaged, and no model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from paretocast.calibration.ensemble import MOST_MEMBERS, average_levels, choose_members
from paretocast.errors import StoreError
from paretocast.results.groups import forecast_of
from paretocast.results.stored_study import StoredStudy

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from paretocast.data.task import Task
    from paretocast.metrics.forecast import Forecast
    from paretocast.settings import TuneSettings
    from paretocast.workspace.runs import RunDirectory

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Member:
    """A trial in a forecast, and its share of it.

    Attributes
    ----------
    weight : float
        Those of all members add up to 1.
    """

    number: int
    weight: float


@dataclass(frozen=True)
class StoredForecast:
    """The forecast of one trial, or the average of several, with everything it is read with.

    Attributes
    ----------
    members : tuple of Member
        One for a trial; more for an ensemble, the first one chosen first.
    forecasts : mapping of split to ndarray of shape (N, H, Q)
        Of the stored splits, ascending along the levels, in target units.
    """

    study: StoredStudy
    members: tuple[Member, ...]
    settings: TuneSettings
    task: Task
    forecasts: dict[str, Floats]

    @property
    def run(self) -> RunDirectory:
        """Paths of the study."""
        return self.study.run

    @property
    def number(self) -> int:
        """Of the trial, or of the first member."""
        return self.members[0].number

    @property
    def subject(self) -> str:
        """The trial or the ensemble, in words."""
        if len(self.members) == 1:
            return f"trial {self.number}"
        return f"ensemble of {len(self.members)} trials"

    @property
    def unit(self) -> str:
        """Of the target."""
        return self.task.series.unit

    def trial(self, number: int) -> StoredForecast:
        """A trial of the same study."""
        forecasts = self.study.forecasts(number)
        return replace(self, members=(Member(number, 1.0),), forecasts=forecasts)

    def with_target(self, coverage: float) -> StoredForecast:
        """The same forecast, to be judged by the interval of another coverage, in percent."""
        settings = self.settings.model_copy(update={"target_coverage": coverage})
        return replace(self, settings=settings)

    def forecast(self, split: str) -> Forecast:
        """Forecasts and observations of a stored split, with the groups of calibrators."""
        return forecast_of(self.task, split, self.forecasts[split])


def open_trial(
    source: StoredStudy | Path, number: int | None = None, *, data_dir: Path | None = None
) -> StoredForecast:
    """A trial of a study; the chosen one if no number is given.

    Parameters
    ----------
    source : StoredStudy or Path
        A path is one that `StoredStudy.open` takes.
    data_dir : Path, optional
        Folder of the data files, if it is not where the study found them.

    Raises
    ------
    StoreError
        If the study or the trial's forecasts are missing, or the data set is not the one that
        the study was made on.
    """
    study = _study_of(source)
    number = study.chosen_number if number is None else number
    return open_members(study, [Member(number, 1.0)], data_dir=data_dir)


def open_members(
    source: StoredStudy | Path, members: Sequence[Member], *, data_dir: Path | None = None
) -> StoredForecast:
    """Named trials of a study, averaged level by level; otherwise as `open_trial`."""
    study = _study_of(source)
    task = study.task(data_dir)
    by_member = [study.forecasts(member.number) for member in members]
    weights = [member.weight for member in members]
    forecasts = {
        split: average_levels([forecasts[split] for forecasts in by_member], weights)
        for split in by_member[0]
    }
    return StoredForecast(study, tuple(members), study.settings, task, forecasts)


def open_ensemble(
    source: StoredStudy | Path, *, most: int = MOST_MEMBERS, data_dir: Path | None = None
) -> StoredForecast:
    """Trials on a study's front or tied with it, averaged as is best on the tune split.

    Parameters
    ----------
    most : int
        Members at most.

    Raises
    ------
    StoreError
        If there are not two such trials with stored forecasts, or none makes another one better;
        otherwise as `open_trial`.
    """
    study = _study_of(source)
    front = list(study.tied_front)
    numbers = [number for number in front if study.run.forecasts(number).exists()]
    if len(numbers) < 2:
        raise StoreError(
            f"{len(numbers)} of {len(front)} trials on the front of {study.run.study_name} or tied "
            "with it have stored forecasts, and an ensemble takes two; search longer, or use the "
            "chosen trial alone"
        )
    task = study.task(data_dir)
    forecasts = [forecast_of(task, "tune", study.forecasts(number)["tune"]) for number in numbers]
    best = choose_members(forecasts, most=most)
    if len(best.indices) < 2:
        raise StoreError(
            f"trial {numbers[best.indices[0]]} alone is better on the tune split than its average "
            f"with any other of {len(numbers)} trials on the front or tied with it; use it alone"
        )
    members = [
        Member(numbers[i], weight) for i, weight in zip(best.indices, best.weights, strict=True)
    ]
    return open_members(study, members, data_dir=data_dir)


def _study_of(source: StoredStudy | Path) -> StoredStudy:
    return source if isinstance(source, StoredStudy) else StoredStudy.open(source)
