"""One target on a complete UTC grid of one step, with its covariates and its calendar.

Times are the *start* of the step they stand for, in UTC. NaN marks a value that was not observed. A
daily series is one of dates: each stands at midnight UTC, whatever the time zone, and a day has one
value whether it lasts 23, 24 or 25 hours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from paretocast.errors import DataError
from paretocast.steps import steps_within

if TYPE_CHECKING:
    import datetime as dt

    from numpy.typing import NDArray

    from paretocast.data.weather_runs import WeatherRuns

DAY = pd.Timedelta(days=1)
# A train period shorter than four weeks teaches no week; validation needs a stop, a tune and a
# calibrate block of a week each, with a purge day behind it.
MIN_PERIOD_DAYS = {"train": 28, "validation": 24, "test": 1}
# A daily series forecasts a week: the ridge learns from 50 windows behind 28 days, and a block has
# two weeks.
MIN_PERIOD_DAYS_DAILY = {"train": 85, "validation": 44, "test": 7}


def step_of(index: pd.DatetimeIndex) -> pd.Timedelta:
    """Return the time between the first two stamps of a regular index."""
    first, second = index.asi8[:2].tolist()
    return pd.Timedelta(second - first, unit=index.unit)


def steps_a_day(index: pd.DatetimeIndex) -> int:
    """Return the number of steps of a regular index in 24 hours."""
    return max(1, round(DAY / step_of(index)))


def min_period_days(steps_per_day: int) -> dict[str, int]:
    """Return the least days of train, validation and test for a number of steps a day."""
    return MIN_PERIOD_DAYS_DAILY if steps_per_day == 1 else MIN_PERIOD_DAYS


class Role(StrEnum):
    """Knowledge of a covariate when a forecast is issued."""

    CALENDAR = "calendar"  # known for ever
    FORECAST = "forecast"  # known ahead, as somebody's forecast
    PAST = "past"  # observed up to the issue time

    @property
    def known_ahead(self) -> bool:
        """True if values of the horizon may reach a model."""
        return self is not Role.PAST


@dataclass(frozen=True)
class Covariate:
    """A measured or forecast companion of the target.

    Attributes
    ----------
    values : ndarray of shape (T,)
        In `unit`; NaN where missing.
    """

    name: str
    values: NDArray[np.float64]
    role: Role
    unit: str = ""


@dataclass(frozen=True)
class Calendar:
    """Local time zone of the demand, with public and school holidays.

    Attributes
    ----------
    country : str or None
        ISO code that the `holidays` package knows, such as "DK".
    school_holidays : tuple of (first day, last day)
        Local dates, both included.
    subdivision : str or None
        State or region of the country whose holidays count too, such as "BY".
    holidays : tuple of date
        Local dates of holidays beside those of the country.
    """

    zone: str = "UTC"
    country: str | None = None
    school_holidays: tuple[tuple[dt.date, dt.date], ...] = ()
    subdivision: str | None = None
    holidays: tuple[dt.date, ...] = ()

    @property
    def has_holidays(self) -> bool:
        """True if it knows public holidays."""
        return self.country is not None or bool(self.holidays)


@dataclass(frozen=True)
class SplitDates:
    """Starts of the last steps of the periods, all UTC and included in their period."""

    train_to: pd.Timestamp
    validation_to: pd.Timestamp
    test_to: pd.Timestamp


@dataclass(frozen=True)
class Repair:
    """One kind of change in one column, or in all.

    Attributes
    ----------
    what : str
        "sorted", "dropped", "emptied" or "differenced".
    column : str
        As the data set calls it; empty for whole rows.
    changed : tuple of (str, str)
        First and last of the changed rows, run by run: numbers of rows in the file, from 1 after
        the header, or hours in UTC.
    n_changed : int
    value : float or None
        That was emptied.
    """

    what: str
    column: str
    changed: tuple[tuple[str, str], ...]
    n_changed: int
    value: float | None = None

    def as_json(self) -> dict[str, Any]:
        """The repair for a manifest."""
        return {
            "what": self.what,
            "column": self.column,
            "value": self.value,
            "changed": [list(run) for run in self.changed],
            "n_changed": self.n_changed,
        }


@dataclass(frozen=True)
class Series:
    """Demand and what comes with it, step by step.

    Attributes
    ----------
    values : ndarray of shape (T,)
        Target in `unit`; NaN where missing.
    index : DatetimeIndex of length T
        Complete grid, UTC.
    runs : WeatherRuns or None
        Forecasts by issue time of the covariates that it names; the values of such a covariate are
        those that were known when each hour began.
    delay_hours : int
        A value of the target can be read so many hours after its hour has ended: that of the last
        hours before an issue is not seen there.
    repairs : tuple of Repair
        What was changed of the file.
    """

    name: str
    values: NDArray[np.float64]
    index: pd.DatetimeIndex
    unit: str
    calendar: Calendar
    covariates: tuple[Covariate, ...] = ()
    runs: WeatherRuns | None = None
    delay_hours: int = 0
    repairs: tuple[Repair, ...] = ()

    def __post_init__(self) -> None:
        if str(self.index.tz) != "UTC":
            raise DataError(
                f"series {self.name}: index has time zone {self.index.tz}, expected UTC"
            )
        if (
            len(self.index) < 2
            or not (np.diff(self.index.asi8) == np.diff(self.index.asi8)[0]).all()
        ):
            raise DataError(f"series {self.name}: index is not a complete regular grid")
        for label, values in (
            (self.name, self.values),
            *((c.name, c.values) for c in self.covariates),
        ):
            if values.shape != (len(self.index),):
                raise DataError(
                    f"series {label} has shape {values.shape}, "
                    f"expected ({len(self.index)},) from its index"
                )

    def __len__(self) -> int:
        return len(self.index)

    @cached_property
    def step(self) -> pd.Timedelta:
        """Time from one value to the next."""
        return step_of(self.index)

    @cached_property
    def steps_per_day(self) -> int:
        """Number of steps in 24 hours."""
        return steps_a_day(self.index)

    @property
    def delay_steps(self) -> int:
        """Steps before an issue whose values of the target are not there yet."""
        return steps_within(self.delay_hours, self.steps_per_day)

    def before(self, stamp: pd.Timestamp) -> Series:
        """The series without anything at or after `stamp`."""
        stop = int(self.index.searchsorted(stamp))
        return replace(
            self,
            values=self.values[:stop],
            index=self.index[:stop],
            covariates=tuple(replace(c, values=c.values[:stop]) for c in self.covariates),
            runs=None if self.runs is None else self.runs.before(stamp),
        )

    @property
    def measured_ahead(self) -> tuple[str, ...]:
        """Covariates known ahead whose one value of an hour is the same for every issue."""
        by_issue = () if self.runs is None else self.runs.names
        return tuple(
            c.name for c in self.covariates if c.role is Role.FORECAST and c.name not in by_issue
        )
