"""A finished study opened again: its task, and the forecasts of a trial with what was observed.

Calibration, diagnosis and the search for levels are questions to stored arrays. They need the data
set, the manifest and `forecasts.npz` of one trial, and no model.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from paretocast import store
from paretocast.calibration import Sample
from paretocast.datasets import load_dataset
from paretocast.errors import StoreError
from paretocast.settings import TuneSettings
from paretocast.slabs import calibration_groups, issue_hours
from paretocast.store import RunDirectory
from paretocast.task import plan_task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from paretocast.task import Task

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FinishedTrial:
    """One trial of a study with everything that its forecasts are read with.

    Attributes
    ----------
    unit : str
        Of the target.
    """

    run: RunDirectory
    number: int
    settings: TuneSettings
    task: Task
    forecasts: dict[str, Floats]

    @property
    def unit(self) -> str:
        """Of the target."""
        return self.task.series.unit

    def sample(self, split: str) -> Sample:
        """Forecasts and observations of a kept split, with the groups calibrators know."""
        return Sample(
            observed=self.task.observed(split),
            forecast=self.forecasts[split],
            levels=self.task.shape.levels,
            issues=issue_hours(self.task, split),
            groups=calibration_groups(self.task, split),
        )


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
                "such as hpo/results/NHITS_Q_demo, once one of its trials is complete"
            )
        if len(found) > 1:
            names = ", ".join(file.name for file in found)
            raise StoreError(f"{path} holds {len(found)} studies; name one of {names}")
        path = found[0]
    stored = store.load_json(path)
    identity = [stored.get(key) for key in ("model", "dataset", "job_id")]
    if not all(isinstance(value, str) for value in identity):
        raise StoreError(f"{path} is no result of a study, expected a best_params_*.json")
    model, dataset, job_id = identity
    return RunDirectory(path.absolute().parents[2], model, dataset, job_id)


def open_trial(
    path: Path, number: int | None = None, *, data_dir: Path | None = None
) -> FinishedTrial:
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
    manifest = store.load_json(run.manifest)
    try:
        settings = TuneSettings.model_validate(manifest["settings"])
    except ValidationError as error:
        raise StoreError(
            f"{run.manifest} holds settings that this version does not know: {error}"
        ) from error
    if number is None:
        number = int(store.load_json(run.best_params)["best_trial_number"])
    folder = data_dir or (None if settings.data_dir is None else Path(settings.data_dir))
    dataset = load_dataset(settings.dataset, data_dir=folder, covariates=settings.covariates)
    task = plan_task(
        dataset.series,
        dataset.dates,
        shape=settings.task.shape(),
        feature_groups=settings.task.features,
    )
    _check_task(task.manifest(), manifest["comparable"]["task"], run)
    return FinishedTrial(run, number, settings, task, _load_forecasts(run, number))


def _load_forecasts(run: RunDirectory, number: int) -> dict[str, Floats]:
    path = run.forecasts(number)
    if not path.exists():
        kept = sorted(int(file.parent.name) for file in run.trials_folder.glob("*/forecasts.npz"))
        raise StoreError(
            f"trial {number} of {run.study_name} has no forecasts in {path.parent}; trials with "
            f"forecasts: {', '.join(map(str, kept)) or 'none'}"
        )
    stored = store.load_arrays(path)
    return {split: np.sort(array.astype(np.float64), axis=-1) for split, array in stored.items()}


def _check_task(now: dict[str, Any], then: dict[str, Any], run: RunDirectory) -> None:
    changed = sorted(key for key in {*now, *then} if now.get(key) != then.get(key))
    if changed:
        raise StoreError(
            f"the data set is not what {run.study_name} was made on: {', '.join(changed)} differ; "
            "give the folder of the original data with --data-dir"
        )
