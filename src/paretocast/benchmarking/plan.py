"""The plan of a benchmark: all choices, made before a test value is read."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from paretocast.benchmarking.configs import (
    DEFAULT,
    TUNED,
    ModelConfig,
    TrainedConfig,
    contest_members,
)
from paretocast.benchmarking.retraining import TEST
from paretocast.benchmarking.test_split import (
    check_comparable,
    hash_of_test,
    load_test_task,
    refuse_seen_test,
    validation_stop,
)
from paretocast.calibration import check_method
from paretocast.calibration.ensemble import ENSEMBLE, Members, weigh_members
from paretocast.data.issue_weather import measured_temperatures
from paretocast.errors import SettingsError, StoreError
from paretocast.formatting import did_you_mean
from paretocast.models.baselines.catalogue import BASELINES, installed_baselines
from paretocast.results.groups import forecast_of
from paretocast.training.pooling import KnownSeries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from paretocast.data.task import Task

REFERENCES = "references"
METHOD_GROUPS = (TUNED, DEFAULT, ENSEMBLE, REFERENCES)


@dataclass(frozen=True)
class BenchmarkPlan:
    """Tasks, configs, members of the ensemble, calibrators.

    Attributes
    ----------
    task : Task
        With the test split; of the first model.
    tasks : mapping of model to Task
    configs : tuple of ModelConfig
        One for each model.
    groups : tuple of str
        Of `METHOD_GROUPS`.
    members : Members or None
        Of the ensemble, indices into `offered`.
    offered : tuple of TrainedConfig
        Trials of the tied fronts, that the ensemble was chosen from.
    retrain_days : tuple of int or None
        Days of the test split after which methods learn again, None for never. The first gives
        the scores that are compared; what the others gain and cost is told against it.
    weather_error : float or None
        Standard deviation of an error of the temperature over the horizon, in its unit, under which
        the test split is forecast once more.
    known : KnownSeries
        What plans for other series of the same pool have read and prepared.
    """

    task: Task
    tasks: Mapping[str, Task]
    configs: tuple[ModelConfig, ...]
    groups: tuple[str, ...]
    references: tuple[str, ...]
    calibrators: tuple[str, ...]
    static: bool
    n_seeds: int
    refit: bool
    retrain_days: tuple[int | None, ...]
    members: Members | None
    offered: tuple[TrainedConfig, ...]
    weather_error: float | None = None
    known: KnownSeries = field(default_factory=KnownSeries, compare=False)

    @property
    def coverage(self) -> float:
        """Of the interval that is scored, percent."""
        return self.configs[0].settings.target_coverage

    @property
    def refit_until(self) -> int | None:
        """Position after the last hour that the final models learn from; None without refit."""
        return validation_stop(self.task) if self.refit else None

    def candidates(self) -> list[TrainedConfig]:
        """Every config that has to be trained, each once."""
        candidates: list[TrainedConfig] = []
        for config in self.configs:
            if TUNED in self.groups and config.kind == TUNED:
                candidates.append(config.chosen)
            if DEFAULT in self.groups or config.kind == DEFAULT:
                candidates.append(config.default)
        if self.members is not None:
            candidates += [self.offered[i] for i in self.members.indices]
        return [c for i, c in enumerate(candidates) if c not in candidates[:i]]

    def as_json(self) -> dict[str, Any]:
        """The plan for a result file."""
        first, last = self.task.issue_times(TEST)[[0, -1]]
        return {
            "test": {
                "first_issue": first.isoformat(),
                "last_issue": last.isoformat(),
                "n_issues": len(self.task.issues[TEST]),
                "sha256": hash_of_test(self.task),
            },
            "target_coverage": self.coverage,
            "horizon_steps": self.task.shape.horizon_steps,
            "levels": list(self.task.shape.levels),
            "n_seeds": self.n_seeds,
            "refit": "train+validation" if self.refit else None,
            "retrain_days": self.retrain_days[0],
            "calibrators": list(self.calibrators),
            "weather_error": self.weather_error,
            "static": self.static,
            "parameters": [
                {
                    "model": config.model,
                    "parameters": config.kind,
                    "config": config.chosen.config,
                    "source": config.source,
                }
                for config in self.configs
            ],
            "ensemble": None
            if self.members is None
            else [
                {
                    "model": self.offered[i].model,
                    "trial": self.offered[i].number,
                    "config": self.offered[i].config,
                    "weight": weight,
                }
                for i, weight in zip(self.members.indices, self.members.weights, strict=True)
            ],
        }


def split_methods(names: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return groups of methods, and baselines: those named, else all that are installed.

    Raises
    ------
    SettingsError
        If a name is neither, or there is none.
    """
    groups = tuple(name for name in names if name in METHOD_GROUPS)
    named = tuple(name for name in names if name in BASELINES)
    unknown = [name for name in names if name not in {*groups, *named}]
    if unknown or not names:
        raise SettingsError(
            f"method {', '.join(unknown) or 'none'} is unknown, expected some of "
            f"{', '.join((*METHOD_GROUPS, *BASELINES))}"
            f"{did_you_mean(unknown[0], (*METHOD_GROUPS, *BASELINES)) if unknown else ''}"
        )
    if named and "references" not in groups:
        return (*groups, "references"), named
    return groups, installed_baselines()


def plan_benchmark(
    configs: Sequence[ModelConfig],
    *,
    groups: Sequence[str],
    references: Sequence[str],
    calibrators: Sequence[str],
    static: bool = False,
    n_seeds: int = 1,
    refit: bool = False,
    retrain_days: Sequence[int | None] = (None,),
    weather_error: float | None = None,
    most_members: int = 4,
    known: KnownSeries | None = None,
) -> BenchmarkPlan:
    """A plan, once every study is known to have seen no test hour.

    Raises
    ------
    SettingsError
        If a name is unknown, or a weather error is asked for where no temperature can have one.
    StoreError
        If a study has seen the test split, or was made on other data.
    """
    for name in calibrators:
        check_method(name)
    if not retrain_days:
        raise SettingsError("retrain_days is empty, expected some of days and None for never")
    if unknown := [group for group in groups if group not in METHOD_GROUPS]:
        raise SettingsError(
            f"method {unknown[0]!r} is unknown, expected some of {', '.join(METHOD_GROUPS)}"
        )
    tasks = _load_tasks(configs)
    if weather_error is not None:
        if not (math.isfinite(weather_error) and weather_error > 0.0):
            raise SettingsError(f"weather error {weather_error:g}, expected a positive number")
        for task in tasks.values():
            measured_temperatures(task.series)
    for config in configs:
        refuse_seen_test(config, tasks[config.model])
        if config.settings.pool and (refit or any(days is not None for days in retrain_days)):
            raise SettingsError(
                f"{config.model} is one network for {len(config.settings.pool)} series, which "
                "does not learn from later hours: leave --refit and --retrain-every out, or name "
                "a study of this series alone with --run"
            )
    check_comparable(tasks)
    offered: tuple[TrainedConfig, ...] = ()
    members = None
    if ENSEMBLE in groups:
        offered, members = _plan_ensemble(configs, tasks, most=most_members)
    return BenchmarkPlan(
        task=tasks[configs[0].model],
        tasks=tasks,
        configs=tuple(configs),
        groups=tuple(groups),
        references=tuple(references) if REFERENCES in groups else (),
        calibrators=tuple(calibrators),
        static=static,
        n_seeds=n_seeds,
        refit=refit,
        retrain_days=tuple(dict.fromkeys(retrain_days)),
        weather_error=weather_error,
        members=members,
        offered=offered,
        known=KnownSeries() if known is None else known,
    )


def _load_tasks(configs: Sequence[ModelConfig]) -> dict[str, Task]:
    """The task of every model; one without a study is judged on the periods of the first study."""
    studies = [config.study for config in configs if config.study is not None]
    tasks = {}
    for config in configs:
        study = config.study or next(iter(studies), None)
        remembered = None if study is None else study.task_manifest
        tasks[config.model] = load_test_task(config.settings, remembered)
    return tasks


def _plan_ensemble(
    configs: Sequence[ModelConfig], tasks: Mapping[str, Task], *, most: int
) -> tuple[tuple[TrainedConfig, ...], Members | None]:
    """Trials of the tied fronts of all studies, and which average best on the tune split.

    Those of a study of several models are what that study has found.
    """
    contest = next((c.study for c in configs if c.study is not None and c.is_of_contest), None)
    if contest is not None:
        candidates, weights = contest_members(contest)
        if len(candidates) < 2:
            return candidates, None
        return candidates, Members(tuple(range(len(candidates))), weights, math.nan)
    offered, forecasts = [], []
    for config in configs:
        if config.study is None:
            continue
        for candidate in config.front:
            try:
                forecasts.append(config.study.forecasts(candidate.number or 0)["tune"])
            except StoreError:
                continue  # its forecasts were removed: it cannot be chosen
            offered.append(candidate)
    if len(offered) < 2:
        return tuple(offered), None
    task = next(iter(tasks.values()))
    offers = [forecast_of(task, "tune", quantiles) for quantiles in forecasts]
    members = weigh_members(offers, most=most)
    return tuple(offered), members if len(members.indices) > 1 else None
