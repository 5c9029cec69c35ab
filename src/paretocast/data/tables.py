"""Tables of files: CSV in any dialect, .xlsx and Parquet.

Cells of text files stay text; what they mean is decided later, when columns are known.
"""

from __future__ import annotations

import codecs
import datetime as dt
import gzip
import re
import zipfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
import tomli_w

from paretocast.data.checks import Finding
from paretocast.data.dialect import TableSpec, find_separator
from paretocast.errors import DataError
from paretocast.formatting import count

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

TEXT_KINDS = (".csv", ".tsv", ".txt")
SAMPLE_BYTES, HEADER_BYTES = 1 << 16, 1 << 20
MOST_COLUMNS = 10_000  # pandas takes seconds for each ten thousand
FALLBACK_ENCODING = "cp1252"  # of spreadsheets in Western Europe and America
# Marks of a missing value beside those that pandas knows, as grid operators write them.
MISSING = ("-", "–", "n/e")
NO_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_DAMAGES = (
    *(OSError, EOFError, ValueError, KeyError, ImportError, MemoryError),
    *(zlib.error, zipfile.BadZipFile),
)


def read_table(path: Path, spec: TableSpec | None = None) -> pd.DataFrame:
    """The rows of a file; arguments and errors as of `open_table`."""
    return open_table(path, spec)[0]


def read_rows(
    path: Path, spec: TableSpec | None = None, *, numbers: Sequence[str] = ()
) -> tuple[pd.DataFrame, tuple[Finding, ...]]:
    """The rows of a file, and a note on what was found out about its dialect; as `open_table`."""
    frame, found = open_table(path, spec, numbers=numbers)
    return frame, (dialect_note(path, found),) if found else ()


def open_table(
    path: Path, spec: TableSpec | None = None, *, numbers: Sequence[str] = ()
) -> tuple[pd.DataFrame, dict[str, str]]:
    """The rows of a CSV, .xlsx or Parquet file, and keys of its dialect that were found in it.

    The cells of a text file are text, NaN where empty.

    Parameters
    ----------
    spec : TableSpec, optional
        Dialect of the file; what it does not say is found in the file.
    numbers : sequence of str
        Columns that may come as numbers at once, if all their cells are plain ones.

    Raises
    ------
    DataError
        If the file is of another kind or cannot be read, or if a row has more fields than the
        header.
    """
    spec = spec or TableSpec(path=path)
    name = path.name.lower().removesuffix(".gz")
    try:
        if is_text(path):
            return _read_text(path, spec, numbers)
        if name.endswith((".parquet", ".pq")):
            frame = pd.read_parquet(path)
            return frame if frame.index.name is None else frame.reset_index(), {}
        if name.endswith(".xlsx"):
            return _read_sheet(path, spec), {}
    except DataError:
        raise
    except _DAMAGES as error:
        raise DataError(f"{path} {_of_damage(error)}") from error
    raise DataError(
        f"{path} is of no known kind, expected .csv, .tsv or .txt (each also as .gz), .parquet or "
        ".xlsx"
    )


def is_text(path: Path) -> bool:
    """True for a CSV file in any dialect, by its name."""
    return path.name.lower().removesuffix(".gz").endswith(TEXT_KINDS)


def _read_text(
    path: Path, spec: TableSpec, numbers: Sequence[str]
) -> tuple[pd.DataFrame, dict[str, str]]:
    sample = _first_bytes(path)
    encoding = spec.encoding or next(
        (name for mark, name in NO_MARKS.items() if sample.startswith(mark)), "utf-8-sig"
    )
    try:
        frame, separator = _read_encoded(path, spec, sample, encoding, numbers)
    except UnicodeDecodeError:
        if spec.encoding is not None:
            raise
        encoding = FALLBACK_ENCODING
        frame, separator = _read_encoded(path, spec, sample, encoding, numbers)
    found = {}
    if spec.encoding is None and encoding != "utf-8-sig":
        found["encoding"] = encoding
    if spec.separator is None and separator != ",":
        found["separator"] = separator
    return frame, found


def _read_encoded(
    path: Path, spec: TableSpec, sample: bytes, encoding: str, numbers: Sequence[str]
) -> tuple[pd.DataFrame, str]:
    text = sample.decode(encoding, errors="replace")
    whole_lines = text if len(sample) < SAMPLE_BYTES else text.rpartition("\n")[0]
    separator = spec.separator or find_separator(whole_lines)
    if _first_line(path, text, encoding).count(separator) >= MOST_COLUMNS:
        raise DataError(
            f"{path} has more than {MOST_COLUMNS} columns in its first line; keep the time, the "
            "target and the covariates, or write many series below each other with a column "
            "that names them"
        )
    file = _TextFile(path, separator, encoding)
    header = file.parse(nrows=1, keep_default_na=False, dtype="str")
    names = [name or f"Unnamed: {i}" for i, name in enumerate(header.iloc[0].astype("str"))]
    # A field more than the header has is empty behind a trailing separator, else an error; pandas
    # itself would move all columns by one, or drop it.
    places = list(range(len(names) + 1))
    plain = {names.index(name) for name in numbers if names.count(name) == 1}
    declared = spec.decimal is not None or spec.thousands is not None
    n_blank = text[: len(text) - len(text.lstrip("\r\n"))].count("\n")
    frame = None if declared else file.parse_plain(places, plain, n_skipped=n_blank + 1)
    if frame is None:
        frame = file.parse(names=places, na_values=list(MISSING), dtype="str")
        frame = frame.iloc[1:].reset_index(drop=True)
    surplus, frame = frame[places[-1]].notna().to_numpy(), frame.drop(columns=places[-1])
    if surplus.any():
        first = int(surplus.argmax())
        raise DataError(
            f"{path}: {count(int(surplus.sum()), 'row')} of {len(frame)} have more fields than the "
            f"{len(names)} of the header ({', '.join(names)}), the first is row {first + 1}; where "
            f"{separator!r} stands within numbers or texts, put these into quotation marks or "
            "separate the columns by another sign"
        )
    frame.columns = pd.Index(names)
    return frame, separator


@dataclass(frozen=True)
class _TextFile:
    """A text file whose first row, the header, is a row like the others."""

    path: Path
    separator: str
    encoding: str

    def parse(self, **how: Any) -> pd.DataFrame:  # noqa: ANN401  (arguments of pandas)
        frame: pd.DataFrame = pd.read_csv(
            self.path,
            header=None,
            sep=self.separator,
            encoding=self.encoding,
            index_col=False,
            **how,
        )
        return frame

    def parse_plain(
        self, places: Sequence[int], plain: Collection[int], *, n_skipped: int
    ) -> pd.DataFrame | None:
        """Rows below the header with some columns as numbers; none if a cell of these is none."""
        if not plain:
            return None
        frame = self.parse(
            names=places,
            na_values=list(MISSING),
            skiprows=n_skipped,
            dtype={place: "str" for place in places if place not in plain},
            low_memory=False,
        )
        return frame if all(_is_number(frame[place]) for place in plain) else None


def _is_number(cells: pd.Series) -> bool:
    numeric = pd.api.types.is_numeric_dtype(cells.dtype)
    return numeric and not pd.api.types.is_bool_dtype(cells.dtype)


def _read_sheet(path: Path, spec: TableSpec) -> pd.DataFrame:
    """The rows of a sheet, times rounded to the second, which a spreadsheet's fractions miss."""
    cells = pd.read_excel(path, sheet_name=spec.sheet or 0, header=None, dtype="object")
    cells = cells.dropna(how="all")
    if cells.empty:
        raise pd.errors.EmptyDataError
    header = [
        f"Unnamed: {i}" if pd.isna(name) else str(name) for i, name in enumerate(cells.iloc[0])
    ]
    rows = cells.iloc[1:].reset_index(drop=True)
    rows.columns = pd.Index(header)
    for i in range(len(header)):
        if rows.iloc[:, i].map(lambda cell: isinstance(cell, dt.datetime)).all():
            rounded = pd.DatetimeIndex(rows.iloc[:, i]).round("s")
            rows.isetitem(i, rounded.to_numpy())
    return rows


def _first_bytes(path: Path, most: int = SAMPLE_BYTES) -> bytes:
    with path.open("rb") as plain:
        if path.name.lower().endswith(".gz"):
            return gzip.GzipFile(fileobj=plain).read(most)
        return plain.read(most)


def _first_line(path: Path, sample: str, encoding: str) -> str:
    """The header, of at most `HEADER_BYTES`."""
    line, end, _ = sample.lstrip().partition("\n")
    if end:
        return line
    text = _first_bytes(path, HEADER_BYTES).decode(encoding, errors="replace")
    return text.lstrip().partition("\n")[0]


def _of_damage(error: Exception) -> str:
    """Words on a file that could not be read: its fault, and the remedy."""
    if isinstance(error, MemoryError) or "out of memory" in str(error):
        return (
            "takes more memory than there is; see whether its rows end where they should, or "
            "take a machine with more"
        )
    if isinstance(error, ImportError):
        library, extra = (
            ("openpyxl", "xlsx") if "openpyxl" in str(error) else ("pyarrow", "parquet")
        )
        return f"cannot be read: {library} is not installed; pip install 'paretocast[{extra}]'"
    if isinstance(error, pd.errors.EmptyDataError):
        return "is empty, expected a header and a row for each time"
    if isinstance(error, pd.errors.ParserError):
        return _of_parser(str(error))
    advice = "; save it as UTF-8 or give its encoding" if isinstance(error, UnicodeError) else ""
    return f"cannot be read: {error}{advice}"


def _of_parser(message: str) -> str:
    """Words on an error of the parser of pandas."""
    fields = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", message)
    if fields is None:
        return f"cannot be read as a table: {message.strip()}"
    expected, line, seen = map(int, fields.groups())
    return (
        f"cannot be read: line {line} has {seen} fields, the header has {expected - 1}; write the "
        "same number in each line, or set separator if the columns are divided by another sign"
    )


def dialect_note(path: Path, found: Mapping[str, str]) -> Finding:
    """Return the note on keys of the dialect that were found in the file."""
    keys = tomli_w.dumps(found).strip().replace("\n", " and ")
    return Finding("note", "dialect", f"{path.name} is read with {keys}, as its content says")
