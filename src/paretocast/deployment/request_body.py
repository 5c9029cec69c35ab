"""The body of a request: JSON or CSV with the tables that a forecast needs.

JSON holds `history`, `weather` if there is any, and `at`. A table is a list of objects, one for
each row, or an object with a list for each column. A CSV body is the history alone.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pydantic_core import from_json

from paretocast.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from paretocast.deployment.inputs import InputContract, LiveInputs

JSON, CSV = "application/json", "text/csv"
KEYS = frozenset({"history", "weather", "at"})
Cell = str | int | float | bool | None


@dataclass(frozen=True)
class RequestTables:
    """Tables of a request, with all columns that came.

    Attributes
    ----------
    history, weather : DataFrame
        As `InputContract.read` takes them.
    at : str or None
        Issue time.
    """

    history: pd.DataFrame
    weather: pd.DataFrame | None
    at: str | None

    def inputs(self, contract: InputContract) -> LiveInputs:
        """The rows on the hourly grid of a bundle."""
        return contract.read(self.history, self.weather)


def parse_body(content: bytes, content_type: str) -> RequestTables:
    """The tables of a body.

    Raises
    ------
    DataError
        If the body is not what its type says, or of no known type.
    """
    if content_type == CSV:
        return RequestTables(_csv(content), None, None)
    try:
        body = from_json(content)
    except ValueError as error:
        raise DataError(f"the body is no JSON: {error}") from error
    if not isinstance(body, dict) or "history" not in body:
        raise DataError(
            'the body has no "history", expected {"history": [{"time": "…", …}, …], "weather": '
            '[…], "at": "2026-11-25T00:00Z"}'
        )
    if unknown := sorted(set(body) - KEYS):
        raise DataError(
            f"the body has an unknown key {unknown[0]!r}, expected history, weather, at"
        )
    at, weather = body.get("at"), body.get("weather")
    if at is not None and not isinstance(at, str):
        raise DataError(f'"at" is {at!r}, expected a text such as "2026-11-25T00:00Z"')
    return RequestTables(
        _table(body["history"], "history"),
        None if weather is None else _table(weather, "weather"),
        at,
    )


def _csv(content: bytes) -> pd.DataFrame:
    try:
        return pd.read_csv(io.BytesIO(content), dtype="str", encoding="utf-8-sig")
    except ValueError as error:
        raise DataError(f"the body is no CSV: {error}") from error


def _table(table: object, what: str) -> pd.DataFrame:
    """A table from rows or columns; only text, numbers and nothing are in its cells."""
    columns = _columns_of(table)
    if columns is None:
        raise DataError(
            f'"{what}" is neither a list of rows such as {{"time": "…", "demand": 1.5}} nor an '
            'object with lists of one length such as {"time": ["…"], "demand": [1.5]}'
        )
    laid = [_cells(name, cells, what) for name, cells in columns.items()]
    # Texts stay Python's: pandas would copy them and the names into Arrow arrays, and back again.
    frame = pd.DataFrame(dict(enumerate(laid)), copy=False)
    frame.columns = pd.Index(list(columns), dtype="object")
    return frame


def _cells(name: str, cells: list[Any], what: str) -> list[Any] | pd.Series | NDArray[np.float64]:
    """Cells of a column as numbers if they are, else as they came."""
    kinds = set(map(type, cells))
    if kinds <= {float, int, type(None)} and cells:
        try:
            return np.array(cells, dtype=np.float64)
        except OverflowError:  # a whole number beyond all floats
            return cells
    if not all(issubclass(kind, Cell) for kind in kinds):
        raise DataError(f'column {name} of "{what}" has a list or an object in a cell')
    return pd.Series(cells, dtype="object") if kinds == {str} else cells


def _columns_of(table: object) -> dict[str, list[Any]] | None:
    """Cells by column of rows or columns, None for anything else."""
    if isinstance(table, list) and all(isinstance(row, dict) for row in table):
        names = dict.fromkeys(name for row in table for name in row)
        # By column, as pandas takes twice the time for rows.
        return {name: [row.get(name) for row in table] for name in names} or None
    if not isinstance(table, dict) or not all(isinstance(cells, list) for cells in table.values()):
        return None
    return table if len({len(cells) for cells in table.values()}) == 1 else None
