"""The declaration of a data set proposed from its file alone, with the reason for each key.

Everything is read from the file and nothing is asked. What the file cannot tell is said.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import tomli_w

from paretocast.data.checks import Finding, at, errors_among
from paretocast.data.clock import step_of
from paretocast.data.columns import parse_columns
from paretocast.data.dialect import NumberSigns
from paretocast.data.parsing import newest_first, rows_of_series, stamps_of
from paretocast.data.proposal_clock import ClockBelief, find_clock
from paretocast.data.proposal_columns import (
    covariate_of,
    find_series_column,
    find_target,
    find_time_columns,
    number_columns,
    plain_name,
    signs_of,
    unit_of,
)
from paretocast.data.readiness import check_declared
from paretocast.data.series import MIN_PERIOD_DAYS
from paretocast.data.spec import CovariateSpec, DatasetSpec, declare_dataset
from paretocast.data.stamps import Times, read_date_and_hour, read_times
from paretocast.data.tables import FALLBACK_ENCODING, is_text, open_table
from paretocast.errors import DataError, SettingsError
from paretocast.formatting import count, percent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PERIODS = tuple(MIN_PERIOD_DAYS)
MOST_COLUMNS = 300
MOST_COVARIATES = 12  # a wide file has hundreds of columns, of which few are covariates
MOST_TRIMMED_SHARE = 0.05  # of the time before all columns have begun


@dataclass(frozen=True)
class Belief:
    """One thing that a file is taken to say.

    Attributes
    ----------
    value : str
        As people read it.
    why : str
        The evidence.
    keys : tuple of str
        Of the declaration that say so.
    """

    name: str
    value: str
    why: str
    keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Proposal:
    """A declaration, and why it says what it says.

    Attributes
    ----------
    keys : dict
        As the TOML file holds them; `path` is absolute.
    dates : tuple of Timestamp
        Last hours of the train, validation and test periods.
    findings : tuple of Finding
        Of the check of the declaration.
    """

    spec: DatasetSpec
    keys: Mapping[str, Any]
    beliefs: tuple[Belief, ...]
    dates: tuple[pd.Timestamp, pd.Timestamp, pd.Timestamp]
    findings: tuple[Finding, ...]

    def line(self) -> str:
        """The beliefs in one line."""
        plain = {"encoding utf-8", "unit none"}
        said = (f"{belief.name} {belief.value}" for belief in self.beliefs)
        return ", ".join(text for text in said if text not in plain and "periods" not in text)


@dataclass(frozen=True)
class _Draft:
    """Keys and beliefs so far."""

    path: Path
    keys: dict[str, Any]
    beliefs: list[Belief]

    def believe(self, name: str, value: str, why: str, **keys: object) -> None:
        said = {key: content for key, content in keys.items() if content is not None}
        self.beliefs.append(Belief(name, value, why, tuple(said)))
        self.keys.update(said)

    def spec(self) -> DatasetSpec:
        """The declaration of the keys."""
        content = {"target": "", **self.keys}
        return declare_dataset(content, origin=f"{self.path} holds what no data set can be")


def propose_dataset(
    path: str | Path,
    *,
    target: str | None = None,
    zone: str | None = None,
    series: str | None = None,
    name: str | None = None,
) -> Proposal:
    """A declaration of the series in a file.

    Parameters
    ----------
    path : path
        CSV, .xlsx or Parquet.
    target : str, optional
        Column of the demand; by its name or place without it.
    zone : str, optional
        IANA zone where the demand lives; by the stamps without it, else UTC.
    series : str, optional
        Series of a long file; the longest without it.
    name : str, optional
        Of the set; that of the file without it.

    Raises
    ------
    DataError
        If the file cannot be read or holds no times.
    SettingsError
        If it has no such column, series or zone.
    """
    path = Path(path).absolute()
    if not path.is_file():
        raise SettingsError(f"no file {path}, expected a table with a column of times")
    rows, dialect = open_table(path)
    if len(rows) < 2:
        raise DataError(
            f"{path} has {count(len(rows), 'row')} below the header, expected a row per time"
        )
    draft = _Draft(path, {"name": name or _name_of(path), "path": str(path)}, [])
    if zone is not None:
        draft.keys["zone"] = zone
    draft.spec()  # refuses a name or zone that is none
    _add_dialect(draft, dialect)
    rows = _columns_to_look_at(draft, rows, target)
    columns = _add_time(draft, rows)
    rows, times = _add_series(draft, rows, columns, series)
    numbers = _add_numbers(draft, rows, columns, dialect.get("separator", ","))
    _add_target(draft, numbers, target)
    _add_clock(draft, find_clock(rows[columns[-1]], times, zone=zone))
    values = _add_step(draft, rows, numbers)
    _add_covariates(draft, values)
    return _checked(draft, values)


def _name_of(path: Path) -> str:
    stem = path.name.removesuffix(".gz")
    return plain_name(stem.rpartition(".")[0] or stem)


def _add_dialect(draft: _Draft, found: Mapping[str, str]) -> None:
    if not is_text(draft.path):
        return
    separator, encoding = found.get("separator"), found.get("encoding")
    shown = {"\t": "tab", None: ","}.get(separator, separator)
    why = "divides header and rows into equally many fields"
    draft.believe("separator", str(shown), why, separator=separator)
    not_utf8 = encoding == FALLBACK_ENCODING
    why = "its bytes are no UTF-8" if not_utf8 else "all of its bytes can be read so"
    draft.believe("encoding", encoding or "utf-8", why, encoding=encoding)


def _columns_to_look_at(draft: _Draft, rows: pd.DataFrame, target: str | None) -> pd.DataFrame:
    """Columns with a name of their own, and of a very wide file the first ones."""
    doubled = rows.columns.duplicated(keep=False)
    if doubled.any():
        names = ", ".join(map(str, rows.columns[doubled].unique()))
        draft.believe("left out", f"{names:.60}", "several columns have this name")
    rows = rows.loc[:, ~doubled]
    if rows.shape[1] <= MOST_COLUMNS:
        return rows
    near = np.arange(rows.shape[1]) < MOST_COLUMNS
    why = f"the first {MOST_COLUMNS} columns and that of --target are looked at"
    draft.believe("left out", count(rows.shape[1] - MOST_COLUMNS, "column"), why)
    return rows.loc[:, near | (rows.columns == target)]


def _add_time(draft: _Draft, rows: pd.DataFrame) -> tuple[str, ...]:
    found = find_time_columns(rows, draft.path)
    if len(found.names) == 1:
        draft.believe("time", found.names[0], found.why, time_column=found.names[0])
    else:
        draft.believe("time", " and ".join(found.names), found.why, time_columns=list(found.names))
    return found.names


def _add_series(
    draft: _Draft, rows: pd.DataFrame, columns: Sequence[str], series: str | None
) -> tuple[pd.DataFrame, Times]:
    """Rows of one series and their stamps."""
    times = _times(draft, rows)
    column = find_series_column(rows, times.stamps, columns)
    if series is not None and column is None:
        raise SettingsError(f"{draft.path} holds one series, so there is none called {series}")
    if column is not None:
        counts = rows[column].astype("str").str.strip().value_counts(sort=False)
        chosen = series or str(counts.index[int(counts.to_numpy().argmax())])
        others = ", ".join(str(other) for other in counts.index if other != chosen)
        why = "you say so" if series else f"the first of the longest; else --series: {others:.60}"
        said = {"series_column": column, "series_name": chosen}
        draft.believe("series", f"{chosen} in {column}", why, **said)
        rows, findings = rows_of_series(rows, draft.spec())
        if findings:
            raise SettingsError(f"{draft.path}: {findings[0]}")
        times = _times(draft, rows)
    form = times.found.get("time_format")
    if form is not None:
        draft.believe("form of time", form, "the only one that reads all times", time_format=form)
    if newest_first(times.stamps):
        draft.believe("order", "newest row first", "times fall from row to row")
    return rows, times


def _times(draft: _Draft, rows: pd.DataFrame) -> Times:
    spec = draft.spec()
    if spec.time_columns is not None:
        return read_date_and_hour(rows, spec)
    return read_times(rows[spec.time_column])


def _add_numbers(
    draft: _Draft, rows: pd.DataFrame, columns: Sequence[str], separator: str
) -> list[str]:
    """Names of the columns of numbers."""
    series = draft.keys.get("series_column")
    names = number_columns(rows, leave=[*columns, *([series] if series else [])])
    if not names:
        raise SettingsError(f"{draft.path} has no column of numbers, so nothing can be its target")
    signs, why = signs_of([rows[name] for name in names], separator)
    said = {} if signs == NumberSigns() else signs.keys()
    shown = f"decimal {signs.decimal}" + (
        f" thousands {signs.thousands}" if signs.thousands else ""
    )
    draft.believe("numbers", shown, why, **said)
    return names


def _add_target(draft: _Draft, numbers: Sequence[str], requested: str | None) -> None:
    target, why = find_target(numbers, requested, draft.path)
    draft.believe("target", target, why, target=target)
    unit = unit_of(target)
    why = "in the name of the target" if unit else "the name of the target holds none"
    draft.believe("unit", unit or "unknown", why, unit=unit)


def _add_clock(draft: _Draft, clock: ClockBelief) -> None:
    stamp_zone = clock.stamp_zone
    draft.believe("clock", stamp_zone or "with offset", clock.why_clock, stamp_zone=stamp_zone)
    why = clock.why_zone or "nothing tells where the demand lives; give --zone"
    draft.believe("zone", clock.zone or "UTC", why, zone=clock.zone or "UTC")
    marked = "end" if clock.at_end else "start"
    draft.believe("stamps", f"{marked} of the interval", clock.why_end, stamps=marked)


def _add_step(draft: _Draft, rows: pd.DataFrame, numbers: Sequence[str]) -> pd.DataFrame:
    """Values of all columns of numbers on the grid of the file.

    Raises
    ------
    DataError
        If its times cannot be understood.
    """
    spec = draft.spec()
    values, _ = parse_columns([rows[name] for name in numbers], spec)
    index, findings = stamps_of(rows, spec, values[spec.target])
    if index is None:
        raise DataError(f"{draft.path}: {findings[0]}")
    step = step_of(index[index.notna()])
    distances = np.diff(np.unique(index[index.notna()].asi8))
    usual = float(np.mean(distances == np.median(distances)))
    shown = _step_text(step)
    draft.believe(
        "step", shown, f"{percent(usual, 2)} of the distances between times", frequency=shown
    )
    table = pd.DataFrame(values, index=index)
    table = table[table.index.notna() & ~table.index.duplicated()].sort_index()
    if step >= pd.Timedelta(days=1):  # of local time, with 23 or 25 hours twice a year
        return table
    return table.reindex(pd.date_range(table.index[0], table.index[-1], freq=step, unit="ns"))


def _step_text(step: pd.Timedelta) -> str:
    """A step as the key `frequency` has it.

    >>> _step_text(pd.Timedelta(minutes=15)), _step_text(pd.Timedelta(hours=24))
    ('15min', '1d')
    """
    minutes = round(step / pd.Timedelta(minutes=1))
    for length, unit in ((1440, "d"), (60, "h")):
        if minutes and minutes % length == 0:
            return f"{minutes // length}{unit}"
    return f"{minutes}min"


def _add_covariates(draft: _Draft, values: pd.DataFrame) -> None:
    """Covariates by name and the hour from which on they are there."""
    target = draft.keys["target"]
    index = pd.DatetimeIndex(values.index)
    begins = {
        str(name): index[int(there.argmax())]
        for name, column in values.items()
        if (there := column.notna().to_numpy()).any()
    }
    latest = index[0] + MOST_TRIMMED_SHARE * (index[-1] - index[0])
    proposed: dict[str, dict[str, Any]] = {}
    start = begins.get(target, index[0])
    told = {column: covariate_of(column) for column in begins if column != target}
    by_use = sorted(told.items(), key=lambda item: item[1] is not None and "use" in item[1])
    for column, keys in by_use:
        if keys is None or len(proposed) == MOST_COVARIATES:
            continue
        if keys.get("use", True) and begins[column] <= latest:
            start = max(start, begins[column])
        name, unit = plain_name(column, list(proposed)), unit_of(column)
        own = {"column": column} if name != column else {}
        proposed[name] = own | keys | ({"unit": unit} if unit else {})
    if start > index[0]:
        start = start.ceil("h")
        draft.believe(
            "used from", at(start), "the first time with all values", use_from=start.to_pydatetime()
        )
    draft.keys["covariates"] = proposed


def _checked(draft: _Draft, values: pd.DataFrame) -> Proposal:
    """The proposal, without covariates that the check refuses."""
    findings = check_declared(draft.spec())
    refused = _refused(draft.spec()) if errors_among(findings) else ()
    for name in refused:
        draft.keys["covariates"][name]["use"] = False
    spec = draft.spec()
    if refused:
        findings = check_declared(spec)
    for name, covariate in spec.covariates.items():
        draft.believe(f"covariate {name}", *_why_of(covariate, refused=name in refused))
    first = values.index[0] if spec.use_from is None else spec.use_from
    dates = spec.last_hours(first, values.index[-1])
    for name, date, share in zip(PERIODS, dates, ("first 60", "next 20", "last 20"), strict=True):
        why = f"the {share} % of the days, cut at local midnight"
        draft.believe(f"{name} period", f"to {at(date)}", why)
    told = tuple(finding for finding in findings if finding.code != "dialect")
    return Proposal(spec, draft.keys, tuple(draft.beliefs), dates, told)


def _refused(spec: DatasetSpec) -> tuple[str, ...]:
    """Covariates that cannot be used where the target alone could be."""
    if errors_among(check_declared(spec, covariates=())):
        return ()
    used = [name for name, covariate in spec.covariates.items() if covariate.use]
    return tuple(name for name in used if errors_among(check_declared(spec, covariates=[name])))


def _why_of(covariate: CovariateSpec, *, refused: bool) -> tuple[str, str]:
    if covariate.use:
        why = "by its name it is known ahead; here measured values stand in for its forecasts"
        return str(covariate.role), why
    why = "nothing says that it helps; use = true takes it"
    if refused:
        why = "the check refuses it: paretocast data check says why once use = true"
    return f"{covariate.role}, not used", why


def toml_of(proposal: Proposal, *, folder: Path) -> str:
    """Text of the TOML file that declares a proposal, each key with its reason.

    Parameters
    ----------
    folder : Path
        Of the TOML file; the path of the data is relative to it where they lie below.
    """
    path = Path(proposal.keys["path"])
    inside = path.is_relative_to(folder.absolute())
    keys = {**proposal.keys, "path": str(path.relative_to(folder.absolute()) if inside else path)}
    reasons = {key: belief.why for belief in proposal.beliefs for key in belief.keys}
    lines = [f"# Concluded from {path.name}. Where a reason is wrong, correct its key.\n"]
    for key, value in keys.items():
        if key != "covariates":
            reason = " ".join(reasons.get(key, "").split())
            lines.append(tomli_w.dumps({key: value}).strip() + (f"  # {reason}" if reason else ""))
    lines.append('# holiday_country = "DE"  # ISO code of the country whose holidays count')
    for name, covariate in keys["covariates"].items():
        table = tomli_w.dumps({"covariates": {name: covariate}}).strip()
        reason = next(b.why for b in proposal.beliefs if b.name == f"covariate {name}")
        lines.append(f"\n{table}\n# {reason}")
    train, validation, _ = (f"{date:%Y-%m-%dT%H:%M:%SZ}" for date in proposal.dates)
    lines += [
        "\n# Without [splits] the days are divided 60 : 20 : 20, cut at local midnight. For",
        "# periods that stay where they are now, take the signs # away:",
        f"# [splits]\n# train_to = {train}\n# validation_to = {validation}",
    ]
    return "\n".join(lines) + "\n"
