"""A finished study opened again: its task, and stored forecasts with what was observed.

Calibration, diagnosis and the search for levels are questions to stored arrays. They need the data
set, the manifest and `forecasts.npz` of a trial, or of several that are averaged, and no model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from paretocast.calibration.ensemble import MOST_MEMBERS, average_levels, choose_members
from paretocast.data import load_dataset, own_file
from paretocast.data.task import Task
from paretocast.errors import StoreError
from paretocast.results.groups import forecast_of
from paretocast.settings import TuneSettings
from paretocast.workspace import files
from paretocast.workspace.files import RunDirectory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from paretocast.metrics.forecast import Forecast
    from paretocast.search.space import Config

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
        Of the kept splits, ascending along the levels, in target units.
    """

    run: RunDirectory
    members: tuple[Member, ...]
    settings: TuneSettings
    task: Task
    forecasts: dict[str, Floats]

    @property
    def number(self) -> int:
        """Of the trial, or of the first member."""
        return self.members[0].number

    @property
    def subject(self) -> str:
        """Whose forecast it is, in words."""
        if len(self.members) == 1:
            return f"trial {self.number}"
        return f"ensemble of {len(self.members)} trials"

    @property
    def unit(self) -> str:
        """Of the target."""
        return self.task.series.unit

    def trial(self, number: int) -> StoredForecast:
        """A trial of the same study."""
        return _averaged(self.run, [Member(number, 1.0)], self.settings, self.task)

    def with_target(self, coverage: float) -> StoredForecast:
        """The same forecast, to be judged by the interval of another coverage, in percent."""
        settings = self.settings.model_copy(update={"target_coverage": coverage})
        return replace(self, settings=settings)

    def forecast(self, split: str) -> Forecast:
        """Forecasts and observations of a kept split, with the groups of calibrators."""
        return forecast_of(self.task, split, self.forecasts[split])


def find_run(path: Path) -> RunDirectory:
    """The study that a path means.

    Parameters
    ----------
    path : Path
        A `best_params_*.json`, or a folder that holds exactly one.

    Raises
    ------
    StoreError
        If there is none or more than one.
    """
    if path.is_dir():
        found = sorted(path.glob("best_params_*.json"))
        if not found:
            raise StoreError(
                f"{path} holds no best_params_*.json; name the folder of a model and data set, "
                "such as hpo/results/NHITS_Q_demo, once a trial of a study there is complete"
            )
        if len(found) > 1:
            names = "\n".join(f"  {file}" for file in found)
            raise StoreError(f"{path} holds {len(found)} studies; name one of\n{names}")
        path = found[0]
    stored = files.load_json(path)
    identity = [stored.get(key) for key in ("model", "dataset", "job_id")]
    if not all(isinstance(value, str) for value in identity):
        raise StoreError(f"{path} is no result of a study, expected a best_params_*.json")
    model, dataset, job_id = identity
    return RunDirectory(path.absolute().parents[2], model, dataset, job_id)


def open_trial(
    path: Path, number: int | None = None, *, data_dir: Path | None = None
) -> StoredForecast:
    """A trial of the study that a path means; the chosen one if no number is given.

    Parameters
    ----------
    data_dir : Path, optional
        Folder of the data files, if it is not where the study found them.

    Raises
    ------
    StoreError
        If the study or the trial's forecasts are missing, or the data set is not the one that
        the study was made on.
    """
    run = find_run(path)
    if number is None:
        number = int(files.load_result(run)["best_trial_number"])
    return open_members(path, [Member(number, 1.0)], data_dir=data_dir)


def open_members(
    path: Path, members: Sequence[Member], *, data_dir: Path | None = None
) -> StoredForecast:
    """Named trials of a study, averaged level by level; otherwise as `open_trial`."""
    run = find_run(path)
    settings, task = _open_study(run, data_dir)
    return _averaged(run, members, settings, task)


def open_ensemble(
    path: Path, *, most: int = MOST_MEMBERS, data_dir: Path | None = None
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
    run = find_run(path)
    numbers = list(tied_front(files.load_result(run)))
    kept = [number for number in numbers if run.forecasts(number).exists()]
    if len(kept) < 2:
        raise StoreError(
            f"{len(kept)} of {len(numbers)} trials on the front of {run.study_name} or tied with "
            "it have stored forecasts, and an ensemble takes two; search longer, or use the "
            "chosen trial alone"
        )
    settings, task = _open_study(run, data_dir)
    offered = [forecast_of(task, "tune", load_forecasts(run, number)["tune"]) for number in kept]
    chosen = choose_members(offered, most=most)
    if len(chosen.indices) < 2:
        raise StoreError(
            f"trial {kept[chosen.indices[0]]} alone is better on the tune split than its average "
            f"with any other of {len(kept)} trials on the front or tied with it; use it alone"
        )
    members = [
        Member(kept[i], weight) for i, weight in zip(chosen.indices, chosen.weights, strict=True)
    ]
    return _averaged(run, members, settings, task)


def stored_settings(run: RunDirectory, **here: object) -> TuneSettings:
    """Settings of a study, as its manifest holds them.

    Parameters
    ----------
    **here
        What holds instead.

    Raises
    ------
    StoreError
        If the manifest is missing or damaged, or of a version with other settings.
    """
    try:
        return TuneSettings.model_validate({**files.load_json(run.manifest)["settings"], **here})
    except (ValidationError, KeyError, TypeError) as error:
        raise StoreError(
            f"{run.manifest} holds settings that this version does not know: {error}"
        ) from error


def load_task(run: RunDirectory, settings: TuneSettings, *, data_dir: Path | None) -> Task:
    """The task of a study, from its data set as it is now.

    Parameters
    ----------
    data_dir : Path, optional
        Folder of the data files, and of the user's TOML file, if they are not where the study
        found them.

    Raises
    ------
    ParetocastError
        If the data set is not there or cannot be used.
    """
    folder = data_dir or (None if settings.data_dir is None else Path(settings.data_dir))
    dataset = load_dataset(
        _source(run, settings.dataset, data_dir), data_dir=folder, covariates=settings.covariates
    )
    return Task.from_settings(settings, dataset=dataset)


def tied_front(result: Mapping[str, Any]) -> dict[int, Config]:
    """Configs by trial, of those on the front of a stored result and those tied with it."""
    members = [*result["all_pareto_trials"], *result["tied_trials"]]
    return {int(member["trial"]): member["params"] for member in members}


def load_forecasts(run: RunDirectory, number: int) -> dict[str, Floats]:
    """Stored forecasts of a trial by split, ascending along the levels.

    Raises
    ------
    StoreError
        If they are not there, with the trials that have some.
    """
    path = run.forecasts(number)
    if not path.exists():
        kept = sorted(int(file.parent.name) for file in run.trials_folder.glob("*/forecasts.npz"))
        raise StoreError(
            f"trial {number} of {run.study_name} has no forecasts in {path.parent}; trials with "
            f"forecasts: {', '.join(map(str, kept)) or 'none'}"
        )
    stored = files.load_arrays(path)
    return {split: np.sort(array.astype(np.float64), axis=-1) for split, array in stored.items()}


def _averaged(
    run: RunDirectory, members: Sequence[Member], settings: TuneSettings, task: Task
) -> StoredForecast:
    each = [load_forecasts(run, member.number) for member in members]
    weights = [member.weight for member in members]
    forecasts = {
        split: average_levels([forecasts[split] for forecasts in each], weights)
        for split in each[0]
    }
    return StoredForecast(run, tuple(members), settings, task, forecasts)


def _open_study(run: RunDirectory, data_dir: Path | None) -> tuple[TuneSettings, Task]:
    """Settings and task of a study, as they were when it was made."""
    settings = stored_settings(run)
    task = load_task(run, settings, data_dir=data_dir)
    _check_task(task.manifest(), files.load_json(run.manifest)["comparable"]["task"], run)
    return settings, task


def _source(run: RunDirectory, stored: str, data_dir: Path | None) -> str:
    """The data set of a study: a file of that name in a given folder goes before the old place."""
    file = own_file(stored)
    if file is None:
        return stored
    if data_dir is not None and (data_dir / file.name).is_file():
        return str(data_dir / file.name)
    if not file.is_file():
        raise StoreError(
            f"{run.study_name} was made on {file.absolute()}, which is not there; give the folder "
            f"of {file.name} with --data-dir"
        )
    return stored


def _check_task(now: dict[str, Any], then: dict[str, Any], run: RunDirectory) -> None:
    changed = sorted(key for key in {*now, *then} if now.get(key) != then.get(key))
    if changed:
        raise StoreError(
            f"the data set is not what {run.study_name} was made on: {', '.join(changed)} differ; "
            "give the folder of the original data, and of the data set's TOML file if it is your "
            "own, with --data-dir"
        )
