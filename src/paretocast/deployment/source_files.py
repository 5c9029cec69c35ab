"""Newer rows of the other files that a data set names under `[[sources]]`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from paretocast.data.sources import SourceTable, join_sources
from paretocast.data.tables import read_rows
from paretocast.errors import DataError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from paretocast.data.checks import Finding
    from paretocast.data.spec import DatasetSpec, SourceSpec

MOST_AHEAD = pd.Timedelta(days=400)  # that other files reach beyond the rows of the target


def read_sources(
    spec: DatasetSpec,
    declared: Iterable[str],
    given: Mapping[str, str | Path | pd.DataFrame],
) -> tuple[SourceTable, ...]:
    """Rows of the other files that a model needs.

    Parameters
    ----------
    declared : iterable of str
        Covariates of the model, as the data set calls them.
    given : mapping of str to path or DataFrame
        By the name that the file has in the data set, without its folder. Empty where the table of
        the target holds their columns.

    Raises
    ------
    SettingsError
        If the data set names no such file, or another one is needed as well.
    DataError
        If a file cannot be read.
    """
    if not given:
        return ()
    named = sorted({source.path.name for source in spec.sources})
    if not named:
        raise SettingsError(
            f"the data set {spec.name} has no other files, but {', '.join(given)} is given as one; "
            "leave it out"
        )
    if unknown := sorted(set(given) - set(named)):
        raise SettingsError(
            f"the data set {spec.name} knows no file {', '.join(unknown)}, expected "
            f"{', '.join(named)}; where it has another name now, say {named[0]}={unknown[0]}"
        )
    used = {spec.column_of(d) for d in spec.from_sources(declared)}
    needed = [source for source in spec.sources if used & set(source.columns)]
    if lacking := sorted({source.path.name for source in needed} - set(given)):
        raise SettingsError(
            f"{', '.join(given)} is given and {', '.join(lacking)} is not; the model needs all of "
            "them"
        )
    return tuple(SourceTable(s, *_rows(given[s.path.name], s)) for s in needed)


def sources_named(words: Sequence[str]) -> dict[str, Path]:
    """Files by their names in the data set, from FILE or NAME=FILE each.

    >>> sources_named(["data/weather.csv", "wind.csv=wind_2026.csv"])["wind.csv"].name
    'wind_2026.csv'
    """
    named = {}
    for word in words:
        name, _, path = word.rpartition("=")
        named[name or Path(path).name] = Path(path)
    return named


def with_sources(
    values: pd.DataFrame,
    spec: DatasetSpec,
    sources: Sequence[SourceTable],
    names: Mapping[str, str],
) -> pd.DataFrame:
    """The values of a grid with those of other files, which may reach further.

    Parameters
    ----------
    names : mapping of str to str
        Covariates of the sources, as the data set calls them, to columns of the result.

    Raises
    ------
    DataError
        If a source cannot be used.
    """
    last = values.index[-1]
    index = pd.date_range(values.index[0], last + MOST_AHEAD, freq=spec.step, unit="ns")
    columns, findings = join_sources(sources, spec, index)
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        listed = "\n".join(f"  {error}" for error in errors)
        raise DataError(f"a source cannot be used:\n{listed}")
    joined = {name: columns[spec.column_of(declared)] for declared, name in names.items()}
    table = pd.DataFrame(joined, index=index)
    until = max(last, table.last_valid_index() or last)
    return values.reindex(index[index <= until]).assign(**table)


def _rows(
    given: str | Path | pd.DataFrame, spec: SourceSpec
) -> tuple[pd.DataFrame, tuple[Finding, ...]]:
    if isinstance(given, pd.DataFrame):
        return given, ()
    return read_rows(Path(given), spec)
