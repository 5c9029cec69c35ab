"""Data sets of many series: zones or meters that one TOML file declares, or many TOML files.

A file with a section `[series]` declares a series for each of its targets. `zones.toml#north` names
one of them, which is a data set like any other; `{series}` in the column of a covariate stands for
the name of the series. A pattern such as `meters/*.toml` names a series for each file.
"""

from __future__ import annotations

import glob
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from paretocast.errors import SettingsError
from paretocast.toml import ClosedModel, parse_table, read_toml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SECTION = "series"
MARK = "#"
PLACE = "{series}"
ALL = "all"


class SeriesTable(ClosedModel):
    """The section `[series]` of a data set's file.

    Attributes
    ----------
    targets : dict of str to str
        Column of the target by the name of the series; a list where both are the same. In a long
        file, what stands in `series_column`.
    """

    targets: dict[str, str] = Field(min_length=1)

    @field_validator("targets", mode="before")
    @classmethod
    def _listed(cls, targets: object) -> object:
        if isinstance(targets, list):
            return {str(column): column for column in targets}
        return targets


def split_reference(dataset: str | Path) -> tuple[Path, str | None]:
    """File and series of a reference such as `zones.toml#north`; a file of that name goes first.

    >>> split_reference("zones.toml#north"), split_reference("zones.toml")
    ((PosixPath('zones.toml'), 'north'), (PosixPath('zones.toml'), None))
    """
    text = str(dataset)
    file, mark, series = text.rpartition(MARK)
    if not mark or not series or Path(text).is_file():
        return Path(text), None
    return Path(file), series


def series_reference(dataset: str | Path, series: str) -> str:
    """The reference to one series of a file, or beside another series of it.

    >>> series_reference("zones.toml#north", "south")
    'zones.toml#south'
    """
    return f"{split_reference(dataset)[0]}{MARK}{series}"


def one_series(
    content: Mapping[str, Any], series: str | None, *, origin: object
) -> Mapping[str, Any]:
    """The declaration of one series of a file, or of the only one that it declares.

    Parameters
    ----------
    content : mapping
        Of the file.
    origin : object
        The file, for errors.

    Raises
    ------
    SettingsError
        If the file declares many and none is named, or another one than it declares.
    """
    if SECTION not in content:
        if series is not None:
            raise SettingsError(
                f"{origin} declares one series and no section [{SECTION}], so it has no "
                f"{MARK}{series}"
            )
        return content
    targets = _targets(content, origin)
    if series is None:
        first = next(iter(targets))
        raise SettingsError(
            f"{origin} declares {len(targets)} series, {_some(targets)}; name one, such as "
            f"{origin}{MARK}{first}, or take several with --series {ALL}"
        )
    if series not in targets:
        near = get_close_matches(series, targets, n=1)
        meant = f"; did you mean {near[0]}?" if near else ""
        raise SettingsError(f"{origin} has no series {series!r}, only {_some(targets)}{meant}")
    name = content.get("name", Path(str(origin)).stem)
    covariates = {
        key: {**declared, "column": declared["column"].replace(PLACE, series)}
        if isinstance(declared, dict) and isinstance(declared.get("column"), str)
        else declared
        for key, declared in dict(content.get("covariates", {})).items()
    }
    own = {key: value for key, value in content.items() if key not in {SECTION, "covariates"}}
    is_long = "series_column" in content
    return {
        **own,
        "name": f"{name}_{series}",
        "series_name" if is_long else "target": targets[series],
        **({"covariates": covariates} if covariates else {}),
    }


def expand_series(dataset: str, series: str | None) -> tuple[str, ...]:
    """References to all the series that a data set and `--series` mean.

    Parameters
    ----------
    dataset : str
        A data set, a file with a section `[series]`, or a pattern of files.
    series : str or None
        "all", or names joined by commas: series of the file, or stems of the pattern's files.
        Without it the data set is one.

    Raises
    ------
    SettingsError
        If a series is not there.
    """
    if glob.has_magic(dataset):
        files = sorted(glob.glob(dataset))  # noqa: PTH207  (Path.glob takes no absolute pattern)
        there = {Path(file).stem: file for file in files if file.endswith(".toml")}
        if not there:
            raise SettingsError(f"no TOML file matches {dataset!r}")
        return tuple(there[name] for name in _wanted(there, series or ALL, origin=dataset))
    if series is None:
        return (dataset,)
    path = Path(dataset)
    if path.suffix.lower() != ".toml" or not path.is_file():
        raise SettingsError(
            f"--series is for a TOML file with a section [{SECTION}] or a pattern of such files, "
            f"not for {dataset}"
        )
    content = read_toml(path, "data set file")
    if SECTION not in content:
        raise SettingsError(f"{path} declares one series and no section [{SECTION}]")
    targets = _targets(content, path)
    return tuple(series_reference(dataset, name) for name in _wanted(targets, series, origin=path))


def _targets(content: Mapping[str, Any], origin: object) -> dict[str, str]:
    section = content[SECTION]
    if not isinstance(section, dict):
        raise SettingsError(f"{origin}: {SECTION} is {section!r}, expected a section [{SECTION}]")
    table = parse_table(SeriesTable, section, origin=f"{origin}, section [{SECTION}]")
    return table.targets


def _wanted(there: Mapping[str, str], series: str, *, origin: object) -> Sequence[str]:
    if series.strip().lower() == ALL:
        return list(there)
    names = list(dict.fromkeys(part.strip() for part in series.split(",") if part.strip()))
    unknown = [name for name in names if name not in there]
    if unknown or not names:
        raise SettingsError(
            f"{origin} has no series {', '.join(map(repr, unknown)) or repr(series)}, only "
            f"{_some(there)}"
        )
    return names


def _some(names: Mapping[str, str]) -> str:
    """Names in words, not more than a few."""
    listed = list(names)
    more = f" and {len(listed) - 8} more" if len(listed) > 8 else ""
    return ", ".join(listed[:8]) + more
