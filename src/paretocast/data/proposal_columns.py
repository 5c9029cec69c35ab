"""Columns of a table by their content and names: time, series, target, covariates."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from paretocast.data.dialect import READINGS, NumberSigns, find_signs
from paretocast.data.stamps import CLOCK_TIME, read_times, spread_rows
from paretocast.errors import DataError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MOST_DISTINCT_SHARE = 0.7  # of the times of a file with several series
MOST_UNREAD_SHARE = 0.1  # of the cells of a column of numbers
_TIME_NAME = re.compile(r"time|date|datum|zeit|stamp|utc|tid|fecha|heure|mtu|von|from", re.I)
_HOUR_NAME = re.compile(r"hour|hr|stunde|time|zeit|heure|hora|uur|\bhe\b|period", re.I)
_TARGET_NAME = re.compile(
    r"target|load|demand|consum|verbrauch|last\b|heat|wärme|flow|zufluss|usage|energy|"
    r"[kmg]wh?\b|power|quantity|value",
    re.I,
)
_CALENDAR_NAME = re.compile(
    r"^(?:unnamed: \d+|index|id|row|no|nr|year|month|day|hour|minute|week\w*|dow|doy|quarter|"
    r"jahr|monat|tag|stunde)$",
    re.I,
)
_FORECAST_NAME = re.compile(
    r"temp|t2m|^t$|air|wind|humid|feucht|radiation|solar|ghi|irradi|strahlung|sun|rain|precip|"
    r"niederschlag|snow|cloud|pressure|dew|weather",
    re.I,
)
_KINDS = {"temperature": re.compile(r"temp|t2m|^t$", re.I), "wind": re.compile(r"wind", re.I)}
_UNIT = re.compile(r"[\[(]([^\])]{1,12})[\])]|_(kwh|mwh|gwh|kw|mw|gw|m3h|ls)$", re.I)


@dataclass(frozen=True)
class TimeColumns:
    """Columns of the time, one or date and hour, and what tells them."""

    names: tuple[str, ...]
    why: str


def find_time_columns(rows: pd.DataFrame, path: Path) -> TimeColumns:
    """The columns that hold the time.

    Raises
    ------
    DataError
        If no column holds times.
    """
    probe = rows.iloc[spread_rows(len(rows))]
    names = [name for name in rows.columns if _holds_times(probe[name])]
    if not names:
        raise DataError(
            f"{path}: no column holds times; the first row is "
            f"{', '.join(f'{name} = {cell}' for name, cell in rows.iloc[0].items())}. Write the "
            "TOML file by hand, with time_format"
        )
    distinct = {name: rows[name].nunique() for name in names}
    # Of UTC and local time the one without a repeated hour, of two such the first.
    best = max(names, key=lambda name: (distinct[name], bool(_TIME_NAME.search(name))))
    times = read_times(rows[best])
    if not times.zoned.all() and _only_midnights(times.stamps) and times.stamps.has_duplicates:
        hour = _hour_column(probe, rows, best)
        if hour is not None:
            return TimeColumns((best, hour), f"{best} holds dates and {hour} the hours of the day")
    others = [name for name in names if name != best]
    why = "the only column of times" if not others else f"rather than {', '.join(others)}"
    return TimeColumns((best,), why)


def _holds_times(cells: pd.Series) -> bool:
    if pd.api.types.is_datetime64_any_dtype(cells.dtype):
        return True
    if pd.api.types.is_numeric_dtype(cells.dtype) or cells.isna().any():
        return False
    text = cells.astype("str").str.strip()
    plain = text.str.fullmatch(r"[+-]?[\d.,' ]*").all()  # numbers, if not a compact date
    if plain and not text.str.fullmatch(r"(?:19|20)\d{6}(?:\d{4}|\d{6})?|\d+\.\d+\.\d+").all():
        return False
    return bool(text.str.contains(r"\d").all() and not read_times(text).stamps.isna().any())


def _only_midnights(stamps: pd.DatetimeIndex) -> bool:
    return bool((stamps == stamps.normalize()).all())


def _hour_column(probe: pd.DataFrame, rows: pd.DataFrame, date: str) -> str | None:
    """Column that tells apart the rows of a day."""
    per_day = rows.groupby(date, sort=False).size().median()
    candidates = [
        str(name)
        for name in rows.columns.drop(date)
        if _holds_hours(probe[name]) and min(per_day, 12) <= rows[name].nunique() <= 300
    ]
    named = [name for name in candidates if _HOUR_NAME.search(name)]
    return next(iter(named or candidates), None)


def _holds_hours(cells: pd.Series) -> bool:
    """True if cells are hours of a day: a clock time, numbers up to 25, or 0, 15, …, 2345."""
    text = cells.astype("str").str.strip()
    if text.str.fullmatch(CLOCK_TIME).all():
        return True
    numbers = pd.to_numeric(text, errors="coerce").to_numpy(np.float64)
    if np.isnan(numbers).any() or (numbers % 1 != 0).any() or numbers.min() < 0:
        return False
    return bool(numbers.max() <= 25 or (numbers.max() <= 2400 and (numbers % 100 < 60).all()))


def find_series_column(
    rows: pd.DataFrame, stamps: pd.DatetimeIndex, time: Sequence[str]
) -> str | None:
    """Column that names the series of each row where most times stand in several rows."""
    n_times = stamps.nunique()
    if n_times > MOST_DISTINCT_SHARE * len(stamps):
        return None
    for name in rows.columns.drop(list(time)):
        n_series = rows[name].nunique()
        if not len(rows) / (2 * n_times) <= n_series <= 0.1 * len(rows):
            continue
        if pd.MultiIndex.from_arrays([stamps, rows[name]]).duplicated().mean() < 0.01:
            return str(name)
    return None


def number_columns(rows: pd.DataFrame, leave: Sequence[str]) -> list[str]:
    """Columns whose cells are numbers but for a few."""
    names = []
    for name in rows.columns.drop(list(leave)):
        cells = rows[name].dropna()
        if cells.empty:
            continue
        shares = (float(np.isnan(signs.numbers(cells)).mean()) for signs in READINGS)
        if any(share <= MOST_UNREAD_SHARE for share in shares):
            names.append(str(name))
    return names


def signs_of(columns: Sequence[pd.Series], separator: str) -> tuple[NumberSigns, str]:
    """Signs within numbers, and what tells them."""
    if not np.isnan(np.concatenate([NumberSigns().numbers(c.dropna()) for c in columns])).any():
        return NumberSigns(), "all numbers read so"
    readings = find_signs(columns)
    if len(readings) == 1:
        return readings[0], "all numbers read so, and not with a decimal point"
    chosen = readings[0] if separator != "," else readings[1]
    return chosen, (
        f"numbers such as 1,234 tell nothing; columns are separated by {separator!r}, so this is "
        "likelier"
    )


def find_target(names: Sequence[str], requested: str | None, path: Path) -> tuple[str, str]:
    """The column of the demand, and what tells it.

    Raises
    ------
    SettingsError
        If there is no column of numbers, or not the one requested.
    """
    if requested is not None:
        if requested not in names:
            raise SettingsError(
                f"{path} has no column of numbers called {requested}; it has "
                f"{', '.join(names) or 'none'}"
            )
        return requested, "you say so"
    left = [n for n in names if not (_CALENDAR_NAME.search(n) or _FORECAST_NAME.search(n))]
    named = [name for name in left if _TARGET_NAME.search(name)]
    if not (named or left or names):
        raise SettingsError(f"{path} has no column of numbers, so nothing can be its target")
    target = (named or left or list(names))[0]
    others = [name for name in left if name != target]
    why = "its name" if named else "the first column of numbers that is no weather"
    return target, f"{why}; else --target {others[0]}" if others else why


def unit_of(column: str) -> str:
    """Unit in the name of a column, empty without one.

    >>> unit_of("Netzlast [MWh]"), unit_of("load_mw"), unit_of("load")
    ('MWh', 'mw', '')
    """
    found = _UNIT.search(column)
    return (found[1] or found[2]) if found else ""


def covariate_of(column: str) -> dict[str, str | bool] | None:
    """Role, kind and use that the name of a column speaks for; None for terms of the calendar."""
    if _CALENDAR_NAME.search(column):
        return None
    if not _FORECAST_NAME.search(column):
        return {"role": "past", "use": False}
    kind = next((kind for kind, names in _KINDS.items() if names.search(column)), None)
    return {"role": "forecast", **({"kind": kind} if kind else {})}


def plain_name(text: str, taken: Sequence[str] = ()) -> str:
    """Name of letters, digits, "_", "-" and "." that is not taken.

    >>> plain_name("Netzlast [MWh] Ost"), plain_name("a b", ["a_b"])
    ('Netzlast_MWh_Ost', 'a_b_2')
    """
    ascii_text = text.replace("ä", "ae").replace("ö", "oe").replace("ü", "ue").replace("ß", "ss")
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "_", ascii_text).strip("_.-") or "series"
    numbered = (f"{plain}_{number}" for number in range(2, len(taken) + 3))
    return plain if plain not in taken else next(n for n in numbered if n not in taken)
