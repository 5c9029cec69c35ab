"""Settings of a user, from TOML and options, as frozen, closed models.

Unknown keys are errors. Everything has a default, so an empty file is a valid one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from paretocast.data.collection import series_reference
from paretocast.data.dialect import Zone
from paretocast.data.scaling import Transform
from paretocast.data.spec import Frequency, find_spec
from paretocast.data.task import DENSE_LEVELS, HORIZON_HOURS, INPUT_HOURS, TaskShape
from paretocast.errors import ParetocastError, SettingsError, StoreError
from paretocast.formatting import did_you_mean
from paretocast.metrics.scores import SAME_LEVEL, central_levels
from paretocast.search.models import (
    MODELS,
    changed_space,
    default_config,
    model_label,
    model_name,
    models_of,
    possible_parameters,
)
from paretocast.search.objectives import (
    DEFAULT_OBJECTIVES,
    HONEST,
    HONEST_OBJECTIVES,
    HONEST_TOLERANCE,
    parse_constraints,
    parse_objectives,
)
from paretocast.search.recipe import RECIPE
from paretocast.search.selection import DEFAULT_POLICY, POLICIES
from paretocast.search.space import (
    DEFAULT_SAMPLER,
    MODEL,
    Choice,
    Contest,
    FloatRange,
    IntRange,
    Parameter,
    Value,
    check_sampler,
    model_in,
)
from paretocast.steps import FREQUENCIES, HOURS_PER_DAY
from paretocast.toml import ClosedModel, checked, parse_table, read_toml
from paretocast.workspace.runs import TWO_STAGE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from paretocast.search.space import AnySpace, Config, Space

# A step per 48 training windows: neighbouring windows repeat each other. Below 600 steps the
# schedule has no time to work, whatever the size of the series. A model that corrects an anchor is
# at its best after a third of that.
WINDOWS_PER_STEP = 48
FEWEST_STEPS, MOST_STEPS = 600, 3000
ANCHORED_SHARE = 1 / 3
STORAGES = ("sqlite", "journal")
BEYOND_SENSE = 50

_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")
_DURATION = re.compile(r"(\d+) ?(min|h|d|w)")
_DAYS = {"min": 1.0 / (60 * HOURS_PER_DAY), "h": 1.0 / HOURS_PER_DAY, "d": 1.0, "w": 7.0}
HOURLY = "1h"

FIRST_STAGE, FIRST_STAGE_POLICY = ("mae",), "min-mae"


class TaskSettings(ClosedModel):
    """Table `[task]`: what a forecast looks like.

    `input` and `horizon` are durations such as "7d" and "24h"; `input_steps` and `horizon_steps`
    say the same in steps of the series.
    """

    step: Annotated[Frequency, Field(description="that of the data set, which sets it")] = HOURLY
    input_steps: Annotated[
        int, Field(ge=7, le=43_800, description="steps of history a model sees")
    ] = INPUT_HOURS
    horizon_steps: Annotated[int, Field(ge=1, le=8760, description="steps ahead")] = HORIZON_HOURS
    issue_hour: Annotated[int, Field(ge=0, le=23, description="hour of the daily issue")] = 0
    issue_zone: Annotated[Zone, Field(description="time zone of issue_hour")] = "UTC"
    levels: Annotated[tuple[float, ...], Field(max_length=999)] = DENSE_LEVELS
    features: tuple[str, ...] | None = None

    @model_validator(mode="before")
    @classmethod
    def _durations_are_steps(cls, values: object) -> object:
        """Turn durations into steps, and give a series of another step its own defaults."""
        if not isinstance(values, dict):
            return values
        per_day = FREQUENCIES.get(str(values.get("step", HOURLY)))
        if per_day is None:
            return values
        default = TaskShape.of_step(per_day)
        steps = {"input": default.input_steps, "horizon": default.horizon_steps}
        changed = dict(values)
        for name, usual in steps.items():
            if name in changed:
                if f"{name}_steps" in changed:
                    raise ValueError(
                        f"{name} and {name}_steps are both given, expected one of them"
                    )
                changed[f"{name}_steps"] = _n_steps(name, changed.pop(name), per_day)
            elif per_day != FREQUENCIES[HOURLY]:
                changed.setdefault(f"{name}_steps", usual)
        return changed

    @model_validator(mode="after")
    def _fits_the_step(self) -> TaskSettings:
        if self.input_steps < self.steps_per_day:
            raise ValueError(
                f"input_steps is {self.input_steps}, expected at least the {self.steps_per_day} of "
                "a day"
            )
        if self.steps_per_day == 1 and (self.issue_hour != 0 or self.issue_zone != "UTC"):
            raise ValueError(
                "a daily series has no hour of issue: leave issue_hour and issue_zone out"
            )
        return self

    @property
    def steps_per_day(self) -> int:
        """Steps of the series in 24 hours."""
        return FREQUENCIES[self.step]

    @field_validator("levels")
    @classmethod
    def _levels_are_a_grid(cls, levels: tuple[float, ...]) -> tuple[float, ...]:
        if sorted(set(levels)) != list(levels) or not all(0.0 < level < 1.0 for level in levels):
            raise ValueError("levels must ascend strictly inside (0, 1)")
        if 0.5 not in levels:
            raise ValueError("levels must hold the median 0.5: it is the point forecast")
        if levels[0] > 0.1 or levels[-1] < 0.9:
            raise ValueError(
                "levels must reach from at most 0.1 to at least 0.9: pinball is reported there"
            )
        return levels

    def shape(self) -> TaskShape:
        """The same as the task takes it."""
        return TaskShape(
            input_steps=self.input_steps,
            horizon_steps=self.horizon_steps,
            issue_hour=self.issue_hour,
            issue_zone=self.issue_zone,
            levels=self.levels,
            steps_per_day=self.steps_per_day,
        )


def _n_steps(name: str, duration: object, per_day: int) -> int:
    """Return the steps of a duration such as "7d"."""
    match = _DURATION.fullmatch(duration.strip()) if isinstance(duration, str) else None
    if match is None:
        raise ValueError(
            f"{name} is {duration!r}, expected a duration such as 30min, 24h, 7d or 2w"
        )
    steps = int(match[1]) * _DAYS[match[2]] * per_day
    if steps < 1 or abs(steps - round(steps)) > 1e-6:
        raise ValueError(f"{name} is {duration}, expected a multiple of the step of the data set")
    return round(steps)


class TrainingSettings(ClosedModel):
    """Table `[training]`: the recipe that all trials share.

    `steps` and `epochs` are two ways to say the budget; at most one may be given.
    """

    steps: Annotated[int, Field(ge=1, le=10**7)] | None = None
    epochs: Annotated[float, Field(gt=0.0, le=10**5)] | None = None
    batch_size: (
        Annotated[int, Field(ge=1, le=10**5, description="None: by model and device")] | None
    ) = None
    weight_decay: Annotated[
        float, Field(ge=0.0, description="where the space does not search it")
    ] = 1e-4
    clip_norm: Annotated[float, Field(gt=0.0)] = 1.0
    average_share: Annotated[float, Field(gt=0.0, le=1.0)] = 0.1
    n_evaluations: Annotated[int, Field(ge=1, le=10**5)] = 9
    n_rungs: (
        Annotated[
            int,
            Field(ge=1, le=1000, description="1 trains every trial to the end; None: by anchor"),
        ]
        | None
    ) = None
    patience: Annotated[int, Field(ge=1, le=10**5)] = 4
    transform: Transform = Transform.AUTO
    anchor: Annotated[
        Literal["auto", "ridge", "none"], Field(description="first guess that the models correct")
    ] = "auto"

    @model_validator(mode="after")
    def _one_budget(self) -> TrainingSettings:
        if self.steps is not None and self.epochs is not None:
            raise ValueError("steps and epochs are both given, expected one of them")
        return self

    def budget_steps(self, n_windows: int, *, batch_size: int, anchored: bool = False) -> int:
        """Gradient steps of a full trial on `n_windows` training windows."""
        if self.steps is not None:
            return self.steps
        if self.epochs is not None:
            return max(1, round(self.epochs * n_windows / batch_size))
        steps = min(MOST_STEPS, max(FEWEST_STEPS, 100 * round(n_windows / WINDOWS_PER_STEP / 100)))
        return round(steps * ANCHORED_SHARE) if anchored else steps

    def rungs(self, *, anchored: bool) -> int:
        """Number of comparisons of a trial with the others, its end included.

        Once where models correct an anchor: after a third of their few steps, those that have not
        begun to learn look best.
        """
        return self.n_rungs or (1 if anchored else 2)


class RangeSettings(ClosedModel):
    """A range of the space as a table.

    `{low = 0.0, high = 0.5, log = false}` or `{values = [..]}`.
    """

    low: int | float | None = None
    high: int | float | None = None
    log: bool | None = None
    values: tuple[Value, ...] | None = None

    @model_validator(mode="after")
    def _range_or_values(self) -> RangeSettings:
        ranged = self.low is not None and self.high is not None
        if ranged == (self.values is not None) or (self.low is None) != (self.high is None):
            raise ValueError("expected either low and high, or values")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low {self.low} lies above high {self.high}")
        if self.log and (self.low is None or self.low <= 0):
            raise ValueError("a log scale needs low above 0")
        if self.values is not None and not self.values:
            raise ValueError("values is empty")
        if self.values is not None and len({isinstance(value, str) for value in self.values}) > 1:
            raise ValueError("values are numbers or texts, not both")
        return self

    @field_validator("values", mode="before")
    @classmethod
    def _no_truth_values(cls, values: object) -> object:
        if isinstance(values, list | tuple) and any(isinstance(value, bool) for value in values):
            raise ValueError("true and false are no values of a parameter")
        return values

    def parameter(self, published: Parameter) -> Parameter:
        """The same as the search takes it, of the kind of the range it replaces.

        Raises
        ------
        SettingsError
            If a whole number lies far beyond those of the published range: a network of a million
            layers fits no machine.
        """
        largest = _largest(published)
        asked = (self.low, self.high, *(self.values or ()))
        for value in asked:
            if (
                largest is not None
                and isinstance(value, int)
                and abs(value) > BEYOND_SENSE * largest
            ):
                raise SettingsError(
                    f"{value} is more than {BEYOND_SENSE} times the published {largest}"
                )
        if self.values is not None:
            return Choice(self.values)
        low, high = self.low or 0, self.high or 0
        if isinstance(published, FloatRange):
            log = published.log if self.log is None else self.log
            return FloatRange(float(low), float(high), log=log and low > 0)
        if self.log or int(low) != low or int(high) != high:
            raise SettingsError(f"expected whole numbers on a linear scale, got {low} to {high}")
        return IntRange(int(low), int(high))


class RacingSettings(ClosedModel):
    """Table `[racing]`: how far trials near the front are trained again with other seeds."""

    max_seeds: Annotated[int, Field(ge=1, le=1000, description="trainings of a trial")] = 3
    share: Annotated[
        float, Field(ge=0.0, lt=1.0, description="of all gradient steps, for repeats")
    ] = 0.2


def _largest(published: Parameter) -> int | None:
    """The largest whole number of a range; None where there is none above 0."""
    ends = published.values if isinstance(published, Choice) else (published.high,)
    numbers = [value for value in ends if isinstance(value, int) and not isinstance(value, bool)]
    return max(numbers, default=0) or None


def _check_storage(storage: str | None) -> str | None:
    if storage is not None and storage not in STORAGES and "://" not in storage:
        raise SettingsError("expected sqlite, journal, or a URL such as postgresql://user@host/db")
    return storage


def _recipe_names(names: tuple[str, ...]) -> tuple[str, ...]:
    if unknown := sorted(set(names) - set(RECIPE)):
        raise SettingsError(
            f"recipe has no parameter {', '.join(unknown)}, expected some of {', '.join(RECIPE)}"
        )
    return tuple(name for name in RECIPE if name in names)


def _series_names(names: tuple[str, ...]) -> tuple[str, ...]:
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise SettingsError(f"pool names {', '.join(repeated)} twice, expected each series once")
    return names


def _check_device(device: str) -> str:
    if not _DEVICE.fullmatch(device):
        raise SettingsError(f"got {device!r}, expected auto, cpu, cuda or cuda:N")
    return device


def _check_policy(policy: str) -> str:
    if policy not in POLICIES:
        raise SettingsError(
            f"policy {policy!r} is unknown, expected one of {', '.join(POLICIES)}"
            f"{did_you_mean(policy, POLICIES)}"
        )
    return policy


def _objective_names(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(objective.name for objective in parse_objectives(names))


def _constraint_texts(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(str(constraint) for constraint in parse_constraints(texts))


class TuneSettings(ClosedModel):
    """Everything `paretocast tune` needs beside the data set."""

    model: Annotated[
        str, checked(model_label), Field(description="one model, several joined by commas, or all")
    ] = "NHITS_Q"
    dataset: str = "demo"
    pool: Annotated[
        tuple[str, ...],
        checked(_series_names),
        Field(description="series of the data set's file that one network is trained on"),
    ] = ()
    trials: Annotated[
        int, Field(ge=1, le=10**6, description="total trials of the study, earlier ones included")
    ] = 20
    time_limit_seconds: Annotated[float, Field(gt=0.0, le=10**9)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    device: Annotated[str, checked(_check_device)] = "auto"
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    workers: Annotated[int, Field(ge=1, le=10**4, description="processes that share the study")] = 1
    storage: Annotated[
        str | None,
        checked(_check_storage),
        Field(description="sqlite, journal or a URL", repr=False),  # it may hold a password
    ] = None
    patience: (
        Annotated[int, Field(ge=1, le=10**6, description="trials without growth of the front")]
        | None
    ) = None
    patience_growth: Annotated[
        float, Field(ge=0.0, description="percent of the front's hypervolume")
    ] = 1.0
    max_deaths: Annotated[
        int,
        Field(
            ge=1,
            le=10**6,
            description="processes that may die over a training before it has failed",
        ),
    ] = 5
    max_weights: Annotated[
        int,
        Field(ge=1, le=10**12, description="of the networks of a config that is proposed"),
    ] = 10**8
    target_coverage: Annotated[float, Field(gt=1.0, lt=100.0, description="percent")] = 80.0
    sampler: Annotated[str, checked(check_sampler)] = DEFAULT_SAMPLER
    objectives: Annotated[tuple[str, ...], checked(_objective_names)] = DEFAULT_OBJECTIVES
    require: Annotated[tuple[str, ...], checked(_constraint_texts)] = ()
    warm_start: tuple[str, ...] = ()
    policy: Annotated[str, checked(_check_policy)] = DEFAULT_POLICY
    strategy: Literal["single-stage", "two-stage"] = "single-stage"
    covariates: tuple[str, ...] | None = None
    data_dir: str | None = None
    task: TaskSettings = TaskSettings()
    training: TrainingSettings = TrainingSettings()
    racing: RacingSettings = RacingSettings()
    recipe: Annotated[
        tuple[str, ...],
        checked(_recipe_names),
        Field(description="what is searched beside the architecture of a network"),
    ] = tuple(RECIPE)
    space: dict[str, dict[str, RangeSettings]] = {}  # noqa: RUF012  (pydantic copies it)

    @model_validator(mode="before")
    @classmethod
    def _first_stage_minimises_mae(cls, values: object) -> object:
        """Set the objectives of a two-stage study unless others are given."""
        if not isinstance(values, dict) or values.get("strategy") != TWO_STAGE:
            return values
        return {"objectives": FIRST_STAGE, "policy": FIRST_STAGE_POLICY, **values}

    @model_validator(mode="before")
    @classmethod
    def _honest_is_a_set_of_objectives(cls, values: object) -> object:
        if not isinstance(values, dict) or values.get("objectives") not in ([HONEST], (HONEST,)):
            return values
        target = values.get("target_coverage", 80.0)
        if not isinstance(target, int | float):
            return {**values, "objectives": HONEST_OBJECTIVES}  # its own check names it
        low, high = target - HONEST_TOLERANCE, min(100.0, target + HONEST_TOLERANCE)
        bounds = (f"calibrated_picp >= {low:g}", f"calibrated_picp <= {high:g}")
        return {"require": bounds, **values, "objectives": HONEST_OBJECTIVES}

    @property
    def two_stage(self) -> bool:
        """True if the search has a second stage, which finds the levels of the interval."""
        return self.strategy == TWO_STAGE

    @model_validator(mode="after")
    def _stages_share_the_work(self) -> TuneSettings:
        if self.two_stage and self.objectives != FIRST_STAGE:
            raise ValueError(
                f"strategy {TWO_STAGE} has the objective mae and finds the coverage in its second "
                f"stage, got objectives {','.join(self.objectives)}"
            )
        return self

    @model_validator(mode="after")
    def _pool_is_of_networks(self) -> TuneSettings:
        if not self.pool:
            return self
        others = [name for name in models_of(self.model) if not MODELS[name].is_network]
        if others:
            raise ValueError(
                f"pool is for networks, got model {', '.join(others)}; tune it for each series"
            )
        if self.two_stage:
            raise ValueError(f"pool is for a search of one stage, got strategy {TWO_STAGE}")
        return self

    def of_series(self, name: str) -> TuneSettings:
        """The settings of one series of the pool."""
        return self.model_copy(update={"dataset": series_reference(self.dataset, name)})

    @model_validator(mode="after")
    def _levels_hold_the_interval(self) -> TuneSettings:
        low, high = central_levels(self.target_coverage)
        levels = self.task.levels
        if low < levels[0] - SAME_LEVEL or high > levels[-1] + SAME_LEVEL:
            raise ValueError(
                f"target_coverage {self.target_coverage:g} needs levels {low:g} and {high:g}, "
                f"task.levels go from {levels[0]:g} to {levels[-1]:g}"
            )
        return self

    @model_validator(mode="after")
    def _spaces_are_possible(self) -> TuneSettings:
        for name, ranges in self.space.items():
            try:
                _space_of(model_name(name), ranges)
            except SettingsError as error:
                raise ValueError(f"space.{name}: {error}") from error
        return self

    def search_space(self) -> AnySpace:
        """Ranges of the model, with those of `[space.MODEL]` in their place; of several a contest.

        A setting that differs from its default is fixed: it is not searched.
        """
        models = models_of(self.model)
        spaces = {name: self.space_of_model(name) for name in models}
        return spaces[models[0]] if len(models) == 1 else Contest(spaces)

    def default_of(self, config: Mapping[str, Value]) -> Config | None:
        """The default config of a config's model, as this study would hold it."""
        model = model_in(config, self.model)
        default = default_config(model, self.space_of_model(model), self.task.steps_per_day)
        return default if default is None or MODEL not in config else {MODEL: model, **default}

    def space_of_model(self, model: str | None = None) -> Space:
        """Ranges of one model of the study, or of its only one."""
        model = self.model if model is None else model
        ranges: dict[str, RangeSettings] = {}
        for name, changes in self.space.items():
            if model_name(name) == model:
                ranges |= changes
        return _space_of(
            model,
            ranges,
            recipe=self._searched_recipe(),
            steps_per_day=self.task.steps_per_day,
        )

    def _searched_recipe(self) -> tuple[str, ...]:
        fixed = {
            "input_steps": self.task.input_steps
            != TaskShape.of_step(self.task.steps_per_day).input_steps,
            "transform": self.training.transform is not Transform.AUTO,
            "anchor": self.training.anchor != "auto",
            "steps_factor": (self.training.steps or self.training.epochs) is not None,
        }
        return tuple(name for name in self.recipe if not fixed.get(name, False))


def load_settings(path: Path | None, overrides: Mapping[str, Any]) -> TuneSettings:
    """Settings from a TOML file with options on top.

    Parameters
    ----------
    overrides : mapping
        As the TOML would be parsed, nested tables as mappings; None means "not given".

    Raises
    ------
    SettingsError
        If the file cannot be read, a key is unknown or a value is not allowed.
    """
    table = _with_step(_merged(_read(path), overrides))
    origin = str(path) if path is not None else "the options"
    return parse_table(TuneSettings, table, origin=origin)


def _with_step(table: dict[str, Any]) -> dict[str, Any]:
    """The table of settings with the step of its data set."""
    task = table.get("task", {})
    dataset = table.get("dataset", "demo")
    if not isinstance(task, dict) or not isinstance(dataset, str):
        return table
    if pool := table.get("pool"):
        dataset = series_reference(dataset, str(next(iter(pool))))
    try:
        step = find_spec(dataset).frequency
    except ParetocastError:  # who loads the data says what is wrong with it
        return table
    if step == task.get("step", HOURLY):
        return table
    return {**table, "task": {**task, "step": step}}


def stored_settings(stored: Mapping[str, Any], *, origin: str) -> TuneSettings:
    """The settings that a study was stored with.

    Parameters
    ----------
    origin : str
        The file that holds them; it opens the error.

    Raises
    ------
    StoreError
        If they are damaged, or those of a version with other settings.
    """
    try:
        return parse_table(TuneSettings, _completed(stored), origin=f"settings in {origin}")
    except SettingsError as error:
        raise StoreError(f"{error}; use the version of Paretocast that wrote it") from error


def _completed(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Stored settings as they were meant, where the study is older than some of them."""
    # Before there was a recipe, the architecture alone was searched.
    return {"recipe": (), **stored}


def continue_settings(
    stored: Mapping[str, Any], path: Path | None, overrides: Mapping[str, Any], *, origin: str
) -> TuneSettings:
    """Settings of an earlier run of a study with a file's and then the options' values on top.

    Parameters
    ----------
    origin : str
        The file that holds the stored ones, for an error.

    Raises
    ------
    StoreError
        If the stored ones cannot be used.
    SettingsError
        If the others cannot.
    """
    stored_settings(stored, origin=origin)
    changed = _merged(_read(path), overrides)
    base = {**_completed(stored), "time_limit_seconds": None}
    budget = changed.get("training", {})
    if budget.get("epochs") is not None or budget.get("steps") is not None:
        base["training"] = {**base["training"], "steps": None, "epochs": None}
    given = {f"{name}_steps" for name in ("input", "horizon") if name in changed.get("task", {})}
    if given:
        base["task"] = {name: v for name, v in base["task"].items() if name not in given}
    return load_settings(None, _merged(base, changed))


def _space_of(
    model: str,
    ranges: Mapping[str, RangeSettings],
    *,
    recipe: Sequence[str] = (),
    steps_per_day: int = FREQUENCIES[HOURLY],
) -> Space:
    parameters = possible_parameters(model)
    changes: Space = {}
    for key, value in ranges.items():
        try:
            changes[key] = value.parameter(parameters[key]) if key in parameters else Choice(())
        except SettingsError as error:
            raise SettingsError(f"{key}: {error}") from error
    return changed_space(model, changes, recipe=recipe, steps_per_day=steps_per_day)


def _read(path: Path | None) -> dict[str, Any]:
    return {} if path is None else read_toml(path, "settings file")


def _merged(table: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(table)
    for key, value in overrides.items():
        if isinstance(value, dict):
            below = merged.get(key, {})
            # What is no table stays: its check names it.
            merged[key] = _merged(below, value) if isinstance(below, dict) else below
        elif value is not None:
            merged[key] = value
    return merged
