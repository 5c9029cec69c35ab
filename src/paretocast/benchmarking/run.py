"""The benchmark itself: train what a plan names, forecast, calibrate, score and compare."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from paretocast.benchmarking.comparison import Comparison, Entry, compare
from paretocast.benchmarking.configs import DEFAULT, NONE, TUNED, TrainedConfig
from paretocast.benchmarking.kept import (
    load_kept,
    load_trained,
    pool_file,
    save_trained,
    training_key,
)
from paretocast.benchmarking.relearning import RelearningRow, compare_relearning
from paretocast.benchmarking.retraining import (
    OUT_OF_SAMPLE,
    TEST,
    TEST_UNDER_ERROR,
    Trained,
    plan_retraining,
    retraining_steps,
    tasks_by_split,
    train_schedules,
)
from paretocast.benchmarking.test_split import (
    refuse_other_pool,
)
from paretocast.benchmarking.weather_error import WeatherErrorRow, compare_weather_error
from paretocast.calibration import (
    FEWEST_COMPARED_WINDOWS,
    OnlineCalibrator,
    choose_by_name,
    cross_validated,
    walk_forward,
)
from paretocast.calibration.ensemble import ENSEMBLE, average_levels
from paretocast.errors import DataError
from paretocast.metrics.interval_quality import IntervalQuality, mean_quality, measure_interval
from paretocast.metrics.score_table import per_window, score_forecast
from paretocast.models.baselines.catalogue import fit_baseline
from paretocast.results.groups import forecast_of
from paretocast.training.pooling import setup_of
from paretocast.training.setup import (
    Anchors,
    daily_scale,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from paretocast.benchmarking.plan import BenchmarkPlan
    from paretocast.benchmarking.retraining import RetrainingPeriod
    from paretocast.calibration import Calibrator
    from paretocast.calibration.ensemble import Members
    from paretocast.data.task import Task
    from paretocast.metrics.forecast import Forecast
    from paretocast.training.setup import TrainingSetup

    Floats = NDArray[np.float64]
    Forecasts = Mapping[str, Floats]
    # By position among the plan's candidates, seed index, days between learning.
    _TrainedBy = Mapping[tuple[int, int, int | None], Trained]


class Observer(Protocol):
    """Receiver of the progress of a benchmark."""

    def planned(self, n_steps: int) -> None:
        """So many gradient steps are to be made at most."""

    def began(self, what: str) -> None:
        """A training or a baseline begins."""

    def advanced(self, step: int) -> None:
        """The training has made so many steps."""

    def ended(self, what: str, *, n_steps: int, kept: bool) -> None:
        """It is done; `kept` if an earlier benchmark had done it already."""


@dataclass(frozen=True)
class BenchmarkResult:
    """The comparison on the test split, with the plan and the calibrators behind it.

    Attributes
    ----------
    calibrators : tuple of (label, calibrator)
        As fitted on the calibrate split, by the entries of the comparison, first seed.
    notes : tuple of str
        Baselines that could not be made, and why.
    relearning : tuple of RelearningRow
        What learning again gains and costs; empty where the plan has but one way.
    weather_error : tuple of WeatherErrorRow
        What the plan's weather error costs; empty without one.
    """

    plan: BenchmarkPlan
    comparison: Comparison
    calibrators: tuple[tuple[str, Calibrator], ...]
    notes: tuple[str, ...]
    relearning: tuple[RelearningRow, ...] = ()
    weather_error: tuple[WeatherErrorRow, ...] = ()


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
    methods = {days: _methods(plan, trained, observer, days=days) for days in plan.retrain_days}
    calibrated = {
        days: [_calibrated_entry(plan, m, name) for m in made for name in plan.calibrators]
        for days, (made, _) in methods.items()
    }
    first = plan.retrain_days[0]
    entries = {days: [entry for entry, _ in pairs] for days, pairs in calibrated.items()}
    task = plan.task
    comparison = compare(
        entries[first],
        coverage=plan.coverage,
        seasonal_scale=daily_scale(task),
    )
    calibrators = tuple((entry.label, calibrator) for entry, calibrator in calibrated[first])
    relearning = compare_relearning(entries, coverage=plan.coverage)
    erring = [
        _calibrated_entry(plan, method.under_error, name)[0]
        for method in (methods[first][0] if plan.weather_error is not None else ())
        for name in plan.calibrators
    ]
    return BenchmarkResult(
        plan,
        comparison,
        calibrators,
        methods[first][1],
        relearning,
        compare_weather_error(entries[first] if erring else (), erring, coverage=plan.coverage),
    )


@dataclass(frozen=True)
class Calibrated:
    """A calibrated forecast of the test split.

    Attributes
    ----------
    forecast : Forecast
        As it was issued, window by window.
    calibrator : Calibrator
        As it was fitted on the calibrate split, before the first test issue.
    reason : str
        Reason for this calibrator, for people.
    """

    forecast: Forecast
    calibrator: Calibrator
    reason: str

    @property
    def online(self) -> bool:
        """Return whether it went on learning in the test split."""
        return isinstance(self.calibrator, OnlineCalibrator)


def calibrate_test(
    task: Task, forecasts: Forecasts, name: str, *, coverage: float, static: bool = False
) -> Calibrated:
    """Calibrate a test forecast: once on the calibrate split, or learning from issue to issue.

    Parameters
    ----------
    forecasts : mapping of split to ndarray of shape (N, H, Q)
        Of calibrate, out of sample, and of test.
    name : str
        A method, or "auto" for the one that is best on folds of calibrate.
    coverage : float
        Of the interval that "auto" compares by, percent.
    static : bool
        Leave out of "auto" what goes on learning.
    """
    fitted_on = forecast_of(task, "calibrate", forecasts["calibrate"])
    choice = choose_by_name(fitted_on, name, coverage=coverage, static=static)
    rolled = walk_forward(choice.calibrator, forecast_of(task, "test", forecasts["test"]))
    return Calibrated(rolled.forecast, choice.calibrator, choice.reason)


@dataclass(frozen=True)
class _Method:
    """Forecasts of every split for each seed, and what learning again in the test split took."""

    name: str
    parameters: str
    forecasts: tuple[Forecasts, ...]
    source: str
    relearning_seconds: float = 0.0

    @property
    def under_error(self) -> _Method:
        """The method as it forecasts the test split under a weather error."""
        return replace(
            self, forecasts=tuple({**f, TEST: f[TEST_UNDER_ERROR]} for f in self.forecasts)
        )


def _train_all(
    plan: BenchmarkPlan,
    *,
    kept_in: Path,
    device: str,
    observer: Observer,
    should_stop: Callable[[], bool],
) -> _TrainedBy:
    """Every training of the plan, made or kept."""
    candidates = plan.candidates()
    anchors: Anchors = {}
    models = dict.fromkeys(candidate.model for candidate in candidates)
    setups = {model: _setup(plan, model, device, anchors) for model in models}
    n_steps = {
        model: retraining_steps(setup, [_periods(plan, setup.task, d) for d in plan.retrain_days])
        for model, setup in setups.items()
    }
    observer.planned(plan.n_seeds * sum(n_steps[candidate.model] for candidate in candidates))
    trained: dict[tuple[int, int, int | None], Trained] = {}
    for index in range(plan.n_seeds):
        for i, candidate in enumerate(candidates):
            setup = setups[candidate.model]
            what = f"{candidate.model} {_name_of(candidate)}, seed {index + 1}"
            paths = {
                days: kept_in / f"{training_key(plan, setup, candidate, index, days=days)}.npz"
                for days in plan.retrain_days
            }
            kept = {days: load_kept(path, plan) for days, path in paths.items()}
            missing = [days for days, training in kept.items() if training is None]
            if missing:
                observer.began(what)
                made = train_schedules(
                    setup,
                    candidate.config,
                    seed=candidate.seed(index),
                    schedules=[_periods(plan, setup.task, days) for days in missing],
                    weather_error=plan.weather_error,
                    kept=pool_file(setup, candidate, index, kept_in),
                    on_progress=lambda step, _loss: observer.advanced(step),
                    should_stop=should_stop,
                )
                for days, training in zip(missing, made, strict=True):
                    save_trained(paths[days], training)
            trained |= {
                (i, index, days): kept[days] or load_trained(path, plan)
                for days, path in paths.items()
            }
            observer.ended(what, n_steps=n_steps[candidate.model], kept=not missing)
    return trained


def _setup(plan: BenchmarkPlan, model: str, device: str, anchors: Anchors) -> TrainingSetup:
    """The setup of a model; models whose tasks are alike share their anchors."""
    shared = anchors if plan.tasks[model].manifest() == plan.task.manifest() else {}
    config = next(config for config in plan.configs if config.model == model)
    setup = setup_of(
        config.settings.model_copy(update={"model": model}),
        plan.tasks[model],
        device=device,
        anchors=shared,
        known=plan.known,
    )
    refuse_other_pool(config, setup.pool_hashes)
    return setup


def _periods(plan: BenchmarkPlan, task: Task, days: int | None) -> tuple[RetrainingPeriod, ...]:
    return plan_retraining(task, refit_until=plan.refit_until, retrain_days=days)


def _name_of(candidate: TrainedConfig) -> str:
    return "default" if candidate.number is None else f"trial {candidate.number}"


def _methods(
    plan: BenchmarkPlan, trained: _TrainedBy, observer: Observer, *, days: int | None
) -> tuple[list[_Method], tuple[str, ...]]:
    """Every method of the plan that learns again after some days, the tuned ones first."""
    candidates = plan.candidates()

    def seeds_of(candidate: TrainedConfig) -> tuple[Trained, ...]:
        i = candidates.index(candidate)
        return tuple(trained[i, index, days] for index in range(plan.n_seeds))

    methods = [
        _network(config.model, TUNED, seeds_of(config.chosen), config.source)
        for config in plan.configs
        if TUNED in plan.groups and config.kind == TUNED
    ]
    if plan.members is not None:
        methods.append(_ensemble(plan, plan.members, seeds_of))
    for config in plan.configs:
        if DEFAULT in plan.groups or config.kind == DEFAULT:
            source = "default parameters" if config.kind == TUNED else config.source
            methods.append(_network(config.model, DEFAULT, seeds_of(config.default), source))
    notes = []
    for name in plan.references:
        observer.began(name)
        try:
            methods.append(_baseline(plan, name, days=days))
        except DataError as error:
            notes.append(f"{name} is left out: {error}")
    return methods, tuple(notes)


def _network(name: str, parameters: str, trained: Sequence[Trained], source: str) -> _Method:
    seconds = float(np.mean([training.relearning_seconds for training in trained]))
    forecasts = tuple(training.forecasts for training in trained)
    return _Method(name, parameters, forecasts, source, seconds)


def _ensemble(
    plan: BenchmarkPlan,
    members: Members,
    seeds_of: Callable[[TrainedConfig], tuple[Trained, ...]],
) -> _Method:
    candidates = [plan.offered[i] for i in members.indices]
    by_member = [seeds_of(candidate) for candidate in candidates]
    forecasts = tuple(
        {
            split: average_levels(
                [seeds[index].forecasts[split] for seeds in by_member], members.weights
            )
            for split in by_member[0][index].forecasts
        }
        for index in range(plan.n_seeds)
    )
    named = ", ".join(
        f"{candidate.model} {_name_of(candidate)} ({weight:.2f})"
        for candidate, weight in zip(candidates, members.weights, strict=True)
    )
    source = f"quantiles of front trials averaged, chosen on the tune split: {named}"
    seconds = sum(training.relearning_seconds for seeds in by_member for training in seeds)
    return _Method(ENSEMBLE, TUNED, forecasts, source, seconds / plan.n_seeds)


def _baseline(plan: BenchmarkPlan, name: str, *, days: int | None) -> _Method:
    task = plan.task
    fitted = fit_baseline(name, task)
    forecasts = {split: fitted.forecast(task, task.issues[split]) for split in OUT_OF_SAMPLE}
    tasks = tasks_by_split(task, plan.weather_error)
    parts: dict[str, list[Floats]] = {split: [] for split in tasks}
    seconds = 0.0
    for period in _periods(plan, task, days):
        later, started = fitted, time.perf_counter()
        if period.until is not None:
            later = fit_baseline(name, task, until=period.until)
        if period.warm:
            seconds += time.perf_counter() - started
        for split, seen in tasks.items():
            parts[split].append(later.forecast(seen, period.positions))
    by_split = {**forecasts, **{split: np.concatenate(part) for split, part in parts.items()}}
    return _Method(name, NONE, (by_split,), "reference", seconds)


def _calibrated_entry(plan: BenchmarkPlan, method: _Method, name: str) -> tuple[Entry, Calibrator]:
    task = plan.task
    by_seed = [
        calibrate_test(task, forecasts, name, coverage=plan.coverage, static=plan.static)
        for forecasts in method.forecasts
    ]
    names = dict.fromkeys(calibrated.calibrator.name for calibrated in by_seed)
    observed, levels, coverage = task.observed("calibrate"), task.shape.levels, plan.coverage
    validation = [
        score_forecast(observed, forecasts["calibrate"], levels=levels, coverage=coverage)
        for forecasts in method.forecasts
    ]
    window_losses = [
        per_window(observed, forecasts["calibrate"], levels=levels)["pinball"]
        for forecasts in method.forecasts
    ]
    learns = " and goes on learning" if any(calibrated.online for calibrated in by_seed) else ""
    entry = Entry(
        method=method.name,
        parameters=method.parameters,
        wanted=name,
        calibrator="/".join(names),
        forecasts=tuple(calibrated.forecast for calibrated in by_seed),
        validation={
            score: float(np.mean([scores[score] for scores in validation]))
            for score in ("mae", "pinball", "winkler", "picp")
        },
        validation_losses=np.mean(window_losses, axis=0),
        validation_interval=mean_quality(
            [
                _cross_validated(task, forecasts["calibrate"], fitted, coverage)
                for forecasts, fitted in zip(method.forecasts, by_seed, strict=True)
            ]
        ),
        source=f"{method.source}; calibrator {'/'.join(names)}{learns}",
        relearning_seconds=method.relearning_seconds,
    )
    return entry, by_seed[0].calibrator


def _cross_validated(
    task: Task, quantiles: Floats, fitted: Calibrated, coverage: float
) -> IntervalQuality:
    """The interval on the calibrate split, each fold calibrated by a fit on the others.

    Before calibration where the split is too short for folds.
    """
    forecast = forecast_of(task, "calibrate", quantiles)
    if forecast.n_observed_windows >= FEWEST_COMPARED_WINDOWS:
        forecast = cross_validated(forecast, fitted.calibrator.name, coverage=coverage)
    return measure_interval(forecast, coverage)
