"""Terms of the calendar: local time of day, weekday, season, holidays and the days around them.

All of them are functions of stamps alone, known for ever. T steps of an index in UTC.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from paretocast.errors import DataError
from paretocast.steps import HOURS_PER_DAY, STEPS_PER_DAY

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from paretocast.data.series import Calendar

    Floats = NDArray[np.float64]

DAYS_PER_YEAR = 365.2425
SATURDAY = 5
SHORTEST_STEP = 60 * 10**9  # nanoseconds; what is finer is no demand
# A group of its own, which has to be asked for: models of earlier studies do not know it.
AROUND_HOLIDAYS = ("day_before_holiday", "day_after_holiday", "bridge_day")


def calendar_columns(
    index: pd.DatetimeIndex, calendar: Calendar, steps_per_day: int = STEPS_PER_DAY
) -> dict[str, Floats]:
    """Terms of local time and holidays, (T,) each: a function of the index alone, past or future.

    The time of day has two harmonics for a morning and an evening peak; a daily series none. The
    weekday has one, and a weekend flag beside it: three columns instead of seven, and the week of
    history tells the days apart. A holiday column exists only where the calendar knows such
    holidays: a constant is no feature.

    Parameters
    ----------
    index : DatetimeIndex of length T
        UTC.
    """
    years, steps = _years_of(index)
    if not years:
        return _columns_at(index, calendar, steps_per_day)
    tables = [_columns_of_year(year, calendar, steps_per_day) for year in years]
    return {n: _joined([table[n] for table in tables])[steps] for n in tables[0]}


def weekdays(index: pd.DatetimeIndex, zone: str) -> NDArray[np.intp]:
    """Local weekdays, 0 for Monday, (T,)."""
    years, steps = _years_of(index)
    if not years:
        return _weekdays_at(index, zone)
    return _joined([_weekdays_of_year(year, zone) for year in years])[steps]


def _years_of(index: pd.DatetimeIndex) -> tuple[list[range], slice]:
    """Grids of the years that an index is part of, and its steps in them; none if it has gaps.

    What is computed of whole years is kept: a server needs the same days for every request.
    """
    stamps = index.asi8 if index.unit == "ns" else index.as_unit("ns").asi8
    step = int(stamps[1] - stamps[0]) if len(stamps) > 1 else 0
    if step < SHORTEST_STEP or (np.diff(stamps) != step).any():
        return [], slice(0)
    first, years = int(stamps[0]), range(index[0].year, index[-1].year + 1)
    grids = [_year_grid(year, first % step, step) for year in years]
    start = (first - grids[0].start) // step
    return grids, slice(start, start + len(index))


def _joined(years: list[NDArray[Any]]) -> NDArray[Any]:
    return years[0] if len(years) == 1 else np.concatenate(years)


@lru_cache(maxsize=64)
def _weekdays_of_year(grid: range, zone: str) -> NDArray[np.intp]:
    """Weekdays of one year, read only."""
    found = _weekdays_at(_index_of(grid), zone)
    found.flags.writeable = False
    return found


def _weekdays_at(index: pd.DatetimeIndex, zone: str) -> NDArray[np.intp]:
    return np.array(index.tz_convert(zone).day_of_week, dtype=np.intp)


@lru_cache(maxsize=64)
def _year_grid(year: int, offset: int, step: int) -> range:
    """Stamps of a year in nanoseconds, of the grid with a step that begins at an offset of it."""
    start, stop = (int(np.datetime64(f"{y:04d}", "s").astype(np.int64)) for y in (year, year + 1))
    start = max(start * 10**9, pd.Timestamp.min.value)
    return range(start + (offset - start) % step, min(stop * 10**9, pd.Timestamp.max.value), step)


@lru_cache(maxsize=64)
def _columns_of_year(grid: range, calendar: Calendar, steps_per_day: int) -> dict[str, Floats]:
    """Terms of one year, read only."""
    columns = _columns_at(_index_of(grid), calendar, steps_per_day)
    for values in columns.values():
        values.flags.writeable = False
    return columns


def _index_of(grid: range) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(np.arange(grid.start, grid.stop, grid.step), tz="UTC")


def _columns_at(
    index: pd.DatetimeIndex, calendar: Calendar, steps_per_day: int
) -> dict[str, Floats]:
    """Terms of any stamps."""
    local = index.tz_convert(calendar.zone)
    hour = 2.0 * np.pi * hour_of_day(local) / HOURS_PER_DAY
    weekday = 2.0 * np.pi * local.day_of_week.to_numpy(np.float64) / 7.0
    day_of_year = 2.0 * np.pi * (local.day_of_year.to_numpy(np.float64) - 1.0) / DAYS_PER_YEAR
    of_day = {
        "hour_sin": np.sin(hour),
        "hour_cos": np.cos(hour),
        "hour_sin_2": np.sin(2.0 * hour),
        "hour_cos_2": np.cos(2.0 * hour),
    }
    columns = {
        **(of_day if steps_per_day > 1 else {}),
        "weekday_sin": np.sin(weekday),
        "weekday_cos": np.cos(weekday),
        "year_sin": np.sin(day_of_year),
        "year_cos": np.cos(day_of_year),
        "weekend": is_weekend(index, calendar.zone).astype(np.float64),
    }
    if calendar.has_holidays:
        columns["holiday"] = is_public_holiday(index, calendar).astype(np.float64)
    if calendar.school_holidays:
        columns["school_holiday"] = is_school_holiday(index, calendar).astype(np.float64)
    return columns


def hour_of_day(local: pd.DatetimeIndex) -> NDArray[np.float64]:
    """Local time of day in hours, with minutes as their fraction, (T,)."""
    hours: NDArray[np.float64] = local.hour.to_numpy(np.float64) + local.minute.to_numpy() / 60.0
    return hours


def is_weekend(index: pd.DatetimeIndex, zone: str) -> NDArray[np.bool_]:
    """True on local Saturdays and Sundays, (T,)."""
    weekend: NDArray[np.bool_] = weekdays(index, zone) >= SATURDAY
    return weekend


def is_public_holiday(index: pd.DatetimeIndex, calendar: Calendar) -> NDArray[np.bool_]:
    """True on public holidays of the calendar, its own among them, (T,); nowhere if it has none.

    Raises
    ------
    DataError
        If the `holidays` package does not know the country or its subdivision.
    """
    return _is_holiday(_local_days(index, calendar.zone), calendar)


def around_holidays(index: pd.DatetimeIndex, calendar: Calendar) -> dict[str, NDArray[np.bool_]]:
    """Days before, after and between holidays, each (T,), by the names `AROUND_HOLIDAYS`.

    None of them is a holiday itself. A bridge day is a working day whose neighbours are both free,
    at least one of them as a holiday: the Friday after Ascension Day.
    """
    days = _local_days(index, calendar.zone)
    one = np.timedelta64(1, "D")
    holiday, yesterday, tomorrow = (
        _is_holiday(day, calendar) for day in (days, days - one, days + one)
    )
    free_yesterday, free_tomorrow = (
        off | _is_weekend_day(day) for off, day in ((yesterday, days - one), (tomorrow, days + one))
    )
    working = ~holiday & ~_is_weekend_day(days)
    bridge = working & free_yesterday & free_tomorrow & (yesterday | tomorrow)
    found = (tomorrow & ~holiday, yesterday & ~holiday, bridge)
    return dict(zip(AROUND_HOLIDAYS, found, strict=True))


def _is_holiday(days: NDArray[np.datetime64], calendar: Calendar) -> NDArray[np.bool_]:
    """True for public holidays among local days, (T,)."""
    own = np.array(calendar.holidays, dtype="datetime64[D]")
    free: NDArray[np.bool_] = np.isin(days, own)
    if calendar.country is not None:
        years = np.unique(days.astype("datetime64[Y]")).astype(int) + 1970
        for year in years.tolist():
            listed = _public_holidays(calendar.country, calendar.subdivision, year)
            free |= np.isin(days, listed)
    return free


def _is_weekend_day(days: NDArray[np.datetime64]) -> NDArray[np.bool_]:
    """True for Saturdays and Sundays among days, (T,)."""
    # 1970-01-01 was a Thursday.
    return np.asarray((days.astype(np.int64) + 3) % 7 >= SATURDAY)


def is_school_holiday(index: pd.DatetimeIndex, calendar: Calendar) -> NDArray[np.bool_]:
    """True on school holidays, first and last day included, (T,)."""
    days = _local_days(index, calendar.zone)
    free = np.zeros(len(index), dtype=bool)
    for first, last in calendar.school_holidays:
        free |= (days >= np.datetime64(first, "D")) & (days <= np.datetime64(last, "D"))
    return free


@lru_cache(maxsize=256)
def _public_holidays(country: str, subdivision: str | None, year: int) -> NDArray[np.datetime64]:
    """Public holidays of a country, or of a part of it, in a year, ascending days."""
    import holidays  # 0.15 s, and not every series has a country

    subdivisions = holidays.list_supported_countries().get(country)
    if subdivisions is None or (subdivision is not None and subdivision not in subdivisions):
        part = "" if subdivision is None else f" with a part {subdivision!r}"
        raise DataError(
            f"the holidays package knows no country {country!r}{part}; expected an ISO code such "
            "as DK"
        )
    listed = holidays.country_holidays(country, subdiv=subdivision, years=year)
    return np.array(sorted(listed), dtype="datetime64[D]")


def _local_days(index: pd.DatetimeIndex, zone: str) -> NDArray[np.datetime64]:
    return index.tz_convert(zone).tz_localize(None).to_numpy().astype("datetime64[D]")
