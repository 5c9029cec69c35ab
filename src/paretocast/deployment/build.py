"""From a finished study to a bundle: the recommended method is fitted once more and written.

The models are trained as the trials were, on the train split, or with a refit on every hour up to a
date. Calibrators are fitted on the calibrate split, which none of the models of the train split
has seen: one for each rung of degradation.
"""

from __future__ import annotations

import shutil
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from paretocast.benchmarking.retraining import train_first, train_from, train_until
from paretocast.deployment.bundle import (
    NAME_LENGTH,
    RIDGE,
    Bundle,
    load_bundle,
)
from paretocast.deployment.bundle_files import write_sums
from paretocast.deployment.members import (
    BoostedMember,
    LinearMember,
    Member,
    NetworkMember,
    RidgeMember,
)
from paretocast.deployment.plan import BundlePlan, Deployed, FittedModels, Observer
from paretocast.deployment.writing import write_files
from paretocast.errors import SettingsError, StoreError
from paretocast.metrics.scores import pinball
from paretocast.models.base import imported
from paretocast.models.baselines.catalogue import fit_baseline
from paretocast.models.baselines.ridge import Ridge
from paretocast.models.fitted import BoostedForecaster, LinearForecaster
from paretocast.search.models import MODELS
from paretocast.search.recipe import OFF
from paretocast.training.pooling import setup_of
from paretocast.workspace import files

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from paretocast.benchmarking.configs import TrainedConfig
    from paretocast.benchmarking.retraining import TrainedModel
    from paretocast.data.task import Task
    from paretocast.models.baselines.base import Baseline
    from paretocast.training.setup import TrainingSetup

    Floats = NDArray[np.float64]
    Fit = Callable[[Task, int | None], Baseline]

UNFINISHED = ".new-"  # a folder that is not yet a bundle, or never will be


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
        write_files(plan, models, folder, observer)
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
        pool = self.plan.origin.settings.pool
        of_many = f" of {len(pool)} series" if pool else ""
        what = f"trial {trained.number} {trained.model}{of_many}"
        self.observer.began(what)
        if MODELS[trained.model].is_network:
            return self._network(trained, weight, before, what)
        return self._at_once(_fit_of(trained.model, trained.config), weight, what)

    def fallback(self) -> Deployed:
        """The ridge that sees no covariate."""
        self.observer.began("ridge without weather")
        default = MODELS["RIDGE"].default_at(self.plan.task.shape.steps_per_day)
        config = {**default, "weather": OFF}
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
        setup = setup_of(settings, task, device=self.plan.device)
        if setup.pool_hashes != self.plan.origin.pool:
            raise StoreError(
                f"{self.plan.origin.study} was trained on other data of "
                f"{', '.join(setup.pool_hashes)}, or other periods of them; give the folder of the "
                "data it was made on with --data-dir"
            )
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
