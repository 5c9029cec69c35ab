"""The benchmark itself: a plan is trained, calibrated, scored, and becomes a proof."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from paretocast.benchmark.comparison import Comparison, Entry, compare
from paretocast.benchmark.configs import DEFAULT, NONE, TUNED, TrainedConfig
from paretocast.benchmark.plan import ENSEMBLE, BenchmarkPlan
from paretocast.benchmark.retraining import OUT_OF_SAMPLE, TEST, plan_retraining, train_and_forecast
from paretocast.benchmark.test_split import hash_of_test
from paretocast.benchmark.walk import calibrate_test
from paretocast.calibration.ensemble import average_levels
from paretocast.data.series import STEPS_PER_DAY
from paretocast.data.task import installed_versions
from paretocast.errors import DataError
from paretocast.metrics.scores import score_forecast, seasonal_scale
from paretocast.models.baselines.naive import fit_baseline
from paretocast.training.setup import TrainingSetup
from paretocast.workspace import files

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from paretocast.calibration import Calibrator
    from paretocast.calibration.ensemble import Members

    Floats = NDArray[np.float64]
    Forecasts = Mapping[str, Floats]


class Observer(Protocol):
    """Who is told how a benchmark goes."""

    def planned(self, n_steps: int) -> None:
        """So many gradient steps are to be made at most."""

    def began(self, what: str) -> None:
        """A training or a reference begins."""

    def advanced(self, step: int) -> None:
        """The training has made so many steps."""

    def ended(self, what: str, *, n_steps: int, kept: bool) -> None:
        """It is done; `kept` if an earlier benchmark had done it already."""


@dataclass(frozen=True)
class BenchmarkResult:
    """What a benchmark found.

    Attributes
    ----------
    calibrators : tuple of (label, calibrator)
        As fitted on the calibrate split, by the entries of the comparison, first seed.
    notes : tuple of str
        References that could not be made, and why.
    """

    plan: BenchmarkPlan
    comparison: Comparison
    calibrators: tuple[tuple[str, Calibrator], ...]
    notes: tuple[str, ...]


def run_benchmark(
    plan: BenchmarkPlan,
    *,
    kept_in: Path,
    device: str,
    observer: Observer,
    should_stop: Callable[[], bool] = lambda: False,
) -> BenchmarkResult:
    """Train, forecast, calibrate, score and compare.

    Parameters
    ----------
    kept_in : Path
        Folder for the forecasts of finished trainings, named by all they depend on; what is there
        is not made again, so an interrupted benchmark goes on where it stopped.

    Raises
    ------
    TrainingInterrupted
        If `should_stop` said so; what is finished is kept.
    """
    trained = _train_all(
        plan, kept_in=kept_in, device=device, observer=observer, should_stop=should_stop
    )
    made, notes = _methods(plan, trained, observer)
    entries, calibrators = [], []
    for method in made:
        for name in plan.calibrators:
            entry, calibrator = _calibrated_entry(plan, method, name)
            entries.append(entry)
            calibrators.append((entry.label, calibrator))
    task = plan.task
    comparison = compare(
        entries,
        coverage=plan.coverage,
        seasonal_scale=seasonal_scale(task.series.values[: task.train_stop], STEPS_PER_DAY),
    )
    return BenchmarkResult(plan, comparison, tuple(calibrators), notes)


@dataclass(frozen=True)
class _Method:
    """Forecasts of every split for each seed."""

    name: str
    parameters: str
    forecasts: tuple[Forecasts, ...]
    source: str
    seconds: float = 0.0


def _train_all(
    plan: BenchmarkPlan,
    *,
    kept_in: Path,
    device: str,
    observer: Observer,
    should_stop: Callable[[], bool],
) -> dict[tuple[int, int], Forecasts]:
    """Forecasts by (position among the plan's candidates, seed index)."""
    candidates = plan.candidates()
    setups = {model: _setup(plan, model, device) for model in {one.model for one in candidates}}
    stretches = {
        model: plan_retraining(
            setup.task, refit_until=plan.refit_until, retrain_days=plan.retrain_days
        )
        for model, setup in setups.items()
    }
    n_parts = {
        model: 1 + sum(one.until is not None for one in parts) for model, parts in stretches.items()
    }
    observer.planned(
        plan.n_seeds * sum(setups[c.model].budget_steps * n_parts[c.model] for c in candidates)
    )
    trained: dict[tuple[int, int], Forecasts] = {}
    for index in range(plan.n_seeds):
        for i, candidate in enumerate(candidates):
            setup = setups[candidate.model]
            what = f"{candidate.model} {_name_of(candidate)}, seed {index + 1}"
            n_steps = setup.budget_steps * n_parts[candidate.model]
            path = kept_in / f"{_key(plan, setup, candidate, index)}.npz"
            if kept := path.exists():
                trained[i, index] = files.load_arrays(path)
            else:
                observer.began(what)
                trained[i, index] = train_and_forecast(
                    setup,
                    candidate.config,
                    seed=candidate.seed(index),
                    stretches=stretches[candidate.model],
                    on_progress=lambda step, _loss: observer.advanced(step),
                    should_stop=should_stop,
                )
                files.save_arrays(path, trained[i, index])
            observer.ended(what, n_steps=n_steps, kept=kept)
    return trained


def _setup(plan: BenchmarkPlan, model: str, device: str) -> TrainingSetup:
    settings = plan.settings_of[model].settings
    return TrainingSetup.from_settings(
        settings.model_copy(update={"model": model}), plan.tasks[model], device=device
    )


def _name_of(candidate: TrainedConfig) -> str:
    return "default" if candidate.number is None else f"trial {candidate.number}"


def _key(plan: BenchmarkPlan, setup: TrainingSetup, candidate: TrainedConfig, index: int) -> str:
    """What a training depends on, as part of a file name."""
    content = {
        "model": candidate.model,
        "config": candidate.config,
        "seed": candidate.seed(index),
        "training": setup.training.model_dump(mode="json"),
        "steps": setup.budget_steps,
        "task": setup.task.manifest(),
        "test": hash_of_test(setup.task),
        "refit_until": plan.refit_until,
        "retrain_days": plan.retrain_days,
        "device": setup.source.device.type,
        "versions": installed_versions(),
    }
    text = json.dumps(content, sort_keys=True)
    return f"{candidate.model}_{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _methods(
    plan: BenchmarkPlan, trained: Mapping[tuple[int, int], Forecasts], observer: Observer
) -> tuple[list[_Method], tuple[str, ...]]:
    """Every method of the plan with its forecasts, the tuned ones first."""
    candidates = plan.candidates()

    def seeds_of(candidate: TrainedConfig) -> tuple[Forecasts, ...]:
        i = candidates.index(candidate)
        return tuple(trained[i, index] for index in range(plan.n_seeds))

    methods = [
        _Method(one.model, TUNED, seeds_of(one.chosen), one.source)
        for one in plan.parameters
        if TUNED in plan.groups and one.kind == TUNED
    ]
    if plan.members is not None:
        methods.append(_ensemble(plan, plan.members, seeds_of))
    for one in plan.parameters:
        if DEFAULT in plan.groups or one.kind == DEFAULT:
            source = "default parameters" if one.kind == TUNED else one.source
            methods.append(_Method(one.model, DEFAULT, seeds_of(one.default), source))
    notes = []
    for name in plan.references:
        observer.began(name)
        try:
            methods.append(_reference(plan, name))
        except DataError as error:
            notes.append(f"{name} is left out: {error}")
    return methods, tuple(notes)


def _ensemble(
    plan: BenchmarkPlan,
    members: Members,
    seeds_of: Callable[[TrainedConfig], tuple[Forecasts, ...]],
) -> _Method:
    chosen = [plan.offered[i] for i in members.indices]
    each = [seeds_of(candidate) for candidate in chosen]
    forecasts = tuple(
        {
            split: average_levels([one[index][split] for one in each], members.weights)
            for split in (*OUT_OF_SAMPLE, TEST)
        }
        for index in range(plan.n_seeds)
    )
    named = ", ".join(
        f"{candidate.model} {_name_of(candidate)} ({weight:.2f})"
        for candidate, weight in zip(chosen, members.weights, strict=True)
    )
    source = f"quantiles of front trials averaged, chosen on the tune split: {named}"
    return _Method(ENSEMBLE, TUNED, forecasts, source)


def _reference(plan: BenchmarkPlan, name: str) -> _Method:
    task = plan.task
    fitted = fit_baseline(name, task)
    forecasts = {split: fitted.forecast(task, task.issues[split]) for split in OUT_OF_SAMPLE}
    parts = []
    for stretch in plan_retraining(
        task, refit_until=plan.refit_until, retrain_days=plan.retrain_days
    ):
        later = fitted
        if stretch.until is not None:
            later = fit_baseline(name, task, until=stretch.until)
        parts.append(later.forecast(task, stretch.positions))
    return _Method(name, NONE, ({**forecasts, TEST: np.concatenate(parts)},), "reference")


def _calibrated_entry(plan: BenchmarkPlan, method: _Method, name: str) -> tuple[Entry, Calibrator]:
    task = plan.task
    calibrated = [
        calibrate_test(task, forecasts, name, coverage=plan.coverage, static=plan.static)
        for forecasts in method.forecasts
    ]
    names = dict.fromkeys(one.calibrator.name for one in calibrated)
    judged = [
        score_forecast(
            task.observed("calibrate"),
            forecasts["calibrate"],
            levels=task.shape.levels,
            coverage=plan.coverage,
        )
        for forecasts in method.forecasts
    ]
    learns = " and goes on learning" if any(one.online for one in calibrated) else ""
    entry = Entry(
        method=method.name,
        parameters=method.parameters,
        wanted=name,
        calibrator="/".join(names),
        forecasts=tuple(one.forecast for one in calibrated),
        validation={
            score: float(np.mean([one[score] for one in judged]))
            for score in ("mae", "pinball", "winkler", "picp")
        },
        source=f"{method.source}; calibrator {'/'.join(names)}{learns}",
    )
    return entry, calibrated[0].calibrator
