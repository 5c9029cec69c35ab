"""Columns of a table: that they are there once, and the numbers in their cells.

Rows are counted from 1 after the header.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from paretocast.data.checks import Finding
from paretocast.data.dialect import NumberSigns, find_signs
from paretocast.data.tables import dialect_note
from paretocast.formatting import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from paretocast.data.dialect import TableSpec

LARGEST = 1e100  # its square is a number, too
MOST_LISTED, SHOWN_LETTERS = 40, 60  # columns, and letters of a cell


def shortened(cell: object) -> str:
    """The first letters of a cell."""
    text = str(cell)
    return text if len(text) <= SHOWN_LETTERS else f"{text[:SHOWN_LETTERS]}…"


def check_columns(frame: pd.DataFrame, needed: Sequence[str]) -> list[Finding]:
    """Findings on columns that a table lacks or has twice."""
    missing = [column for column in dict.fromkeys(needed) if column not in frame.columns]
    there = [str(column) for column in frame.columns]
    listed = ", ".join(map(shortened, there[:MOST_LISTED]))
    if len(there) > MOST_LISTED:
        listed += f" and {len(there) - MOST_LISTED} more"
    if not missing:
        doubled = [column for column in dict.fromkeys(needed) if there.count(column) > 1]
        return [_doubled_column(column, there.count(column)) for column in doubled]
    return [
        Finding(
            "error",
            "missing_columns",
            f"no column {', '.join(missing)}; the file has {listed}",
            "name existing columns as time_column, target or a covariate's column, or set "
            "separator if this is one column only"
            if len(there) == 1
            else "name existing columns as time_column, target or a covariate's column",
        )
    ]


def _doubled_column(column: str, number: int) -> Finding:
    return Finding(
        "error",
        "doubled_column",
        f"{number} columns are called {column}",
        "give each column a name of its own: nothing says which one is meant",
    )


def parse_columns(
    columns: Sequence[pd.Series], spec: TableSpec
) -> tuple[dict[str, NDArray[np.float64]], list[Finding]]:
    """Numbers of all columns of a table, NaN for an empty cell, and what is no finite number.

    Signs within numbers that the declaration leaves open are found, the same ones for all columns.
    """
    declared = spec.decimal is not None or spec.thousands is not None
    signs = NumberSigns(spec.decimal or ".", spec.thousands or "")
    values, findings = _parse_all(columns, signs)
    if declared or not findings:
        return values, findings
    readings = find_signs(columns)
    signs = readings[-1]  # of two the one that reads more
    values, findings = _parse_all(columns, signs)
    if len(readings) > 1:
        findings.append(_ambiguous_signs(columns, readings))
    elif signs != NumberSigns():
        findings.append(dialect_note(spec.path, signs.keys()))
    return values, findings


def _parse_all(
    columns: Sequence[pd.Series], signs: NumberSigns
) -> tuple[dict[str, NDArray[np.float64]], list[Finding]]:
    values, findings = {}, []
    for column in columns:
        values[str(column.name)], problems = parse_numbers(column, signs)
        findings += problems
    return values, findings


def _ambiguous_signs(columns: Sequence[pd.Series], readings: Sequence[NumberSigns]) -> Finding:
    cell = next(
        cell
        for column in columns
        for cell in column.dropna().astype("str")
        if readings[1].thousands in cell
    )
    values = [float(signs.numbers(pd.Series([cell]))[0]) for signs in readings]
    declared = [
        " and ".join(f'{key} = "{sign}"' for key, sign in signs.keys().items())
        for signs in readings
    ]
    return Finding(
        "error",
        "ambiguous_numbers",
        f"numbers such as {shortened(cell)} can be {values[0]:g} or {values[1]:g}, and no cell "
        "tells which",
        f"set {declared[0]} in the TOML file, or {declared[1]}",
    )


def parse_numbers(
    raw: pd.Series, signs: NumberSigns | None = None
) -> tuple[NDArray[np.float64], list[Finding]]:
    """Numbers of a column, NaN for an empty cell, and what is no finite number.

    Parameters
    ----------
    signs : NumberSigns, optional
        Decimal points and no groups without it.
    """
    if kind := _other_type(raw):
        finding = Finding(
            "error",
            "not_numeric",
            f"column {raw.name} holds {kind}, expected numbers",
            "name another column, or write numbers in a unit",
        )
        return np.full(len(raw), np.nan), [finding]
    numbers = (signs or NumberSigns()).numbers(raw)
    bad = np.abs(numbers) > LARGEST
    if raw.dtype != np.float64:  # whose NaN are empty cells
        bad |= np.isnan(numbers) & raw.notna().to_numpy()
    if not bad.any():
        return numbers, []
    row = int(np.flatnonzero(bad)[0])
    value = str(raw.iloc[row])
    signed = re.fullmatch(r"\s*[+-]?[\d.,' ]*\d\s*", value) is not None
    numbers[bad] = np.nan
    return numbers, [
        Finding(
            "error",
            "not_numeric",
            f"column {raw.name} holds {count(int(bad.sum()), 'value')} that cannot be read as "
            f"a finite number, the first is {shortened(value)!r} in row {row + 1}",
            "write all numbers in one way, or set decimal and thousands to the signs in them"
            if signed
            else "leave the cell of a gap empty",
        )
    ]


def _other_type(raw: pd.Series) -> str:
    """Kind of a typed column that would turn into numbers silently; empty for none."""
    kind = pd.api.types.infer_dtype(raw, skipna=True)
    if kind == "boolean":
        return "truth values"
    if kind.startswith(("datetime", "date")):
        return "dates"
    return "durations" if kind.startswith("timedelta") else ""
