"""The method that is deployed, with its configs and its task, and the fitted models of a bundle."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import pandas as pd

from paretocast.benchmarking.configs import TrainedConfig, trial_config
from paretocast.calibration.ensemble import ENSEMBLE
from paretocast.data import load_dataset
from paretocast.data.spec import find_spec
from paretocast.data.task import Task, plan_task, position_after
from paretocast.deployment.bundle import RIDGE
from paretocast.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from paretocast.data.spec import DatasetSpec
    from paretocast.deployment.members import Member
    from paretocast.results.stored_study import StoredStudy
    from paretocast.settings import TuneSettings

    Floats = NDArray[np.float64]


class Observer(Protocol):
    """Receiver of the progress of a deployment."""

    def began(self, what: str) -> None:
        """A step begins."""


class Silent:
    """An observer that says nothing."""

    def began(self, what: str) -> None:
        """A step begins."""


@dataclass(frozen=True)
class Deployed:
    """A model of a bundle, ready to be written.

    Attributes
    ----------
    member : Member
        Of the model that will forecast.
    calibrate : ndarray of shape (N, H, Q)
        Its forecasts of the calibrate split by the model of the train split.
    trained : str
        What it is, for people.
    learn_until : callable
        From a task and a position, the same model once it has learned from every hour before.
    """

    member: Member
    weight: float
    calibrate: Floats
    trained: str
    learn_until: Callable[[Task, int], Member]


@dataclass(frozen=True)
class FittedModels:
    """The models of a bundle.

    Attributes
    ----------
    deployed : tuple of Deployed
        Their quantiles are averaged.
    fallback, reference : Deployed
        The ridge without covariates, and the one that skill is measured against.
    """

    deployed: tuple[Deployed, ...]
    fallback: Deployed
    reference: Deployed

    def learned_until(self, until: pd.Timestamp, task: Task, *, observer: Observer) -> FittedModels:
        """The same once they have learned from every hour up to one, that included.

        Parameters
        ----------
        task : Task
            With the same splits, and a series that reaches as far.
        """
        position = position_after(task.series.index, until)

        def later(model: Deployed) -> Deployed:
            observer.began(f"{model.trained}, on every hour up to {until:%Y-%m-%d %H:%M}")
            return replace(model, member=model.learn_until(task, position))

        return FittedModels(
            tuple(map(later, self.deployed)), later(self.fallback), later(self.reference)
        )


@dataclass(frozen=True)
class Origin:
    """The study that the configs of a bundle come from, with all that trains them again.

    Attributes
    ----------
    settings : TuneSettings
        Shape of the task, covariates, training and seed; where the data lie does not matter.
    study : str
        Name of the study.
    task : mapping
        See `Task.manifest`.
    scores : mapping
        For the card.
    pool : mapping of str to str
        Of a network of many series: SHA-256 of the manifest of each task, by series.
    """

    settings: TuneSettings
    spec: DatasetSpec
    study: str
    task: Mapping[str, Any]
    scores: Mapping[str, Any]
    pool: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_study(cls, study: StoredStudy, data_dir: Path | None) -> Origin:
        """The origin of a study's models."""
        result = study.result
        here = {"dataset": study.dataset_path(data_dir)}
        if data_dir is not None:
            here["data_dir"] = str(data_dir)
        return cls(
            settings=study.settings.model_copy(update=here),
            spec=find_spec(study.dataset_path(data_dir)),
            study=study.run.study_name,
            task=study.task_manifest,
            scores={
                "validation": result["validation_metrics"],
                "references": result["references"],
                "calibrate_pinball": (result.get("choice") or {}).get("pinball_on_calibrate"),
            },
            pool=study.manifest["comparable"].get("pool", {}),
        )


@dataclass(frozen=True)
class BundlePlan:
    """The method to deploy, with its configs and its task.

    Attributes
    ----------
    method : str
        "ensemble", "trial N" or "ridge".
    configs : tuple of (TrainedConfig, weight)
        Empty for the ridge.
    until : Timestamp or None
        Last hour that the models learn from; None for the train split alone.
    """

    origin: Origin
    method: str
    configs: tuple[tuple[TrainedConfig, float], ...]
    calibrator: str
    until: pd.Timestamp | None
    task: Task
    device: str


def plan_bundle(
    study: StoredStudy,
    *,
    method: str | None = None,
    calibrator: str = "auto",
    refit: bool = False,
    refit_until: pd.Timestamp | None = None,
    data_dir: Path | None = None,
    device: str = "cpu",
) -> BundlePlan:
    """The method, its configs and the task.

    Parameters
    ----------
    method : str, optional
        "ensemble", "trial N" or "ridge"; what the study recommends without it.
    refit : bool
        Learn from every hour of the data, or up to `refit_until`.

    Raises
    ------
    SettingsError
        If the study has no such method, or its networks cannot learn from later hours.
    """
    choice = study.result.get("choice") or {}
    method = method or str(choice.get("method", f"trial {study.chosen_number}"))
    configs = _configs(study, method, choice)
    task = study.task(data_dir)
    until = refit_until
    if configs and study.settings.pool and (refit or refit_until is not None):
        raise SettingsError(
            f"{method} of {study.run.study_name} is of one network for {len(study.settings.pool)} "
            "series, which does not learn from later hours: deploy it without a refit, or a study "
            "of this series alone"
        )
    if refit or refit_until is not None:
        task = _whole_task(study, data_dir)
        until = refit_until or pd.Timestamp(task.series.index[-1])
    origin = Origin.of_study(study, data_dir)
    return BundlePlan(origin, method, configs, calibrator, until, task, device)


def _configs(
    study: StoredStudy, method: str, choice: dict[str, Any]
) -> tuple[tuple[TrainedConfig, float], ...]:
    if method == RIDGE:
        return ()
    if method == ENSEMBLE:
        members = [(int(m["trial"]), float(m["weight"])) for m in choice.get("members", ())]
        if not members:
            raise SettingsError(
                f"{study.run.study_name} has no average of trials; name one with --trial"
            )
        return tuple((trial_config(study, number), weight) for number, weight in members)
    if method.startswith("trial "):
        return ((trial_config(study, int(method.removeprefix("trial "))), 1.0),)
    raise SettingsError(
        f"{study.run.study_name} recommends {method}, which is a reference and has no weights; "
        "deploy the ridge with --method ridge, or a trial with --trial N"
    )


def _whole_task(study: StoredStudy, data_dir: Path | None) -> Task:
    """The task of a study with every hour that the data hold now."""
    planned = study.task(data_dir)
    settings = study.settings
    dataset = load_dataset(
        study.dataset_path(data_dir),
        data_dir=data_dir or settings.data_dir,
        covariates=settings.covariates,
    )
    last = pd.Timestamp(dataset.series.index[-1])
    return plan_task(
        dataset.series,
        replace(planned.dates, test_to=last),
        shape=settings.task.shape(),
        feature_groups=settings.task.features,
        with_test=True,
    )
