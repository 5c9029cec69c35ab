"""Time stamps of rows: their text, date and hour in two columns, starts and ends of intervals.

Nothing here knows a time zone: the outcome is UTC where stamps carry an offset, else the time of
some clock.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from paretocast.data.dialect import TableSpec

# A clock time, and behind it Z or an offset.
_WITH_ZONE = re.compile(r"[T ]\d{1,2}.*(?:[Zz]|[+-]\d{2}(?::?\d{2})?)$")
_INTERVAL = re.compile(r"\s+[-–]\s+\d.*$")  # 01.01.2023 00:00 - 01.01.2023 01:00
_SPOKEN_UTC = re.compile(r"\s*(?:UTC|GMT)$")
_MIDNIGHT = re.compile(r"(?<=[T ])24(?=:?00)")
CLOCK_TIME = re.compile(r"\d{1,2}:\d{2}(?::\d{2})?")
# Dates by the sign after their first part.
_DATES = {
    ".": ("%d.%m.%Y", "%Y.%m.%d", "%d.%m.%y"),
    "/": ("%m/%d/%Y", "%d/%m/%Y", "%Y/%m/%d", "%m/%d/%y", "%d/%m/%y"),
    "-": ("%Y-%m-%d", "%d-%m-%Y", "%m-%d-%Y", "%d-%b-%Y"),
    " ": ("%d %b %Y", "%Y%m%d"),
}
_COMPACT = {8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_CLOCKS = {
    "": ("", " %H%M"),
    ":": (" %H:%M", " %H:%M:%S", "T%H:%M", "T%H:%M:%S"),
    "m": (" %I:%M %p", " %I:%M:%S %p"),
}
N_PROBED = 200
FIRST_YEAR, LAST_YEAR = 1678, 2261  # whole ones that nanoseconds since 1970 can count


@dataclass(frozen=True)
class Times:
    """Stamps of rows, before a zone is known.

    Attributes
    ----------
    stamps : DatetimeIndex
        UTC if every row has a zone; else the time of an unknown clock, labelled UTC all the same.
        NaT where a cell is no time.
    zoned : ndarray of bool, shape (T,)
        True for rows that carry a zone.
    at_end : bool
        True if hours run to 24:00, which only the end of an interval does.
    counted : bool
        True if hours are counted from midnight, up to 25 on the long day of autumn.
    found : dict of str to str
        Keys of the dialect that were found in the cells.
    """

    stamps: pd.DatetimeIndex
    zoned: NDArray[np.bool_]
    at_end: bool = False
    counted: bool = False
    found: dict[str, str] = field(default_factory=dict)


def read_times(raw: pd.Series, pattern: str | None = None) -> Times:
    """Stamps of cells; NaT outside the years that nanoseconds can count.

    Parameters
    ----------
    pattern : str, optional
        Of strptime; found without it.
    """
    times = _read(raw, pattern)
    first, last = times.stamps.min(), times.stamps.max()
    if first.year >= FIRST_YEAR and last.year <= LAST_YEAR:
        return times
    years = times.stamps.year
    within = times.stamps.where((years >= FIRST_YEAR) & (years <= LAST_YEAR))
    return replace(times, stamps=pd.DatetimeIndex(within))


def _read(raw: pd.Series, pattern: str | None) -> Times:
    if pd.api.types.is_datetime64_any_dtype(raw.dtype):
        stamps = pd.DatetimeIndex(raw)
        zoned = np.full(len(raw), stamps.tz is not None)
        return Times(stamps if stamps.tz is not None else stamps.tz_localize("UTC"), zoned)
    if (plain := _read_plain_utc(raw)) is not None:
        return Times(plain, np.ones(len(plain), dtype=bool))
    text = raw.astype("str").str.strip()
    stamps = _parse(text, "ISO8601")
    zoned = text.str.contains(_WITH_ZONE, na=False).to_numpy(bool)
    # ISO 8601 with a zone means one thing only, whatever a declared pattern says of other tables.
    if not stamps.isna().any() and (pattern is None or zoned.all()):
        return Times(stamps, zoned)
    return _read_national(text, pattern)


def _read_plain_utc(raw: pd.Series) -> pd.DatetimeIndex | None:
    """Stamps of cells that all are like 2021-03-28T01:00:00Z; None for any others.

    What pandas reads too, in a tenth of the time.
    """
    cells = raw.tolist()
    if set(map(type, cells)) != {str} or set(map(len, cells)) != {20}:
        return None
    text = "".join(cells)
    if not text.isascii():
        return None
    signs = np.frombuffer(text.encode(), dtype=np.uint8).reshape(len(cells), 20)
    stamps = _plain_stamps(signs)
    return None if stamps is None else pd.DatetimeIndex(stamps, tz="UTC")


def _plain_stamps(signs: NDArray[np.uint8]) -> NDArray[np.datetime64] | None:
    """Times of rows of ASCII signs, (T, 20); None unless all are plain times.

    NumPy reads bytes as times too, but 2.4 crashes on those that are none.
    """
    between = signs[:, 10]
    if (
        not (signs[:, [4, 7, 13, 16, 19]] == np.frombuffer(b"--::Z", dtype=np.uint8)).all()
        or not ((between == ord("T")) | (between == ord(" "))).all()
    ):
        return None
    digits = signs[:, [0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18]].astype(np.int64) - ord("0")
    if digits.min() < 0 or digits.max() > 9:
        return None
    century, year, month, day, hour, minute, second = (digits[:, ::2] * 10 + digits[:, 1::2]).T
    months = (12 * (100 * century + year - 1970) + month - 1).astype("datetime64[M]")
    days = months.astype("datetime64[D]") + (day - 1)
    fits = (month >= 1) & (month <= 12) & (day >= 1) & (days.astype("datetime64[M]") == months)
    if not (fits & (hour < 24) & (minute < 60) & (second < 60)).all():
        return None
    seconds = 3600 * hour + 60 * minute + second
    stamps: NDArray[np.datetime64] = days.astype("datetime64[s]") + seconds
    return stamps


def _read_national(text: pd.Series, pattern: str | None) -> Times:
    """Stamps of cells that are not ISO 8601 throughout."""
    text = text.str.replace(_INTERVAL, "", regex=True).str.replace(_SPOKEN_UTC, "Z", regex=True)
    midnight = text.str.contains(_MIDNIGHT, na=False).to_numpy(bool)
    text = text.str.replace(_MIDNIGHT, "00", regex=True)
    form = pattern or find_time_format(text)
    stamps = _parse(text, form)
    stamps = pd.DatetimeIndex(stamps + pd.to_timedelta(midnight.astype(np.int64), unit="D"))
    zoned = text.str.contains(_WITH_ZONE, na=False).to_numpy(bool)
    if "%z" in form:
        zoned = zoned | np.asarray(stamps.notna())
    told = pattern is None and form != "ISO8601"
    return Times(stamps, zoned, bool(midnight.any()), found={"time_format": form} if told else {})


def _parse(text: pd.Series, form: str) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(pd.to_datetime(text, format=form, errors="coerce", utc=True), tz="UTC")


def find_time_format(text: pd.Series) -> str:
    """Pattern of strptime that reads all cells; "ISO8601" where none does, or more than one.

    Of day and month first both can read a few days; then the one counts whose times are in order.

    >>> find_time_format(pd.Series(["1/2/2021 1:00 PM", "1/13/2021 1:00 PM"]))
    '%m/%d/%Y %I:%M %p'
    """
    probe = text.iloc[spread_rows(len(text))]
    patterns = _patterns(str(text.iloc[0]))
    fitting = [form for form in patterns if not _parse(probe, form).isna().any()]
    if len(fitting) > 1:
        fitting = [form for form in fitting if not _parse(text, form).isna().any()]
    if len(fitting) > 1:
        fitting = [form for form in fitting if _in_order(_parse(text, form))]
    return fitting[0] if len(fitting) == 1 else "ISO8601"


def spread_rows(n_rows: int) -> NDArray[np.int64]:
    """Numbers of some rows from the first to the last."""
    return np.unique(np.linspace(0, n_rows - 1, min(n_rows, N_PROBED)).astype(np.int64))


def _patterns(cell: str) -> list[str]:
    """Patterns that may read a cell, by the signs in it."""
    if cell.isdigit():
        return [_COMPACT[len(cell)]] if len(cell) in _COMPACT else []
    sign = re.match(r"\d+(\D?)", cell)
    clock = "m" if cell[-1:] in "mM" else ":" if ":" in cell else ""
    zones = ("%z", " %z") if _WITH_ZONE.search(cell) else ("",)
    dates = _DATES.get(sign[1], ()) if sign else ()
    return ["".join(parts) for parts in product(dates, _CLOCKS[clock], zones)]


def _in_order(stamps: pd.DatetimeIndex) -> bool:
    """True if times rise or fall by steps that are mostly the same."""
    steps = np.diff(stamps.asi8)
    steps = steps[steps != 0]  # a date stands in many rows
    return len(steps) > 0 and float(np.mean(steps == np.median(steps))) > 0.9


def read_date_and_hour(frame: pd.DataFrame, spec: TableSpec) -> Times:
    """Stamps of a date and an hour, which stand in two columns.

    Hours 1 to 24 are numbers: hour 1 begins at midnight. Times on a clock are read as they are.
    """
    assert spec.time_columns is not None
    days = read_times(frame[spec.time_columns[0]], spec.time_format)
    text = frame[spec.time_columns[1]].astype("str").str.strip()
    counted = False
    if text.str.fullmatch(CLOCK_TIME).all():
        elapsed = pd.to_timedelta(text.where(text.str.count(":") == 2, text + ":00"))
        at_end = bool((elapsed >= pd.Timedelta(days=1)).any())
    else:
        hours = pd.to_numeric(text, errors="coerce").to_numpy(np.float64, na_value=np.nan)
        largest = float(np.nanmax(hours, initial=0.0))
        counted, at_end = largest == 25, largest == 2400
        if largest > 25:  # 0, 15, 30, 45, 100, …, 2345
            hours = hours // 100 + hours % 100 / 60
        elif largest >= 24 and (counted or spec.stamps != "end"):
            hours = hours - 1
        elapsed = pd.Series(pd.to_timedelta(hours, unit="h").round("s"))
    spans = pd.TimedeltaIndex(elapsed)
    if counted and spec.stamp_zone is not None:
        midnights = days.stamps.tz_localize(None).tz_localize(spec.stamp_zone, ambiguous="NaT")
        stamps = midnights.tz_convert("UTC") + spans
        return Times(stamps, np.ones(len(frame), dtype=bool), counted=True, found=days.found)
    stamps = pd.DatetimeIndex(days.stamps + spans)
    return Times(stamps, np.zeros(len(frame), dtype=bool), at_end, counted, days.found)
