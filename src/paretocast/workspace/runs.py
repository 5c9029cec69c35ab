"""Runs of a workspace: the paths of their files, and the ids by which they are found."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from paretocast.errors import SettingsError, StoreError
from paretocast.workspace.files import claim_folder, list_names, load_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from pathlib import Path

SINGLE_STAGE, TWO_STAGE = "single-stage", "two-stage"  # strategies of a search
JOB_ID_VARIABLES = ("SLURM_ARRAY_JOB_ID", "SLURM_JOB_ID")
_JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class RunDirectory:
    """Paths of the files of one study.

    Attributes
    ----------
    workspace : Path
        Usually `./hpo`.
    """

    workspace: Path
    model: str
    dataset: str
    job_id: str

    @property
    def folder(self) -> Path:
        """All studies of one model and data set."""
        return self.workspace / "results" / f"{self.model}_{self.dataset}"

    @property
    def study_name(self) -> str:
        """The name of the study in its database."""
        return f"{self.model}_{self.dataset}_{self.job_id}"

    @property
    def study_database(self) -> Path:
        """SQLite file of the study."""
        return self.folder / f"study_{self.study_name}.db"

    @property
    def study_journal(self) -> Path:
        """Optuna journal of the study, where several processes share it."""
        return self.folder / f"study_{self.study_name}.journal"

    @property
    def best_params(self) -> Path:
        """The result that programs load."""
        return self.folder / f"best_params_{self.study_name}.json"

    @property
    def manifest(self) -> Path:
        """Task, splits, roles, data hash, versions, seeds."""
        return self.folder / f"manifest_{self.job_id}.json"

    def page(self, name: str) -> Path:
        """An HTML page: `study` or `diagnosis`."""
        return self.folder / f"{name}_{self.job_id}.html"

    @property
    def series_table(self) -> Path:
        """What a search over many series has found for each of them."""
        return self.folder / f"series_{self.job_id}.csv"

    def calibrator(self, number: int | None) -> Path:
        """Calibrator fitted to a trial by `paretocast calibrate`, or with None to the ensemble."""
        subject = "ensemble" if number is None else f"trial{number:04d}"
        return self.folder / f"calibrator_{self.study_name}_{subject}.json"

    @property
    def trials_folder(self) -> Path:
        """A folder for each trial; one that is there is a trial that was begun."""
        return self.folder / f"trials_{self.job_id}"

    @property
    def lock(self) -> Path:
        """File that processes of a study lock while they claim trainings."""
        return self.trials_folder / ".lock"

    def worker_report(self, index: int) -> Path:
        """State of a worker, for the display and for `status`."""
        return self.folder / f"workers_{self.job_id}" / f"{index:03d}.json"

    def worker_log(self, index: int) -> Path:
        """Output and errors of a worker of this machine."""
        return self.workspace / "logs" / f"hpo_{self.study_name}_worker{index}.err"

    def trial_folder(self, number: int, seed_index: int = 0) -> Path:
        """Record, forecasts and, while it runs, claim and checkpoint of one training.

        That of a trial, or inside it that of a repeat with another seed.
        """
        folder = self.trials_folder / f"{number:04d}"
        return folder / f"seed_{seed_index}" if seed_index > 0 else folder

    def proposal(self, number: int) -> Path:
        """The config of a trial, from the moment it is proposed."""
        return self.trial_folder(number) / "proposal.json"

    def rungs(self, number: int, seed_index: int = 0) -> Path:
        """Scores at the rungs of a training under way."""
        return self.trial_folder(number, seed_index) / "rungs.json"

    def record(self, number: int, seed_index: int = 0) -> Path:
        """Config, seed, state and scores of a finished training."""
        return self.trial_folder(number, seed_index) / "record.json"

    def forecasts(self, number: int, seed_index: int = 0) -> Path:
        """Dense forecasts of a training on the tune and calibrate splits."""
        return self.trial_folder(number, seed_index) / "forecasts.npz"

    def checkpoint(self, number: int, seed_index: int = 0) -> Path:
        """State of a training that was interrupted."""
        return self.trial_folder(number, seed_index) / "checkpoint.safetensors"


def stage_1_result(workspace: Path, model: str, dataset: str) -> Path:
    """Result of a finished stage 1 of the two-stage strategy, read by stage 2."""
    return workspace / "results" / "stage1" / f"{dataset}_{model}" / "best_params.json"


def stage_2_result(workspace: Path, model: str, dataset: str) -> Path:
    """Quantile levels that stage 2 has chosen."""
    return workspace / "results" / "stage2" / f"{dataset}_{model}" / "calibrated_quantiles.json"


def stated_job_id(given: str | None, environment: Mapping[str, str]) -> str | None:
    """The id of a study as given, else that of Slurm's job; None where neither says one.

    Raises
    ------
    SettingsError
        If it cannot be part of a file name.
    """
    if given is not None:
        return _checked_job_id(given, "job id")
    for variable in JOB_ID_VARIABLES:
        if environment.get(variable):
            return _checked_job_id(environment[variable], f"${variable}")
    return None


def _checked_job_id(job_id: str, origin: str) -> str:
    if not _JOB_ID.fullmatch(job_id):
        raise SettingsError(
            f"{origin} {job_id!r} cannot be part of a file name, "
            "expected up to 64 letters, digits, '.', '_' or '-'"
        )
    return job_id


def claim_run(workspace: Path, model: str, dataset: str, *, now: datetime) -> RunDirectory:
    """The directory of a new study with a fresh id, which is no other process's.

    The folder of trials is what is claimed: only one process can make it.

    Raises
    ------
    StoreError
        If it cannot be made.
    """
    named = RunDirectory(workspace, model, dataset, f"local-{now:%Y%m%d-%H%M%S}")
    folder = claim_folder(named.trials_folder)
    return RunDirectory(workspace, model, dataset, folder.name.removeprefix("trials_"))


def newest_job_id(workspace: Path, model: str, dataset: str) -> str:
    """Job id of the study that was written to last, of those that have begun a trial if any has.

    Raises
    ------
    StoreError
        If there is no study of that model and data set.
    """
    folder = RunDirectory(workspace, model, dataset, "").folder
    start = f"study_{model}_{dataset}_"
    touched = [
        (path.stat().st_mtime, path.stem.removeprefix(prefix))
        for prefix, pattern in (
            (start, f"{start}*.db"),
            (start, f"{start}*.journal"),
            ("manifest_", "manifest_*.json"),
        )
        for path in folder.glob(pattern)
    ]
    if not touched:
        raise StoreError(
            f"no study of {model} on {dataset} in {folder}, nothing to resume; "
            "start one without --resume"
        )

    def has_begun(job_id: str) -> bool:
        return bool(list_names(RunDirectory(workspace, model, dataset, job_id).trials_folder))

    return max((has_begun(job_id), changed, job_id) for changed, job_id in touched)[2]


def run_of_manifest(manifest: Path) -> RunDirectory:
    """The run that a manifest belongs to, from where it lies.

    The manifest says which part of the folder's name is the model's. Where it cannot be read,
    the model is taken to end in ``_Q``.

    Raises
    ------
    StoreError
        If it does not lie in a run.

    Examples
    --------
    >>> from pathlib import Path
    >>> run_of_manifest(Path("hpo/results/NHITS_Q_my_zone/manifest_7.json")).dataset
    'my_zone'
    """
    folder = manifest.parent
    model = _stored_model(manifest)
    if not model or not folder.name.startswith(f"{model}_"):
        before, separator, _ = folder.name.partition("_Q_")
        model = f"{before}_Q" if separator else ""
    dataset = folder.name.removeprefix(f"{model}_")
    if not model or folder.parent.name != "results" or not manifest.stem.startswith("manifest_"):
        raise StoreError(
            f"{manifest} is no manifest of a run, expected "
            "WORKSPACE/results/MODEL_DATASET/manifest_JOBID.json"
        )
    job_id = manifest.stem.removeprefix("manifest_")
    return RunDirectory(folder.parent.parent, model, dataset, job_id)


def _stored_model(manifest: Path) -> str:
    """The model that a manifest names; empty where it cannot be read."""
    try:
        return str(load_json(manifest)["settings"]["model"])
    except (StoreError, KeyError, TypeError):
        return ""


def find_runs(workspace: Path) -> list[RunDirectory]:
    """Every study of a workspace, by the name of its manifest."""
    return runs_of_manifests((workspace / "results").glob("*/manifest_*.json"))


def unlisted(workspace: Path) -> list[str]:
    """Sentences on folders of a workspace whose studies cannot be listed."""
    results, problems = workspace / "results", list[str]()
    try:
        folders = [results / name for name in list_names(results)]
    except StoreError as error:
        return [str(error)]
    for folder in folders:
        try:
            if folder.is_dir():
                list_names(folder)
        except StoreError as error:
            problems.append(str(error))
        except OSError as error:
            problems.append(f"{folder} cannot be read: {error.strerror}")
    return problems


def runs_of_manifests(manifests: Iterable[Path]) -> list[RunDirectory]:
    """The runs that manifests belong to, by name; those of folders that are not ours are left."""
    runs = []
    for manifest in sorted(manifests):
        with contextlib.suppress(StoreError):
            runs.append(run_of_manifest(manifest))
    return runs
