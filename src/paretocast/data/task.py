"""The forecasting task: series, shape of a forecast, and the splits that steps belong to.

A *position* is an index into the grid; the issue position p of a window is its first horizon step.
Its history is [p - input_steps, p), its horizon [p, p + horizon_steps).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import math
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import metadata
from itertools import cycle
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd

from paretocast.data.checks import at, errors_among
from paretocast.data.features import (
    ColumnStandards,
    FeatureTable,
    build_features,
    train_standards,
)
from paretocast.data.gaps import LONGEST_FILL_HOURS, SeenTarget
from paretocast.data.issue_weather import with_issue_weather
from paretocast.data.parsing import LATER_HOURS
from paretocast.data.periods import check_windows
from paretocast.data.reading import Dataset, load_dataset
from paretocast.data.repair import REPAIRED
from paretocast.data.series import DAY, SplitDates, step_of
from paretocast.errors import DataError
from paretocast.steps import STEPS_PER_DAY, frequency_of, noun, steps_of, steps_per_hour

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from paretocast.data.checks import Finding
    from paretocast.data.series import Calendar, Series

DENSE_LEVELS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
VALIDATION_SPLITS = ("stop", "tune", "calibrate")
PURGE_DAYS = 1
DAYS_PER_WEEK = 7
# Of a daily series, whose week ahead is what a day ahead is to others.
DAILY_INPUT_STEPS, DAILY_HORIZON_STEPS = 28, 7
INPUT_HOURS, HORIZON_HOURS = 168, 24
MANIFEST_SCHEMA_VERSION = 1
MARK_DIGITS = 6
DATA_HASHES = ("data_sha256", "weather_sha256")  # keys of a manifest that change with values alone


@dataclass(frozen=True)
class TaskShape:
    """Shape of a forecast and time of its issue.

    Attributes
    ----------
    issue_hour : int
        Hour of the day, in `issue_zone`, of the first forecast hour.
    levels : tuple of float
        Quantile levels, unitless, ascending, with the median among them.
    steps_per_day : int
        Steps of the series in 24 hours.
    """

    input_steps: int = INPUT_HOURS
    horizon_steps: int = HORIZON_HOURS
    issue_hour: int = 0
    issue_zone: str = "UTC"
    levels: tuple[float, ...] = DENSE_LEVELS
    steps_per_day: int = STEPS_PER_DAY

    @classmethod
    def of_step(cls, steps_per_day: int) -> TaskShape:
        """The default shape for a series: a week to see a day ahead, four to see a week by days."""
        if steps_per_day == 1:
            return cls(DAILY_INPUT_STEPS, DAILY_HORIZON_STEPS, steps_per_day=1)
        return cls(
            steps_of(INPUT_HOURS, steps_per_day),
            steps_of(HORIZON_HOURS, steps_per_day),
            steps_per_day=steps_per_day,
        )

    @cached_property
    def step(self) -> pd.Timedelta:
        """Time from one step to the next."""
        return DAY / self.steps_per_day

    @property
    def steps_per_week(self) -> int:
        """Steps of the series in seven times 24 hours."""
        return DAYS_PER_WEEK * self.steps_per_day

    @property
    def steps_per_hour(self) -> int:
        """Steps of the series in an hour; 1 where a step is an hour or longer."""
        return steps_per_hour(self.steps_per_day)

    @property
    def purge_steps(self) -> int:
        """Steps between two validation blocks that serve neither."""
        return PURGE_DAYS * self.steps_per_day

    @property
    def block_steps(self) -> int:
        """Length of a validation block: whole weeks, a week more than a long horizon needs."""
        beyond_a_day = max(0, self.horizon_steps - self.steps_per_day)
        return (1 + math.ceil(beyond_a_day / self.steps_per_week)) * self.steps_per_week


@dataclass(frozen=True)
class Block:
    """Steps [start, stop) of the grid that belong to one split."""

    split: str
    start: int
    stop: int


def daily_positions(index: pd.DatetimeIndex, shape: TaskShape) -> NDArray[np.intp]:
    """Positions of the first step of the daily issue hour, ascending; every one of a daily series.

    In a zone with daylight saving time the issue hour that is skipped in spring is left out, and
    the first of the two in autumn is used.
    """
    if shape.steps_per_day == 1:
        return np.arange(len(index))
    local = index.tz_convert(shape.issue_zone)
    positions: NDArray[np.intp] = np.flatnonzero(local.hour == shape.issue_hour)
    first_of_day: NDArray[np.bool_] = ~local[positions].tz_localize(None).normalize().duplicated()
    return positions[first_of_day]


def is_daily_issue(stamp: pd.Timestamp, shape: TaskShape) -> bool:
    """True for a step that `daily_positions` finds in a longer index.

    >>> both = pd.date_range("2020-10-25", periods=2, freq="h", tz="UTC")
    >>> [is_daily_issue(hour, TaskShape(issue_hour=2, issue_zone="Europe/Berlin")) for hour in both]
    [True, False]
    """
    if shape.steps_per_day == 1:
        return True
    local = stamp.tz_convert(shape.issue_zone)
    # Of an hour that happens twice the first is the issue: look at the hour before, too.
    before = [local - step * shape.step for step in range(1, shape.steps_per_hour + 1)]
    hour = (local.date(), shape.issue_hour)
    return local.hour == shape.issue_hour and hour not in [(b.date(), b.hour) for b in before]


def plan_validation_blocks(start: int, stop: int, shape: TaskShape) -> tuple[Block, ...]:
    """Alternating stop / tune / calibrate blocks of whole weeks with a purge day between them.

    Parameters
    ----------
    start, stop : int
        The validation period is [start, stop) and starts with an issue position.

    Raises
    ------
    DataError
        If not every split gets a block.
    """
    blocks = []
    position = start
    for split in cycle(VALIDATION_SPLITS):
        if position + shape.block_steps > stop:
            break
        blocks.append(Block(split, position, position + shape.block_steps))
        position += shape.block_steps + shape.purge_steps
    blocks = blocks[: len(blocks) // len(VALIDATION_SPLITS) * len(VALIDATION_SPLITS)]
    if not blocks:
        needed = len(VALIDATION_SPLITS) * (shape.block_steps + shape.purge_steps)
        needed -= shape.purge_steps
        raise DataError(
            f"the validation period holds {(stop - start) / shape.steps_per_day:.0f} days, "
            f"expected at least {needed / shape.steps_per_day:.0f} for one stop, one tune and "
            "one calibrate block; move train_to back or validation_to forward in [splits]"
        )
    return tuple(blocks)


class ShapeSettings(Protocol):
    """The part of `settings.TaskSettings` that a task is planned from."""

    @property
    def features(self) -> tuple[str, ...] | None:
        """Groups of features; all that the series allows for None."""

    def shape(self) -> TaskShape:
        """Return the shape of a forecast."""


class DataSettings(Protocol):
    """The part of `settings.TuneSettings` that a task is planned from."""

    @property
    def dataset(self) -> str:
        """Name of a data set, or path of a TOML file."""

    @property
    def data_dir(self) -> str | None:
        """Folder of the data files."""

    @property
    def covariates(self) -> tuple[str, ...] | None:
        """Covariates to use; those of the data set for None."""

    @property
    def task(self) -> ShapeSettings:
        """The shape of the task and its features."""


def plan_blocks(index: pd.DatetimeIndex, dates: SplitDates, shape: TaskShape) -> tuple[Block, ...]:
    """Validation blocks of a series, from the first issue time of the validation period on.

    Raises
    ------
    DataError
        If the validation period holds no issue time, or not every split gets a block.
    """
    daily = daily_positions(index, shape)
    stop = position_after(index, dates.validation_to)
    issues = daily[(daily >= position_after(index, dates.train_to)) & (daily < stop)]
    if not issues.size:
        raise DataError(
            f"no issue time between {dates.train_to} and {dates.validation_to}: "
            "the validation period is empty"
        )
    return plan_validation_blocks(int(issues[0]), stop, shape)


@dataclass(frozen=True)
class Task:
    """A series with its features, cut into windows and divided into splits.

    Attributes
    ----------
    series : Series
        The hours that may be read. `plan_task` removes everything after the validation period
        unless the test split is asked for.
    issues : mapping of str to ndarray
        Issue positions of the splits train (every step), stop, tune, calibrate and test (daily).
    standards : mapping of str to (float, float, float, float), optional
        Mean, standard deviation, lowest and highest value by column, as `ColumnStandards`; those
        of the train period without it. A deployed model brings its own.
    notes : tuple of str
        Sentences on hours of the data that the task leaves aside, on what was repaired, and on
        splits with little to learn from.
    """

    series: Series
    features: FeatureTable
    shape: TaskShape
    dates: SplitDates
    blocks: tuple[Block, ...]
    issues: Mapping[str, NDArray[np.intp]]
    standards: Mapping[str, tuple[float, float, float, float]] | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def from_settings(
        cls,
        settings: DataSettings,
        *,
        dataset: Dataset | None = None,
        remembered: Mapping[str, Any] | None = None,
        with_test: bool = False,
    ) -> Task:
        """Plan the task that settings describe.

        Parameters
        ----------
        dataset : Dataset, optional
            The data set of the settings, where it has been loaded already.
        remembered : mapping, optional
            The manifest of the task of an earlier study, as of `load_data`.
        with_test : bool
            Keep the test split; the benchmark alone asks for it.

        Raises
        ------
        ParetocastError
            If the data set is not there or cannot be used.
        """
        dataset = dataset or load_data(settings, remembered)
        task = plan_task(
            dataset.series,
            dataset.dates,
            shape=settings.task.shape(),
            feature_groups=settings.task.features,
            with_test=with_test,
        )
        told = [f for f in dataset.findings if f.code in {LATER_HOURS, REPAIRED}]
        notes = tuple(str(finding) for finding in (*told, *_checked_windows(task)))
        return replace(task, notes=notes)

    @cached_property
    def seen(self) -> SeenTarget:
        """Target with the first hours of gaps filled from the past, as it is seen at issues."""
        return self._filled(steps_of(LONGEST_FILL_HOURS, self.shape.steps_per_day))

    @cached_property
    def seen_whole(self) -> SeenTarget:
        """Target with every gap filled from the past, as it is seen at issues.

        NaN before the first observation.
        """
        return self._filled(None)

    def _filled(self, longest_steps: int | None) -> SeenTarget:
        return SeenTarget.of(
            self.series.values,
            delay_steps=self.series.delay_steps,
            longest_steps=longest_steps,
            steps_per_day=self.shape.steps_per_day,
        )

    @cached_property
    def standardised(self) -> FeatureTable:
        """The features with mean 0 and deviation 1, clipped to their limits."""
        return self.features.scaled(self.standards_of(self.features))

    def standards_of(self, table: FeatureTable) -> ColumnStandards:
        """Standards of the columns of a table: those of the task, or of its train period.

        Raises
        ------
        DataError
            If the task brings standards, and none for a column.
        """
        if self.standards is None:
            return train_standards(table.values[: self.train_stop])
        if unknown := [name for name in table.names if name not in self.standards]:
            raise DataError(f"no mean and deviation are stored for {', '.join(unknown)}")
        stored = np.array([self.standards[name] for name in table.names], dtype=np.float64)
        return ColumnStandards(*stored.reshape(-1, 4).T)

    @property
    def train_stop(self) -> int:
        """Position after the last hour of the train period; scalers see nothing at or beyond it."""
        return position_after(self.series.index, self.dates.train_to)

    @cached_property
    def lower_bound(self) -> float | None:
        """0 in target units where no value of the train period is negative, else None."""
        train = self.series.values[: self.train_stop]
        observed = train[~np.isnan(train)]
        return 0.0 if observed.size and observed.min() >= 0.0 else None

    def observed(self, split: str) -> NDArray[np.float64]:
        """Target of every horizon of a split, (N, H), in target units; NaN where missing."""
        return self.series.values[self.horizon_positions(split)]

    def horizon_positions(self, split: str) -> NDArray[np.intp]:
        """Positions of the horizon hours of a split, (N, H)."""
        steps: NDArray[np.intp] = np.arange(self.shape.horizon_steps)
        return self.issues[split][:, None] + steps

    def issue_times(self, split: str) -> pd.DatetimeIndex:
        """First horizon hour of every window of a split, UTC."""
        return self.series.index[self.issues[split]]

    @property
    def assumptions(self) -> tuple[str, ...]:
        """Sentences on what the scores take for granted; empty if nothing."""
        ahead = self.series.measured_ahead
        if not ahead:
            return ()
        sentence = (
            f"{', '.join(ahead)}: observed values stand in for forecasts over the horizon, "
            "so the scores assume a perfect weather forecast"
        )
        return (sentence,)

    def manifest(self) -> dict[str, Any]:
        """Everything that makes two runs comparable, as JSON values.

        The hashes of data and weather runs cover the hours before the test period: what a search
        may read.
        """
        content: dict[str, Any] = {
            "schema_version": MANIFEST_SCHEMA_VERSION,
            "series": self.series.name,
            "unit": self.series.unit,
            "calendar": _calendar_json(self.series.calendar),
            "input_steps": self.shape.input_steps,
            "horizon_steps": self.shape.horizon_steps,
            "issue_hour": self.shape.issue_hour,
            "issue_zone": self.shape.issue_zone,
            "levels": list(self.shape.levels),
            "periods": {
                "train": [self.series.index[0].isoformat(), self.dates.train_to.isoformat()],
                "validation": [
                    (self.dates.train_to + self.shape.step).isoformat(),
                    self.dates.validation_to.isoformat(),
                ],
                "test": [
                    (self.dates.validation_to + self.shape.step).isoformat(),
                    self.dates.test_to.isoformat(),
                ],
            },
            "blocks": [
                {
                    "split": block.split,
                    "from": self.series.index[block.start].isoformat(),
                    "to": self.series.index[block.stop - 1].isoformat(),
                }
                for block in self.blocks
            ],
            "n_issues": {
                name: len(positions) for name, positions in self.issues.items() if name != "test"
            },
            "features": [
                {"name": name, "role": str(role)}
                for name, role in zip(self.features.names, self.features.roles, strict=True)
            ],
            "data_sha256": self._data_hash(),
        }
        if self.series.delay_hours:
            content["delay_hours"] = self.series.delay_hours
        if self._development.runs is not None:
            content["weather_sha256"] = self._development.runs.sha256
        if self.shape.steps_per_day != STEPS_PER_DAY:
            content["step"] = frequency_of(self.shape.steps_per_day)
        return content

    @property
    def _development(self) -> Series:
        return self.series.before(self.dates.validation_to + self.shape.step)

    def day_marks(self) -> str:
        """Six hexadecimal digits for every 24 hours before the test period, from its values."""
        series, per_day = self._development, self.shape.steps_per_day
        hours = np.column_stack([series.values, *(c.values for c in series.covariates)])
        days = (hours[i : i + per_day] for i in range(0, len(hours), per_day))
        return "".join(hashlib.sha256(day.tobytes()).hexdigest()[:MARK_DIGITS] for day in days)

    def _data_hash(self) -> str:
        digest = hashlib.sha256()
        development = self._development
        digest.update(development.index.asi8.tobytes())
        digest.update(development.values.tobytes())
        for covariate in development.covariates:
            digest.update(covariate.name.encode())
            digest.update(covariate.values.tobytes())
        return digest.hexdigest()


def _checked_windows(task: Task) -> list[Finding]:
    """Warnings on the windows of a task.

    Raises
    ------
    DataError
        If a split holds no observation.
    """
    findings = check_windows(
        task.series.index, task.series.values, task.issues, horizon_steps=task.shape.horizon_steps
    )
    if errors := errors_among(findings):
        listed = "; ".join(map(str, errors))
        raise DataError(f"data set {task.series.name} cannot be used: {listed}")
    return findings


def _calendar_json(calendar: Calendar) -> dict[str, Any]:
    """A calendar for a manifest; what earlier versions did not know stands there if it is set."""
    content: dict[str, Any] = {
        "zone": calendar.zone,
        "country": calendar.country,
        "school_holidays": [
            [first.isoformat(), last.isoformat()] for first, last in calendar.school_holidays
        ],
    }
    if calendar.subdivision is not None:
        content["subdivision"] = calendar.subdivision
    if calendar.holidays:
        content["holidays"] = [day.isoformat() for day in calendar.holidays]
    return content


def load_data(settings: DataSettings, remembered: Mapping[str, Any] | None = None) -> Dataset:
    """The data set of settings, checked.

    Parameters
    ----------
    remembered : mapping, optional
        `Task.manifest()` of an earlier study. Hours after its test period are left out, so that
        periods given as shares or without an end are those of the study, and school holidays
        outside its periods may differ. What differs within them shows in the manifest of the task.

    Raises
    ------
    ParetocastError
        If the data set is not there or cannot be used.
    """
    until = None if remembered is None else pd.Timestamp(remembered["periods"]["test"][1])
    dataset = load_dataset(
        settings.dataset,
        data_dir=settings.data_dir,
        covariates=settings.covariates,
        until=until,
    )
    if remembered is None:
        return dataset
    calendar = _keep_holidays(dataset.series.calendar, remembered)
    return replace(dataset, series=replace(dataset.series, calendar=calendar))


def _keep_holidays(calendar: Calendar, remembered: Mapping[str, Any]) -> Calendar:
    """The calendar with the own and school holidays of a study, where its periods have the same."""
    periods = remembered["periods"]
    first, last = (
        pd.Timestamp(stamp).tz_convert(calendar.zone).date()
        for stamp in (periods["train"][0], periods["test"][1])
    )
    then = tuple(
        (dt.date.fromisoformat(start), dt.date.fromisoformat(end))
        for start, end in remembered["calendar"]["school_holidays"]
    )
    own = tuple(map(dt.date.fromisoformat, remembered["calendar"].get("holidays", ())))

    def within(ranges: Sequence[tuple[dt.date, dt.date]]) -> list[tuple[dt.date, dt.date]]:
        return [(max(a, first), min(b, last)) for a, b in ranges if a <= last and b >= first]

    def days_within(days: Sequence[dt.date]) -> set[dt.date]:
        return {day for day in days if first <= day <= last}

    if within(then) == within(calendar.school_holidays):
        calendar = replace(calendar, school_holidays=then)
    if days_within(own) == days_within(calendar.holidays):
        calendar = replace(calendar, holidays=own)
    return calendar


def first_change(then: str, now: str, *, start: pd.Timestamp) -> str:
    """Words on the first change between two `Task.day_marks`; none if a mark is missing.

    >>> first_change("aaaaaabbbbbb", "aaaaaacccccc", start=pd.Timestamp("2021-01-01T00Z"))
    ', first in the 24 hours from 2021-01-02 00:00Z'
    """
    if len(then) != len(now):
        return ""
    for day, position in enumerate(range(0, len(now), MARK_DIGITS)):
        if then[position : position + MARK_DIGITS] != now[position : position + MARK_DIGITS]:
            return f", first in the 24 hours from {at(start + day * DAY)}"
    return ""


def manifest_hash(manifest: Mapping[str, Any]) -> str:
    """SHA-256 of a manifest in canonical JSON."""
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def installed_versions() -> dict[str, str]:
    """Versions of what a result depends on, without importing any of it."""
    names = ("paretocast", "torch", "optuna", "numpy", "pandas")
    return {name: metadata.version(name) for name in names}


def position_after(index: pd.DatetimeIndex, stamp: pd.Timestamp) -> int:
    """Position of the first hour after `stamp`; the length of the index if there is none."""
    return int(index.searchsorted(stamp, side="right"))


def plan_task(
    series: Series,
    dates: SplitDates,
    *,
    shape: TaskShape | None = None,
    feature_groups: Sequence[str] | None = None,
    with_test: bool = False,
) -> Task:
    """Features, splits and issue times of a series.

    Parameters
    ----------
    with_test : bool
        Keep the test period. The benchmark alone asks for it; without it no later step can read
        a test value, because the series ends before it.

    Raises
    ------
    DataError
        If a split holds no window.
    """
    shape = shape or TaskShape.of_step(series.steps_per_day)
    series, blocks, issues = plan_splits(series, dates, shape=shape, with_test=with_test)
    return Task(
        series=series,
        features=task_features(series, shape, feature_groups),
        shape=shape,
        dates=dates,
        blocks=blocks,
        issues=issues,
    )


def task_features(
    series: Series, shape: TaskShape, groups: Sequence[str] | None = None
) -> FeatureTable:
    """Columns that windows of a series hold beside the target."""
    return with_issue_weather(build_features(series, groups), series, shape.horizon_steps)


def plan_splits(
    series: Series, dates: SplitDates, *, shape: TaskShape, with_test: bool
) -> tuple[Series, tuple[Block, ...], dict[str, NDArray[np.intp]]]:
    """The steps of a series that may be read, its blocks of validation, and issues by split.

    Arguments and refusals as of `plan_task`.
    """
    if shape.steps_per_day != series.steps_per_day:
        raise DataError(
            f"series {series.name} has {series.steps_per_day} values in 24 hours, the settings are "
            f"for {shape.steps_per_day}; set step = "
            f'"{frequency_of(series.steps_per_day)}" in [task]'
        )
    last_hour = dates.test_to if with_test else dates.validation_to
    series = series.before(last_hour + step_of(series.index))
    daily = daily_positions(series.index, shape)
    train_stop = position_after(series.index, dates.train_to)
    validation_stop = position_after(series.index, dates.validation_to)
    blocks = plan_blocks(series.index, dates, shape)
    issues = {"train": np.arange(shape.input_steps, train_stop - shape.horizon_steps + 1)}
    if not issues["train"].size:
        raise DataError(
            f"the train period holds {train_stop} {noun(shape.steps_per_day)}s, expected at least "
            f"input_steps + horizon_steps = {shape.input_steps + shape.horizon_steps}; "
            "move train_to forward in [splits]"
        )
    for split in VALIDATION_SPLITS:
        issues[split] = np.concatenate(
            [
                daily[(daily >= block.start) & (daily + shape.horizon_steps <= block.stop)]
                for block in blocks
                if block.split == split
            ]
        )
    last_issue = len(series) - shape.horizon_steps
    issues["test"] = daily[(daily >= validation_stop) & (daily <= last_issue)]
    return series, blocks, issues
