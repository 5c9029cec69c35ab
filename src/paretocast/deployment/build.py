"""From a finished study to a bundle: the recommended method is fitted once more and written.

The models are trained as the trials were, on the train split, or with a refit on every hour up to a
date. Calibrators are fitted on the calibrate split, which none of the models of the train split
has seen: one for each rung of degradation.
"""

from __future__ import annotations

import shutil
import uuid
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd
import tomli_w
from safetensors.numpy import save as save_tensors

from paretocast.benchmarking.configs import TrainedConfig
from paretocast.benchmarking.retraining import train_first, train_from, train_until
from paretocast.calibration import choose_by_name
from paretocast.calibration.ensemble import ENSEMBLE, average_levels
from paretocast.data import load_dataset
from paretocast.data.features import build_features, weekly_lags
from paretocast.data.reading import choose_covariates
from paretocast.data.scaling import column_standards
from paretocast.data.spec import find_spec
from paretocast.data.task import Task, installed_versions, plan_task, position_after
from paretocast.deployment.bundle import (
    CALIBRATORS,
    CLIMATOLOGY,
    DATASET,
    FALLBACK,
    FULL,
    GOLDEN,
    MANIFEST,
    NAME_LENGTH,
    NO_WEATHER,
    REFERENCE,
    SCHEMA_VERSION,
    VALIDATION,
    Bundle,
    load_bundle,
    load_contract,
    write_sums,
)
from paretocast.deployment.card import write_card
from paretocast.deployment.climatology import forecast_climatology
from paretocast.deployment.inputs import LiveInputs, WeatherTable
from paretocast.deployment.issue_scores import score_issues
from paretocast.deployment.members import (
    BoostedMember,
    LinearMember,
    Member,
    NetworkMember,
    RidgeMember,
)
from paretocast.errors import SettingsError, StoreError
from paretocast.metrics.scores import pinball
from paretocast.models.base import imported
from paretocast.models.baselines.catalogue import fit_baseline
from paretocast.models.baselines.ridge import Ridge
from paretocast.models.fitted import BoostedForecaster, LinearForecaster
from paretocast.models.linear_table import degree_hours_of
from paretocast.results.groups import forecast_of
from paretocast.search.models import MODELS
from paretocast.search.recipe import OFF
from paretocast.search.space import model_in, without_model
from paretocast.training.setup import TrainingSetup
from paretocast.workspace import files

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from paretocast.benchmarking.retraining import TrainedModel
    from paretocast.calibration import CalibratorSelection
    from paretocast.data.spec import DatasetSpec
    from paretocast.models.baselines.base import Baseline
    from paretocast.results.stored_study import StoredStudy
    from paretocast.settings import TuneSettings

    Floats = NDArray[np.float64]
    Fit = Callable[[Task, int | None], Baseline]

RIDGE = "ridge"
N_GOLDEN = 3
GOLDEN_LIKE_TRAINED = 1e-3  # of the width, between a forecast in a batch and a live one
# A hole at the start of the window is filled from what lies before it.
MARGIN_STEPS = 336 + 72
CLIMATOLOGY_STEPS = 8 * 168
UNFINISHED = ".new-"  # a folder that is not yet a bundle, or never will be
# Of a study's settings, those that a training depends on; none holds a path or a secret.
RECIPE_SETTINGS = ("covariates", "seed", "target_coverage", "task", "training")


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
    """What a bundle says of the study that its configs come from, and what trains them again.

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
    """

    settings: TuneSettings
    spec: DatasetSpec
    study: str
    task: Mapping[str, Any]
    scores: Mapping[str, Any]

    @classmethod
    def of_study(cls, study: StoredStudy, data_dir: Path | None) -> Origin:
        """The origin of a study's models."""
        result = study.result
        return cls(
            settings=study.settings,
            spec=find_spec(study.dataset_path(data_dir)),
            study=study.run.study_name,
            task=study.task_manifest,
            scores={
                "validation": result["validation_metrics"],
                "references": result["references"],
                "calibrate_pinball": (result.get("choice") or {}).get("pinball_on_calibrate"),
            },
        )


@dataclass(frozen=True)
class BundlePlan:
    """What is deployed.

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
        If the study has no such method.
    """
    choice = study.result.get("choice") or {}
    method = method or str(choice.get("method", f"trial {study.chosen_number}"))
    configs = _configs(study, method, choice)
    task = study.task(data_dir)
    until = refit_until
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
        return tuple((_config(study, number), weight) for number, weight in members)
    if method.startswith("trial "):
        return ((_config(study, int(method.removeprefix("trial "))), 1.0),)
    raise SettingsError(
        f"{study.run.study_name} recommends {method}, which is a reference and has no weights; "
        "deploy the ridge with --method ridge, or a trial with --trial N"
    )


def _config(study: StoredStudy, number: int) -> TrainedConfig:
    config = study.record(number).config
    model = model_in(config, study.run.model)
    return TrainedConfig(model, without_model(config), study.settings.seed, number)


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


def build_bundle(
    plan: BundlePlan, bundles: Path, *, observer: Observer, models: FittedModels | None = None
) -> Bundle:
    """Fit, calibrate and write a bundle; the folder gets the hash of its content as its name.

    Parameters
    ----------
    bundles : Path
        Folder of the bundles.
    models : FittedModels, optional
        Those of the plan, where they have been fitted already.

    Raises
    ------
    StoreError
        If a live forecast differs from that of the trained model, which would be a defect.
    """
    if models is None:
        models = fit_models(plan, observer=observer)
        if plan.until is not None:
            models = models.learned_until(plan.until, plan.task, observer=observer)
    folder = bundles / f"{UNFINISHED}{uuid.uuid4().hex}"
    files.create_folder(folder)
    try:
        _write(plan, models, folder, observer)
        digest = write_sums(folder)
        final = bundles / digest[:NAME_LENGTH]
        if final.exists():
            shutil.rmtree(folder)
        else:
            folder.rename(final)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return load_bundle(final)


def fit_models(
    plan: BundlePlan, *, observer: Observer, before: Sequence[Member] = ()
) -> FittedModels:
    """The models of a plan, fitted on the train split.

    Parameters
    ----------
    before : sequence of Member
        Those of an earlier bundle with the same configs: a network is trained from their weights
        and from scratch, and what forecasts the stop split better is taken.
    """
    fitting = _Fitting(plan, observer)
    reference = fitting.reference()
    if not plan.configs:
        deployed: tuple[Deployed, ...] = (reference,)
    else:
        earlier = [*before, *[None] * (len(plan.configs) - len(before))]
        deployed = tuple(
            fitting.config(config, weight, member)
            for (config, weight), member in zip(plan.configs, earlier, strict=True)
        )
    return FittedModels(deployed, fitting.fallback(), reference)


@dataclass(frozen=True)
class _Fitting:
    """The fits of a plan."""

    plan: BundlePlan
    observer: Observer

    def config(self, trained: TrainedConfig, weight: float, before: Member | None) -> Deployed:
        """The model of a config."""
        what = f"trial {trained.number} {trained.model}"
        self.observer.began(what)
        if MODELS[trained.model].is_network:
            return self._network(trained, weight, before, what)
        return self._at_once(_fit_of(trained.model, trained.config), weight, what)

    def fallback(self) -> Deployed:
        """The ridge that sees no covariate."""
        self.observer.began("ridge without weather")
        config = {**MODELS["RIDGE"].default, "weather": OFF}
        return self._at_once(_fit_of("RIDGE", config), 1.0, "RIDGE without weather")

    def reference(self) -> Deployed:
        """The reference ridge."""
        self.observer.began(RIDGE)
        return self._at_once(lambda task, until: fit_baseline(RIDGE, task, until=until), 1.0, RIDGE)

    def _at_once(self, fit: Fit, weight: float, what: str) -> Deployed:
        """A model that is fitted and not trained."""
        task = self.plan.task
        first = fit(task, None)
        return Deployed(
            member=_member_of(first),
            weight=weight,
            calibrate=first.forecast(task, task.issues["calibrate"]),
            trained=what,
            learn_until=lambda task, until: _member_of(fit(task, until)),
        )

    def _network(
        self, trained: TrainedConfig, weight: float, before: Member | None, what: str
    ) -> Deployed:
        config, seed = trained.config, trained.seed(0)
        setup = self._setup(self.plan.task, trained)
        scratch = train_first(setup, config, seed=seed)
        first = scratch
        if isinstance(before, NetworkMember):
            weights = {name: np.array(values) for name, values in before.weights.items()}
            warm = train_from(setup, config, weights=weights, until=None, seed=seed)
            first = min((scratch, warm), key=_stop_loss)

        def learn_until(task: Task, until: int) -> Member:
            wide = first
            if task is not self.plan.task:
                wide = replace(first, setup=self._setup(task, trained))
            if first is scratch:
                return NetworkMember.of(train_until(wide, config, until, seed=seed), config)
            later = train_from(
                wide.setup,
                config,
                weights=first.training.best_weights(),
                until=until,
                share=first.share,
                seed=seed,
            )
            return NetworkMember.of(later, config)

        return Deployed(
            member=NetworkMember.of(first, config),
            weight=weight,
            calibrate=first.forecast(setup.task.issues["calibrate"]),
            trained=what if first is scratch else f"{what}, from the weights before",
            learn_until=learn_until,
        )

    def _setup(self, task: Task, trained: TrainedConfig) -> TrainingSetup:
        settings = self.plan.origin.settings.model_copy(update={"model": trained.model})
        setup = TrainingSetup.from_settings(settings, task, device=self.plan.device)
        return setup.prepared(trained.config)


def _fit_of(model: str, config: dict[str, Any]) -> Fit:
    fit = imported(MODELS[model].fit)
    return lambda task, until: fit(task, config, until)


def _member_of(fitted: Baseline) -> Member:
    if isinstance(fitted, Ridge):
        return RidgeMember(fitted)
    if isinstance(fitted, LinearForecaster):
        return LinearMember(fitted)
    if isinstance(fitted, BoostedForecaster):
        return BoostedMember(fitted)
    raise SettingsError(
        f"the model is fitted as a {type(fitted).__name__}, which a bundle cannot hold; deploy "
        "another trial with --trial N"
    )


def _stop_loss(trained: TrainedModel) -> float:
    """Mean pinball loss on the stop split, target units."""
    task = trained.setup.task
    forecast = np.sort(trained.forecast(task.issues["stop"]), axis=-1)
    return float(pinball(task.observed("stop"), forecast, levels=task.shape.levels).mean())


def _write(plan: BundlePlan, models: FittedModels, folder: Path, observer: Observer) -> None:
    """Write all files of a bundle but its checksums."""
    task, origin = plan.task, plan.origin
    deployed, fallback, reference = models.deployed, models.fallback, models.reference
    observer.began("calibrators")
    members = [
        _write_member(folder, f"member_{i}", d) | {"weight": d.weight, "trained": d.trained}
        for i, d in enumerate(deployed)
    ]
    _write_dataset(origin.spec, folder)
    raw = average_levels([d.calibrate for d in deployed], [d.weight for d in deployed])
    choices = {
        FULL: _choose(plan, raw),
        NO_WEATHER: _choose(plan, fallback.calibrate),
        CLIMATOLOGY: _choose(plan, _climatology(task)),
    }
    files.save_json(
        folder / CALIBRATORS,
        {rung: choice.calibrator.as_json() for rung, choice in choices.items()},
    )
    _write_validation(plan, choices[FULL], raw, reference, folder)
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "series": task.series.name,
        "unit": task.series.unit,
        "method": plan.method,
        "study": origin.study,
        "target_coverage": origin.settings.target_coverage,
        "lower_bound": task.lower_bound,
        "members": members,
        FALLBACK: _write_member(folder, FALLBACK, fallback),
        REFERENCE: _write_member(folder, REFERENCE, reference),
        "calibrators": {
            rung: {"name": choice.calibrator.name, "reason": choice.reason}
            for rung, choice in choices.items()
        },
        "learned_until": (plan.until or task.dates.train_to).isoformat(),
        "refit": plan.until is not None,
        "task": origin.task,
        "scores": origin.scores,
        "recipe": _recipe_json(plan),
        "assumptions": list(task.assumptions),
        "versions": installed_versions(),
        "input": _contract_json(plan, [*deployed, fallback, reference]),
    }
    files.save_json(folder / MANIFEST, manifest)
    constraints = [f"{name}=={version}" for name, version in installed_versions().items()]
    files.save_text(folder / "constraints.txt", "\n".join(constraints) + "\n")
    observer.began("golden windows")
    _write_golden(plan, raw, folder)
    write_card(folder, manifest)


def _choose(plan: BundlePlan, raw: Floats) -> CalibratorSelection:
    forecast = forecast_of(plan.task, "calibrate", raw)
    coverage = plan.origin.settings.target_coverage
    return choose_by_name(forecast, plan.calibrator, coverage=coverage)


def _write_member(folder: Path, name: str, deployed: Deployed) -> dict[str, Any]:
    """Write the arrays of a member and describe it."""
    member = deployed.member
    file = f"{name}.safetensors"
    arrays = {key: np.ascontiguousarray(array) for key, array in member.arrays().items()}
    files.save_bytes(folder / file, save_tensors(arrays))
    return {"kind": member.kind, "file": file, **member.as_json()}


def _write_dataset(spec: DatasetSpec, folder: Path) -> None:
    """Write the description of the data set; its files are named without their folders."""
    content = spec.model_dump(mode="json", exclude_none=True)
    for key in ("path", "school_holidays"):
        if getattr(spec, key) is not None:
            content[key] = getattr(spec, key).name
    if spec.weather is not None:
        content["weather"]["path"] = spec.weather.path.name
    for stamp in ("use_from", "use_to"):
        if getattr(spec, stamp) is not None:
            content[stamp] = getattr(spec, stamp).isoformat()
    content["splits"] = {
        key: value.isoformat() if isinstance(value, pd.Timestamp) else value
        for key, value in spec.splits
        if value is not None
    }
    files.save_text(folder / DATASET, tomli_w.dumps(content))


def _climatology(task: Task) -> Floats:
    steps, levels = task.shape.horizon_steps, task.shape.levels
    return np.array(
        [
            forecast_climatology(task.series, position, horizon_steps=steps, levels=levels)
            for position in task.issues["calibrate"].tolist()
        ]
    )


def _contract_json(plan: BundlePlan, deployed: Sequence[Deployed]) -> dict[str, Any]:
    """The inputs that the models need, as the manifest holds them."""
    task, settings, spec = plan.task, plan.origin.settings, plan.origin.spec
    train = slice(0, task.train_stop)
    history = max(d.member.history_steps for d in deployed)
    declared = choose_covariates(spec, settings.covariates)
    columns = [
        {
            "name": covariate.name,
            "declared": name,
            "role": str(covariate.role),
            "unit": covariate.unit,
            "low": float(np.nanmin(covariate.values[train])),
            "high": float(np.nanmax(covariate.values[train])),
        }
        for name, covariate in zip(declared, task.series.covariates, strict=True)
    ]
    shape = {**asdict(task.shape), "levels": list(task.shape.levels)}
    groups = settings.task.features
    return {
        "calendar": task.manifest()["calendar"],
        "columns": columns,
        "shape": shape,
        "feature_groups": None if groups is None else list(groups),
        "history_steps": max(history + MARGIN_STEPS, CLIMATOLOGY_STEPS),
        "window_steps": task.shape.input_steps,
        "low": float(np.nanmin(task.series.values[train])),
        "high": float(np.nanmax(task.series.values[train])),
        "delay_hours": int(spec.available_after.removesuffix("h")),
        "standards": _standards(task),
    }


def _standards(task: Task) -> dict[str, list[float]]:
    """Mean and deviation of every column that a member standardises."""
    lagged = task.features.joined(weekly_lags(task.series, task.shape.horizon_steps))
    calendar = build_features(task.series, groups=("calendar",))
    # In these arrays the ridge and the trees have them: another order of the sum changes the last
    # digit, and a tree may then turn elsewhere.
    parts = (task.features.known, task.features.past, degree_hours_of(task))
    standards: dict[str, list[float]] = {}
    for table in (calendar, lagged, *parts):
        centers, spreads = column_standards(task, table.names, table.values)
        standards |= {
            name: [float(center), float(spread)]
            for name, center, spread in zip(table.names, centers, spreads, strict=True)
        }
    return standards


def _recipe_json(plan: BundlePlan) -> dict[str, Any]:
    """What it takes to train the same models on other hours."""
    settings = plan.origin.settings.model_dump(mode="json", include=set(RECIPE_SETTINGS))
    configs = [
        {
            "model": trained.model,
            "config": trained.config,
            "study_seed": trained.study_seed,
            "number": trained.number,
            "weight": weight,
        }
        for trained, weight in plan.configs
    ]
    return {"settings": settings, "calibrator": plan.calibrator, "configs": configs}


def _write_validation(
    plan: BundlePlan, full: CalibratorSelection, raw: Floats, reference: Deployed, folder: Path
) -> None:
    """Write the scores of the calibrate split that a monitor compares with."""
    forecast = forecast_of(plan.task, "calibrate", raw)
    calibrated = full.calibrator.apply(forecast)
    lower, upper = calibrated.interval(plan.origin.settings.target_coverage)
    scores = score_issues(
        forecast.issues,
        forecast.observed,
        calibrated.quantiles,
        reference=reference.calibrate,
        interval=(lower, upper),
        levels=forecast.levels,
    )
    files.save_arrays(folder / VALIDATION, vars(scores))


def _write_golden(plan: BundlePlan, raw: Floats, folder: Path) -> None:
    """Write windows with their forecasts, made from the files; refuse if training forecasts others.

    The windows are of the calibrate split. With a refit the models are others than those whose
    forecasts are at hand, and there is nothing to compare with.
    """
    task = plan.task
    bundle = Bundle(folder, files.load_json(folder / MANIFEST), "")
    contract = load_contract(bundle.manifest["input"], folder / DATASET)
    runs = task.series.runs
    columns = {contract.spec.target: task.series.values}
    columns |= {
        covariate.name: covariate.values
        for covariate in task.series.covariates
        if runs is None or covariate.name not in runs.names
    }
    weather = None if runs is None else WeatherTable(None, runs, learned=True)
    inputs = LiveInputs(contract, pd.DataFrame(columns, index=task.series.index), None, weather)
    issues = task.issues["calibrate"]
    fits = np.flatnonzero(issues >= contract.history_steps)
    if not fits.size:
        raise StoreError(
            f"no calibrate issue has the {contract.history_steps} hours of history that the "
            "models read; deploy a trial with a shorter window"
        )
    chosen = fits[np.linspace(0, len(fits) - 1, N_GOLDEN).astype(int)]
    windows = [inputs.cut(pd.Timestamp(task.series.index[issues[i]])) for i in chosen]
    forecasts = [bundle.raw_forecast(window) for window in windows]
    if plan.until is None:
        for i, (rung, live, flags) in zip(chosen, forecasts, strict=True):
            _compare_with_training(live, raw[i], rung, flags)
    files.save_arrays(
        folder / GOLDEN,
        {
            "issues": np.array([int(w.issue_time.timestamp()) // 3600 for w in windows]),
            "target": np.array([w.series.values for w in windows]),
            "covariates": np.array([[c.values for c in w.series.covariates] for w in windows]),
            "raw": np.array([live for _, live, _ in forecasts]),
        },
    )


def _compare_with_training(live: Floats, trained: Floats, rung: str, flags: Sequence[str]) -> None:
    width = float(np.mean(trained[:, -1] - trained[:, 0])) or 1.0
    difference = float(np.abs(live - trained).max()) / width
    if rung == FULL and difference > GOLDEN_LIKE_TRAINED:
        raise StoreError(
            f"the bundle forecasts a window of the calibrate split differently from the trained "
            f"model, by {difference:.2g} of its width ({', '.join(flags) or 'no flag'}); nothing "
            "was deployed"
        )
