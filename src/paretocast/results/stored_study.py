"""A study on disk: its manifest, settings, result, records and forecasts, each read once.

Everything is read when it is first asked for and stays as it was then. A study that others still
work on is followed with a new object.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from paretocast.data import moved_reference, own_file
from paretocast.data.collection import split_reference
from paretocast.data.task import DATA_HASHES, Task, first_change
from paretocast.errors import StoreError
from paretocast.search.objectives import parse_constraints, parse_objectives
from paretocast.search.selection import Selection
from paretocast.settings import TuneSettings, stored_settings
from paretocast.study.outcome import Outcome
from paretocast.study.repeats import average_over_seeds
from paretocast.study.trial_store import TrainingId, TrialStore, load_record
from paretocast.training.trial import load_forecasts
from paretocast.workspace import files, stored
from paretocast.workspace.progress import is_under_way
from paretocast.workspace.runs import RunDirectory, runs_of_manifests

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from paretocast.search.space import Config
    from paretocast.training.trial import TrialRecord

    Floats = NDArray[np.float64]


class StoredStudy:
    """Files of one study, finished or running.

    Parameters
    ----------
    run : RunDirectory
        Where they lie.
    """

    def __init__(self, run: RunDirectory) -> None:
        self.run = run
        self._tasks: dict[Path | None, Task] = {}

    @classmethod
    def open(cls, source: Path | RunDirectory) -> StoredStudy:
        """Find a study.

        Parameters
        ----------
        source : Path or RunDirectory
            A `best_params_*.json`, a folder that holds exactly one, or where the study lies.

        Raises
        ------
        StoreError
            If there is none or more than one.
        """
        if isinstance(source, RunDirectory):
            return cls(source)
        path = _result_in(source) if source.is_dir() else source
        result = stored.load_result(path)
        names = (result["model"], result["dataset"], result["job_id"])
        study = cls(RunDirectory(_workspace_of(path), *names))
        if not files.exists(study.run.manifest):
            raise StoreError(
                f"{path} is of the study {study.run.study_name}; {study.run.manifest} is not there"
            )
        if study.run.best_params == path.absolute():
            study.result = result
        return study

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """Content of `manifest_*.json`.

        Raises
        ------
        StoreError
            If it is missing or damaged; so do all that read it.
        """
        return stored.load_manifest(self.run)

    @property
    def task_manifest(self) -> dict[str, Any]:
        """The task as the manifest describes it, see `Task.manifest`."""
        content: dict[str, Any] = self.manifest["comparable"]["task"]
        return content

    @cached_property
    def settings(self) -> TuneSettings:
        """Settings, as the manifest holds them.

        Raises
        ------
        StoreError
            If they are missing, or those of a version with other settings.
        """
        return stored_settings(self.manifest["settings"], origin=str(self.run.manifest))

    @cached_property
    def result(self) -> dict[str, Any]:
        """Content of `best_params_*.json`.

        Raises
        ------
        StoreError
            If the file is missing or damaged.
        """
        return stored.load_result(self.run.best_params)

    @cached_property
    def outcome(self) -> Outcome:
        """Front and chosen trial, without the standard errors of differences between trials."""
        result, settings = self.result, self.settings
        members = (*result["all_pareto_trials"], *result["tied_trials"])
        selection = result["selection"]
        return Outcome(
            records=average_over_seeds(tuple(self.records.values())),
            front=tuple(member["trial"] for member in result["all_pareto_trials"]),
            front_probability={m["trial"]: m.get("front_probability") or 0.0 for m in members},
            gap_errors={},
            selection=Selection(self.chosen_number, **selection),
            baselines=result["references"],
            target_coverage=settings.target_coverage,
            objectives=parse_objectives(settings.objectives),
            constraints=parse_constraints(settings.require),
            feasible=result["feasible"],
        )

    @property
    def chosen_number(self) -> int:
        """Number of the trial that the study chose."""
        return int(self.result["best_trial_number"])

    @property
    def tied_front(self) -> dict[int, Config]:
        """Configs by trial, of those on the front and those statistically tied with it."""
        members = [*self.result["all_pareto_trials"], *self.result["tied_trials"]]
        return {int(member["trial"]): member["params"] for member in members}

    @cached_property
    def records(self) -> dict[TrainingId, TrialRecord]:
        """Finished trials and their repeats, by number and seed index.

        Raises
        ------
        StoreError
            If a record is damaged or of another version.
        """
        store = TrialStore(self.run)
        store.refresh()
        return {TrainingId(r.number, r.seed_index): r for r in store.trainings}

    def record(self, number: int, seed_index: int = 0) -> TrialRecord:
        """The record of a finished training; no other one is read for it.

        Raises
        ------
        StoreError
            If it is missing, damaged or of another version.
        """
        record = load_record(self.run, number, seed_index)
        if record is None:
            raise StoreError(f"{self.run.record(number, seed_index)} does not exist")
        return record

    def forecasts(self, number: int) -> dict[str, Floats]:
        """Forecasts of a trial by split, each (N, H, Q), target units, ascending along the levels.

        Raises
        ------
        StoreError
            If they are not there, with the trials that have some.
        """
        path = self.run.forecasts(number)
        if not path.exists():
            paths = sorted(self.run.trials_folder.glob("[0-9]*/forecasts.npz"))
            names = ", ".join(path.parent.name.lstrip("0") or "0" for path in paths)
            raise StoreError(
                f"trial {number} of {self.run.study_name} has no forecasts in {path.parent}; "
                f"trials with forecasts: {names or 'none'}"
            )
        arrays = load_forecasts(path)
        return {name: np.sort(array.astype(np.float64), axis=-1) for name, array in arrays.items()}

    def task(self, data_dir: Path | None = None) -> Task:
        """The task, from the data set as it is now, up to the end of the study's test period.

        Parameters
        ----------
        data_dir : Path, optional
            Folder of the data files, and of the user's TOML file, if they are not where the study
            found them.

        Raises
        ------
        ParetocastError
            If the data set is not there, cannot be used, or is not the one of the study.
        """
        if data_dir not in self._tasks:
            self._refuse_many_series()
            here = {"dataset": self.dataset_path(data_dir)}
            if data_dir is not None:
                here["data_dir"] = str(data_dir)
            settings = self.settings.model_copy(update=here)
            task = Task.from_settings(settings, remembered=self.task_manifest)
            self._check_task(task)
            self._tasks[data_dir] = task
        return self._tasks[data_dir]

    def dataset_path(self, data_dir: Path | None) -> str:
        """Name or TOML file of the data set; a file in a given folder precedes the old path."""
        name = self.settings.dataset
        file = own_file(name)
        if file is None:
            return name
        if data_dir is not None and (data_dir / file.name).is_file():
            return moved_reference(name, data_dir / file.name)
        if not file.is_file():
            raise StoreError(
                f"{self.run.study_name} was made on {file.absolute()}, which is not there; give "
                f"the folder of {file.name} with --data-dir"
            )
        return name

    def first_change(self, task: Task) -> str:
        """Words on where the data of a task first differ from those of the study, if known."""
        marks = self.manifest.get("day_marks", "")
        return first_change(marks, task.day_marks(), start=task.series.index[0])

    def _refuse_many_series(self) -> None:
        """Refuse a study of many series together: its trials have no task of their own."""
        pool = self.settings.pool
        if pool and split_reference(self.settings.dataset)[1] is None:
            raise StoreError(
                f"{self.run.study_name} trained one network on {len(pool)} series; name the study "
                f"of one of them, such as {self.run.folder}_{pool[0]}"
            )

    def _check_task(self, task: Task) -> None:
        then, now = self.task_manifest, task.manifest()
        changed = sorted(key for key in {*now, *then} if now.get(key) != then.get(key))
        if changed:
            where = self.first_change(task) if set(changed) <= set(DATA_HASHES) else ""
            raise StoreError(
                f"the data set is not what {self.run.study_name} was made on: "
                f"{', '.join(changed)} differ{where}; give the folder of the original data, "
                "and of the data set's TOML file if it is your own, with --data-dir"
            )


def _workspace_of(path: Path) -> Path:
    """The workspace of a result: WORKSPACE/results/MODEL_DATASET/best_params_….json."""
    parents = path.absolute().parents
    if len(parents) < 3:
        raise StoreError(
            f"{path} does not lie in a workspace; expected it in results/MODEL_DATASET"
        )
    return parents[2]


def date_and_id(study: StoredStudy) -> tuple[str, str]:
    """Date of a study's result and its id: the largest is that of the newest one."""
    return str(study.result["optimization_date"]), study.run.job_id


def newest_finished(runs: Iterable[RunDirectory]) -> StoredStudy | None:
    """Study whose result was written last, of those with a result that no process works on.

    Raises
    ------
    StoreError
        If there is no such study, but a result that is damaged.
    """
    finished: list[StoredStudy] = []
    faults: list[StoreError] = []
    for run in runs:
        study = StoredStudy(run)
        try:
            if not files.exists(run.best_params) or is_under_way(run):
                continue
            _ = study.result  # it is kept in the study: each file is read once
        except StoreError as error:
            faults.append(error)  # a damaged result hides no other study
        else:
            finished.append(study)
    if faults and not finished:
        raise faults[0]
    return max(finished, key=date_and_id, default=None)


def find_newest(place: Path) -> tuple[StoredStudy, int]:
    """The newest finished study of a workspace or of a model and data set, and of how many.

    Parameters
    ----------
    place : Path
        A workspace, its folder `results`, or anything that `StoredStudy.open` takes. Where every
        study is under way, the newest of them counts.

    Raises
    ------
    StoreError
        If there is no study with a result.
    """
    if not place.exists():
        raise StoreError(
            f"no study in {place}: there is no such folder; paretocast tune makes one, or name the "
            "folder of another"
        )
    runs: list[RunDirectory] = []
    for below in ("", "*/", "results/*/") if place.is_dir() else ():
        found = runs_of_manifests(place.absolute().glob(f"{below}manifest_*.json"))
        runs = runs or [run for run in found if run.best_params.exists()]
    if not runs:
        return StoredStudy.open(place), 1
    finished = newest_finished(runs)
    return finished or max(map(StoredStudy, runs), key=date_and_id), len(runs)


def _result_in(folder: Path) -> Path:
    """The only `best_params_*.json` of a folder."""
    paths = sorted(folder.glob("best_params_*.json"))
    if not paths:
        raise StoreError(
            f"{folder} holds no best_params_*.json; name the folder of a model and data set, "
            "such as hpo/results/NHITS_Q_demo, once a trial of a study there is complete"
        )
    if len(paths) > 1:
        names = "\n".join(f"  {path}" for path in paths)
        raise StoreError(f"{folder} holds {len(paths)} studies; name one of\n{names}")
    return paths[0]
