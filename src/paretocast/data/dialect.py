"""Dialect of a table in a file: separators, signs of numbers, encoding, time stamps.

What a declaration leaves open is found in the file itself and told in a note; where the file allows
two readings, it is an error to leave it open.
"""

from __future__ import annotations

import codecs
import csv
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd
from pydantic import AfterValidator, Field, model_validator

from paretocast.toml import ClosedModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# In doubt the earlier one: a comma stands in numbers and names too.
SEPARATORS = ("\t", ";", "|", ",")
SPACES = re.compile("[\u00a0\u2009\u202f]")


def _known_zone(zone: str) -> str:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"time zone {zone!r} is unknown, expected an IANA name such as Europe/Copenhagen"
        ) from None
    return zone


def _known_encoding(name: str) -> str:
    try:
        codecs.lookup(name)
    except (LookupError, ValueError):
        raise ValueError("expected a text encoding such as utf-8, cp1252 or utf-16") from None
    return name


def _time_pattern(pattern: str) -> str:
    if "%" not in pattern:
        raise ValueError("expected a pattern such as %d.%m.%Y %H:%M")
    return pattern


Zone = Annotated[str, AfterValidator(_known_zone)]


class TableSpec(ClosedModel):
    """A file and how its table is written; a key that is None is found in the file.

    Attributes
    ----------
    path : Path
        CSV (.csv, .tsv, .txt, each also with .gz), .xlsx or Parquet.
    time_column : str
        Column of the time stamps.
    time_columns : pair of str or None
        Columns of date and hour instead: hours 0 to 23, 1 to 24 (hour 1 begins at midnight, and 25
        stands on the long day of autumn), or a clock time.
    time_format : str or None
        Pattern of strptime; ISO 8601 and common national forms are found without it.
    stamps : {"start", "end"} or None
        What a stamp marks of its interval; the start without it, unless hours run to 24:00.
    stamp_zone : str or None
        Zone of time stamps that carry none. Stamps with an offset need none.
    sheet : str or None
        Of an .xlsx file; the first one without it.
    series_column : str or None
        Column of a long file that names the series of each row.
    """

    path: Path
    time_column: str = "timestamp"
    time_columns: tuple[str, str] | None = None
    time_format: Annotated[str, AfterValidator(_time_pattern)] | None = None
    stamps: Literal["start", "end"] | None = None
    stamp_zone: Zone | None = None
    separator: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    decimal: Literal[".", ","] | None = None
    thousands: Literal[",", ".", " ", "'"] | None = None
    encoding: Annotated[str, AfterValidator(_known_encoding)] | None = None
    sheet: str | None = None
    series_column: str | None = None

    @model_validator(mode="after")
    def _signs_differ(self) -> TableSpec:
        if self.thousands is not None and self.thousands == (self.decimal or "."):
            raise ValueError(
                f"decimal and thousands are both {self.thousands!r}, expected two signs"
            )
        return self

    @property
    def stamp_columns(self) -> tuple[str, ...]:
        """Columns that hold the time of a row."""
        return self.time_columns or (self.time_column,)


# Keys of a table's dialect: a copy in our own form has none of them.
DIALECT_KEYS = tuple(name for name in TableSpec.model_fields if name not in {"path", "time_column"})


@dataclass(frozen=True)
class NumberSigns:
    """Signs within numbers.

    Attributes
    ----------
    thousands : str
        Between groups of three digits; empty for none.
    """

    decimal: str = "."
    thousands: str = ""

    def numbers(self, raw: pd.Series) -> NDArray[np.float64]:
        """Numbers of cells, NaN for what is none.

        >>> NumberSigns(",", ".").numbers(pd.Series(["1.234,5", "12.5", "7"])).tolist()
        [1234.5, nan, 7.0]
        """
        if self == NumberSigns() or pd.api.types.is_numeric_dtype(raw.dtype):
            plain = raw
        else:
            text = raw.astype("str").str.strip().str.replace(SPACES, " ", regex=True)
            written = text.str.fullmatch(self._pattern())
            if self.thousands:
                text = text.str.replace(self.thousands, "", regex=False)
            plain = text.str.replace(self.decimal, ".", regex=False)
            plain = plain.where(written.fillna(value=False).astype(bool))
        numbers = pd.to_numeric(plain, errors="coerce")
        return np.array(numbers.to_numpy(np.float64, na_value=np.nan))

    def shown_by(self, raw: pd.Series) -> bool:
        """True if a cell can only be read so: two groups, or both signs."""
        groups = rf"{re.escape(self.thousands)}\d{{3}}"
        shown = rf"\d{groups}(?:{groups}|{re.escape(self.decimal)})"
        return bool(raw.astype("str").str.contains(shown).any())

    def _pattern(self) -> str:
        decimal = re.escape(self.decimal)
        whole = r"\d*"
        if self.thousands:
            whole = rf"(?:\d{{0,3}}|[1-9]\d{{0,2}}(?:{re.escape(self.thousands)}\d{{3}})+)"
        return rf"[+-]?{whole}(?:{decimal}\d*)?(?:[eE][+-]?\d+)?"

    def keys(self) -> dict[str, str]:
        """Return the keys that declare the signs."""
        signs = {"decimal": self.decimal, "thousands": self.thousands}
        return {key: sign for key, sign in signs.items() if sign}


# The plainest first; a later one counts only where it reads more cells.
READINGS = (
    NumberSigns(),
    NumberSigns(","),
    NumberSigns(".", ","),
    NumberSigns(",", "."),
    NumberSigns(".", " "),
    NumberSigns(",", " "),
    NumberSigns(".", "'"),
    NumberSigns(",", "'"),
)


def find_signs(columns: Sequence[pd.Series]) -> tuple[NumberSigns, ...]:
    """Signs under which most cells of some columns are numbers, the plainest of them.

    Returns
    -------
    tuple of NumberSigns
        Two where "1,234" can be one and a fraction or a thousand, and no cell tells.
    """

    def n_unread(signs: NumberSigns) -> int:
        return sum(
            int((np.isnan(signs.numbers(column)) & column.notna().to_numpy()).sum())
            for column in columns
        )

    unread = {signs: n_unread(signs) for signs in READINGS}
    first, *others = [signs for signs in READINGS if unread[signs] == min(unread.values())]
    if first.thousands in {",", "."} and not any(first.shown_by(column) for column in columns):
        return NumberSigns(first.thousands), first
    if first == NumberSigns(",") and NumberSigns(".", ",") in others:
        return first, NumberSigns(".", ",")
    return (first,)


def find_separator(text: str) -> str:
    r"""Separator of the lines of a table, of which the first holds the names of the columns.

    Of the characters that stand in the header the one is taken that divides most rows into as many
    fields as the header, and of those the one with most fields.

    >>> find_separator("time;load\n2021-01-01;94,3\n2021-01-02;95,1")
    ';'
    """
    best, separator = (0.0, 1), ","
    lines = text.splitlines()
    for candidate in SEPARATORS:
        rows = [row for row in csv.reader(lines, delimiter=candidate) if row]
        if not rows or len(rows[0]) < 2:
            continue
        n_fields = len(rows[0])
        same = float(np.mean([len(row) == n_fields for row in rows]))
        if (same, n_fields) > best:
            best, separator = (same, n_fields), candidate
    return separator
