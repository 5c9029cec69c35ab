"""Inputs of a bundle, cut by what was available at the issue.

The target before the issue, covariates up to the issue or beyond it by their role. Nothing later
than the issue reaches a forecast except covariates that are known ahead, and of weather runs only
those issued by then.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from paretocast.data.features import available_features, build_features
from paretocast.data.parsing import lay_frame, rows_of_series, stamps_of
from paretocast.data.run_parsing import examine_runs
from paretocast.data.series import Calendar, Covariate, Role, Series, SplitDates
from paretocast.data.spec import WeatherSpec, on_step
from paretocast.data.task import Task, TaskShape
from paretocast.deployment.source_files import read_sources, with_sources
from paretocast.errors import DataError, SettingsError
from paretocast.steps import HOURS_PER_DAY, hours_in, steps_of, steps_within

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from paretocast.data.sources import SourceTable
    from paretocast.data.spec import DatasetSpec
    from paretocast.data.weather_runs import WeatherRuns

    Floats = NDArray[np.float64]

ISSUED_COLUMN = "issued_at"
AVAILABLE_COLUMN = "available_at"
OLDEST_RUN = pd.Timedelta(hours=24)  # older weather is no weather
MOST_MISSING_SHARE = 0.1  # of the input window
LONGEST_HOLE_HOURS = 6  # filled as in training
FLAT_HOURS, FEWEST_FLAT = 12, 3


@dataclass(frozen=True)
class InputColumn:
    """A covariate that a bundle needs.

    Attributes
    ----------
    name : str
        As the series calls it.
    declared : str
        As the data set calls it.
    low, high : float
        Range seen in the train period, in its unit.
    """

    name: str
    declared: str
    role: str
    unit: str
    low: float
    high: float


@dataclass(frozen=True)
class InputContract:
    """Columns, hours and ranges that a bundle was made for.

    Attributes
    ----------
    history_steps : int
        Steps before the issue that are read.
    window_steps : int
        Of them, those that the models look at one by one.
    low, high : float
        Range of the target in the train period.
    delay_hours : int
        Hours after which a value of the target is available.
    standards : mapping of str to (float, float, float, float)
        Mean, deviation, lowest and highest value of every feature column, as `ColumnStandards`.
    """

    spec: DatasetSpec
    calendar: Calendar
    columns: tuple[InputColumn, ...]
    shape: TaskShape
    feature_groups: tuple[str, ...] | None
    history_steps: int
    window_steps: int
    low: float
    high: float
    delay_hours: int
    standards: Mapping[str, tuple[float, float, float, float]]

    @property
    def delay_steps(self) -> int:
        """Steps after which a value of the target is available."""
        return steps_within(self.delay_hours, self.shape.steps_per_day)

    @property
    def weather(self) -> tuple[InputColumn, ...]:
        """Covariates that must be given for the horizon."""
        return tuple(column for column in self.columns if column.role == "forecast")

    def read(
        self,
        history: pd.DataFrame,
        weather: pd.DataFrame | None = None,
        sources: Sequence[SourceTable] = (),
    ) -> LiveInputs:
        """The rows of a user's tables on the hourly grid.

        Parameters
        ----------
        history : DataFrame
            Columns as the data set declares them, or a time index; rows after the issue may follow.
            A column `available_at` says when a row was there.
        weather : DataFrame, optional
            The time column and covariates; a column `issued_at` tells runs apart.
        sources : sequence of SourceTable
            Rows of the other files that the data set names, see `read_sources`.
            Without them `history` holds their columns.

        Raises
        ------
        DataError
            With everything that keeps the tables from being read.
        """
        history = self._with_time(history)
        declared = [column.declared for column in self.columns]
        by_run = self.spec.from_runs(declared)
        joined = self.spec.from_sources(declared) if sources else ()
        there = [
            d for d in declared if d not in by_run and self.spec.column_of(d) in history.columns
        ]
        if weather is None and (missing := sorted(set(declared) - {*there, *joined})):
            raise DataError(self._lacking(missing))
        if doubled := sorted(set(there) & set(joined)):
            named = ", ".join(self.spec.column_of(d) for d in doubled)
            raise DataError(f"{named} stand in the data and in a source; leave one of them out")
        values = self._laid(history, there, "data")
        if sources:
            names = {column.declared: column.name for column in self.columns}
            values = with_sources(values, self.spec, sources, {d: names[d] for d in joined})
        available = None
        if AVAILABLE_COLUMN in history.columns:
            available = self._available(history, pd.DatetimeIndex(values.index))
        runs = None if weather is None else self._runs(self._with_time(weather))
        return LiveInputs(self, values, available, runs)

    def read_sources(
        self, given: Mapping[str, str | Path | pd.DataFrame]
    ) -> tuple[SourceTable, ...]:
        """Rows of the other files that the model needs, see `source_files.read_sources`."""
        return read_sources(self.spec, [column.declared for column in self.columns], given)

    def read_target(self, history: pd.DataFrame) -> LiveInputs:
        """The target alone, from a table that may lack covariates; errors as of `read`."""
        history = self._with_time(history)
        values = self._laid(history, [], "data")
        there = AVAILABLE_COLUMN in history.columns
        available = self._available(history, pd.DatetimeIndex(values.index)) if there else None
        return LiveInputs(self, values, available, None)

    def window(
        self,
        at: pd.Timestamp,
        target: Floats,
        covariates: Sequence[Floats],
        weather: Weather | None = None,
    ) -> LiveWindow:
        """The window of an issue from values of its hours, history and horizon."""
        first = at - self.history_steps * self.shape.step
        series = Series(
            name=self.spec.name,
            values=target,
            index=pd.date_range(first, periods=len(target), freq=self.shape.step, unit="ns"),
            unit=self.spec.unit,
            calendar=self.calendar,
            covariates=tuple(
                Covariate(column.name, values, Role(column.role), column.unit)
                for column, values in zip(self.columns, covariates, strict=True)
            ),
            delay_hours=self.delay_hours,
        )
        return LiveWindow(self, series, self.history_steps, weather)

    def _with_time(self, frame: pd.DataFrame) -> pd.DataFrame:
        column = self.spec.time_column
        if column in frame.columns or not isinstance(frame.index, pd.DatetimeIndex):
            return frame
        return frame.rename_axis(column).reset_index()

    def _spec_of(self, frame: pd.DataFrame) -> DatasetSpec:
        """The declaration; a table without the column that tells series apart holds one alone."""
        if self.spec.series_column in {None, *frame.columns}:
            return self.spec
        return self.spec.model_copy(update={"series_column": None, "series_name": None})

    def _laid(self, frame: pd.DataFrame, declared: list[str], what: str) -> pd.DataFrame:
        """Target and covariates by their names in the series, on the hourly grid."""
        grid, findings = lay_frame(frame, self._spec_of(frame), covariates=declared)
        errors = [finding for finding in findings if finding.severity == "error"]
        if errors or grid is None:
            listed = "\n".join(f"  {error}" for error in errors)
            raise DataError(f"the {what} cannot be used:\n{listed}")
        columns = {self.spec.target: grid.target, **{c.name: c.values for c in grid.covariates}}
        # Labels of any objects: pandas would make an Arrow array of texts each time.
        names = pd.Index(list(columns), dtype="object")
        return pd.DataFrame(np.column_stack(list(columns.values())), grid.index, names)

    def _lacking(self, declared: Sequence[str]) -> str:
        """Words on covariates that no table has."""
        named = ", ".join(map(self.spec.column_of, declared))
        if self.spec.from_runs(declared):
            return (
                f"the model needs {named} from weather runs, as in training; give a weather table "
                "with the time of issue of each row"
            )
        said = f"the data have no column {named}; the model needs it. "
        if elsewhere := set(map(self.spec.column_of, self.spec.from_sources(declared))):
            files = [s.path.name for s in self.spec.sources if elsewhere & set(s.columns)]
            given = " ".join(f"--source {name}" for name in files)
            return f"{said}Give the newer file ({given}), or put the columns into the data"
        return f"{said}Give it, or a weather table with it"

    def _available(self, frame: pd.DataFrame, index: pd.DatetimeIndex) -> pd.Series[Any]:
        """Time from which on the row of each hour was there; NaT where the row says nothing."""
        spec = self._spec_of(frame)
        frame, _ = rows_of_series(frame, spec)
        stamps, _ = stamps_of(frame, spec)
        arrived = pd.to_datetime(frame[AVAILABLE_COLUMN], errors="coerce", utc=True)
        series = pd.Series(arrived.to_numpy(), index=stamps)
        laid: pd.Series[Any] = series[~series.index.duplicated()].reindex(index)
        return pd.Series(pd.DatetimeIndex(laid, tz="UTC"), index=index)

    def _runs(self, frame: pd.DataFrame) -> WeatherTable:
        names = {column.declared: column for column in self.columns if column.role != "calendar"}
        declared = [d for d in names if self.spec.column_of(d) in frame.columns]
        if not declared:
            wanted = ", ".join(self.spec.column_of(c.declared) for c in self.weather)
            if not wanted:
                raise DataError("the model needs no weather; leave the weather table out")
            raise DataError(f"the weather table has no covariate of the model, expected {wanted}")
        columns = self.spec.weather or WeatherSpec(
            path=Path("weather"), issued_column=ISSUED_COLUMN, time_column=self.spec.time_column
        )
        if columns.issued_column not in frame.columns:
            if self.spec.weather is not None:
                raise DataError(
                    f"the weather table has no column {columns.issued_column}; the model has "
                    "learned from weather runs and needs the time of issue of each row"
                )
            frame = frame.rename(columns={columns.time_column: self.spec.time_column})
            plain = self._laid(frame.assign(**{self.spec.target: np.nan}), declared, "weather")
            return WeatherTable(plain[[names[d].name for d in declared]], None)
        spec = self.spec.model_copy(update={"weather": columns})
        runs, findings = examine_runs(frame, spec, covariates=declared)
        errors = [finding for finding in findings if finding.severity == "error"]
        if errors or runs is None:
            listed = "\n".join(f"  {error}" for error in errors)
            raise DataError(f"the weather runs cannot be used:\n{listed}")
        return WeatherTable(None, runs, learned=self.spec.weather is not None)


@dataclass(frozen=True)
class WeatherTable:
    """Weather that a user gives: one table, or runs by the time they were issued.

    Attributes
    ----------
    plain : DataFrame or None
        Values by hour of a table that does not say when it was issued.
    runs : WeatherRuns or None
        Those of one that does.
    learned : bool
        True if the models have learned from runs: the past is then read as it was in training.
    """

    plain: pd.DataFrame | None
    runs: WeatherRuns | None
    learned: bool = False

    def known_at(self, at: pd.Timestamp, hours: pd.DatetimeIndex) -> Weather:
        """Values of hours by the newest run issued by a time, holes filled from older runs.

        Each hour before the issue has the value that was known when it began. Where no run had it
        then, and models have learned from measured weather, it is the last one of any run so far.
        """
        if self.plain is not None:
            return Weather(self.plain.reindex(hours), None, filled=False)
        assert self.runs is not None
        runs, ahead = self.runs.issued_by(at), np.asarray(hours >= at)
        names = list(runs.names)
        if not len(runs.issued):
            nothing = pd.DataFrame(np.nan, index=hours, columns=names)
            return Weather(nothing, None, filled=False)
        values = runs.shortest_lead(hours)
        newest = runs.at(hours, runs.cells(hours, 1), older=False)
        filled = bool((np.isnan(newest) & ~np.isnan(values))[ahead].any())
        issued = pd.Timestamp(runs.issued[-1])
        if issued < at - OLDEST_RUN:
            values[ahead] = np.nan
        table = pd.DataFrame(values, index=hours, columns=names)
        if not self.learned:
            latest = pd.DataFrame(runs.values, index=runs.valid, columns=names)
            latest = latest.groupby(level=0).last().reindex(hours)
            table = table.where(table.notna() | ahead[:, None], latest)
        return Weather(table, issued, filled=filled)


@dataclass(frozen=True)
class Weather:
    """Weather as it was known at an issue.

    Attributes
    ----------
    issued : Timestamp or None
        Of the newest run; None where no run says so.
    filled : bool
        True if hours of the horizon come from an older run.
    """

    values: pd.DataFrame
    issued: pd.Timestamp | None
    filled: bool


@dataclass(frozen=True)
class LiveInputs:
    """A user's tables on the hourly grid, to be cut at any issue.

    Attributes
    ----------
    values : DataFrame
        Target and covariates by hour, UTC.
    available : Series or None
        Time from which on each hour's row was there.
    """

    contract: InputContract
    values: pd.DataFrame
    available: pd.Series[Any] | None
    runs: WeatherTable | None

    @property
    def observed_until(self) -> pd.Timestamp:
        """The last hour with a value of the target."""
        observed = self.values.index[self.values[self.contract.spec.target].notna()]
        if not len(observed):
            raise DataError("the data hold no value of the target")
        return pd.Timestamp(observed[-1])

    @property
    def known_from(self) -> pd.Timestamp:
        """First issue at which the last value of the target is there, by the declared delay."""
        return self.observed_until + (1 + self.contract.delay_steps) * self.contract.shape.step

    def target_known_at(self, at: pd.Timestamp) -> pd.Series[Any]:
        """Values of the target that were there at a time, by hour; NaN where missing."""
        target = self.values[self.contract.spec.target]
        there = self._there(at, self.values.index[0], len(target))
        return target.where(there)[self.values.index < at]

    def cut(self, at: pd.Timestamp) -> LiveWindow:
        """Everything that a forecast issued at a time may read.

        Raises
        ------
        DataError
            If the issue is no full hour.
        """
        contract = self.contract
        self._check_issue(at)
        n_hours = contract.history_steps + contract.shape.horizon_steps
        first = at - contract.history_steps * contract.shape.step
        start = round((first - self.values.index[0]) / contract.shape.step)
        past = np.arange(n_hours) < contract.history_steps
        target = _window(self.values[contract.spec.target], start, n_hours)
        target[~self._there(at, first, n_hours)] = np.nan
        weather = None
        if self.runs is not None:
            hours = pd.date_range(first, periods=n_hours, freq=contract.shape.step, unit="ns")
            weather = self.runs.known_at(at, hours)
        covariates = []
        for column in contract.columns:
            values = np.full(n_hours, np.nan)
            if column.name in self.values.columns:
                values = _window(self.values[column.name], start, n_hours)
            if weather is not None and column.name in weather.values.columns:
                ahead = weather.values[column.name].to_numpy(np.float64)
                values = np.where(past & ~np.isnan(values), values, ahead)
            if column.role == "past":
                values[~past] = np.nan
            covariates.append(values)
        return contract.window(at, target, covariates, weather)

    def _check_issue(self, at: pd.Timestamp) -> None:
        """Refuse a time that is off the grid of the data."""
        spec = self.contract.spec
        if (at - self.values.index[0]) % spec.step == pd.Timedelta(0):
            return
        unit = "a full hour" if spec.frequency == "1h" else f"a multiple of {spec.frequency}"
        first = f", as {self.values.index[0].isoformat()} is"
        also = first if on_step(at, spec.step, spec.zones) else ""
        raise SettingsError(f"the issue time is {at}, expected {unit}{also}")

    def _there(self, at: pd.Timestamp, first: pd.Timestamp, n_hours: int) -> NDArray[np.bool_]:
        """True for those of the steps from one on whose target was there at a time."""
        n_past = (at - first) / self.contract.shape.step
        there = np.arange(n_hours) < n_past - self.contract.delay_steps
        if self.available is not None:
            late = (self.available > at).astype(np.float64)
            start = round((first - self.values.index[0]) / self.contract.shape.step)
            there &= np.nan_to_num(_window(late, start, n_hours)) == 0.0
        return there


def _window(column: pd.Series[Any], offset: int, n_hours: int) -> Floats:
    """Values of a grid's hours from one on, NaN before its first and after its last one."""
    start, stop = max(0, offset), min(len(column), offset + n_hours)
    window = np.full(n_hours, np.nan)
    if start < stop:
        window[start - offset : stop - offset] = column.to_numpy(np.float64)[start:stop]
    return window


@dataclass(frozen=True)
class LiveWindow:
    """The hours that one forecast reads, and those it is for.

    Attributes
    ----------
    series : Series
        `position` hours of history and then the horizon, whose target is unknown.
    """

    contract: InputContract
    series: Series
    position: int
    weather: Weather | None

    @cached_property
    def issue_time(self) -> pd.Timestamp:
        """First hour of the horizon."""
        return pd.Timestamp(self.series.index[self.position])

    @property
    def history(self) -> Floats:
        """Target of the input window, (window_steps,); NaN where missing."""
        start = self.position - self.contract.window_steps
        return self.series.values[start : self.position]

    @property
    def steps_since_observed(self) -> int:
        """Missing steps right before the issue."""
        observed = np.flatnonzero(~np.isnan(self.series.values[: self.position]))
        return self.position if not observed.size else self.position - 1 - int(observed[-1])

    @property
    def hours_since_observed(self) -> float:
        """The same in hours."""
        return hours_in(self.steps_since_observed, self.contract.shape.steps_per_day)

    @property
    def lacks_weather(self) -> bool:
        """True if a covariate of the horizon is missing for longer than training fills it."""
        for column, covariate in zip(self.contract.columns, self.series.covariates, strict=True):
            ahead = np.isnan(covariate.values[self.position :])
            limit = self.contract.spec.covariates[column.declared].fill_hours
            most = limit * self.contract.shape.steps_per_day / HOURS_PER_DAY
            if column.role == "forecast" and int(ahead.sum()) > most:
                return True
        return False

    @property
    def _flat_steps(self) -> int:
        """Equal values in a row that are a flat line."""
        return max(FEWEST_FLAT, steps_of(FLAT_HOURS, self.contract.shape.steps_per_day))

    def flags(self) -> tuple[str, ...]:
        """Shortcomings of the inputs, by stable names."""
        flags = []
        if self.steps_since_observed > self.contract.delay_steps:
            flags.append("late_data")
        known = self.history[: len(self.history) - self.contract.delay_steps]
        if known.size and np.isnan(known).mean() > MOST_MISSING_SHARE:
            flags.append("incomplete_history")
        if _longest_run(np.diff(self.history) == 0.0) + 1 >= self._flat_steps:
            flags.append("flatline")
        if _outside(self.history, self.contract.low, self.contract.high):
            flags.append("out_of_range")
        for column, covariate in zip(self.contract.columns, self.series.covariates, strict=True):
            if _outside(covariate.values, column.low, column.high):
                flags.append(f"out_of_range:{column.name}")
            ahead = covariate.values[self.position :]
            if column.role == "forecast" and np.isnan(ahead).any():
                flags.append(f"weather_missing:{column.name}")
        if self.weather is not None and self.weather.filled:
            flags.append("previous_weather_run")
        return tuple(flags)

    def task(self, *, weather: bool = True) -> Task:
        """The task of this one window, for a model's forecast at `position`.

        Parameters
        ----------
        weather : bool
            With False, models that see no covariates can forecast whatever is missing.

        Raises
        ------
        DataError
            If a covariate is missing from the first hour on.
        """
        return self._whole if weather else self._blind

    @cached_property
    def _whole(self) -> Task:
        return self._task(self.series, self.contract.feature_groups)

    @cached_property
    def _blind(self) -> Task:
        series = replace(self.series, covariates=())
        known = available_features(series)
        days = {"calendar", "holidays", *known["calendar"], *known["holidays"]}
        groups = self.contract.feature_groups or ("calendar",)
        return self._task(series, tuple(name for name in groups if name in days))

    def _task(self, series: Series, groups: tuple[str, ...] | None) -> Task:
        last = pd.Timestamp(series.index[-1])
        return Task(
            series=series,
            features=build_features(series, groups=groups),
            shape=self.contract.shape,
            dates=SplitDates(last, last, last),
            blocks=(),
            issues={},
            standards=self.contract.standards,
        )

    def content(self) -> bytes:
        """Everything that the forecast depends on here, for a hash."""
        parts = [self.series.values, *(c.values for c in self.series.covariates)]
        stamps = self.series.index.asi8.tobytes()
        return stamps + b"".join(np.ascontiguousarray(part).tobytes() for part in parts)


def _longest_run(mask: NDArray[np.bool_]) -> int:
    """Length of the longest run of True."""
    longest = run = 0
    for value in mask.tolist():
        run = run + 1 if value else 0
        longest = max(longest, run)
    return longest


def _outside(values: Floats, low: float, high: float) -> bool:
    """True if a value lies outside a range by more than a tenth of its width."""
    margin = 0.1 * (high - low)
    return bool(((values < low - margin) | (values > high + margin)).any())
