"""A data set from a frame on disk, so that a study of it can be continued from anywhere."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import tomli_w

from paretocast.data.dialect import DIALECT_KEYS
from paretocast.data.spec import WeatherSpec
from paretocast.errors import SettingsError
from paretocast.workspace import files

if TYPE_CHECKING:
    from paretocast.data import Dataset
    from paretocast.data.series import Calendar

SCHOOL_HOLIDAYS = "school_holidays.csv"
WEATHER = "weather.csv"


def save_frame(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame without its index, as Parquet where the name ends so, else as CSV.

    Raises
    ------
    SettingsError
        If Parquet is asked for and its library, the extra `parquet`, is not installed.
    """
    if path.suffix.lower() != ".parquet":
        files.save_text(path, frame.to_csv(index=False))
        return
    try:
        content = frame.to_parquet(index=False)
    except ImportError as error:
        raise SettingsError(
            f"{path.name} cannot be written: pyarrow is not installed; pip install "
            "'paretocast[parquet]' brings it, or write .csv"
        ) from error
    files.save_bytes(path, content)


def save_dataset(dataset: Dataset, workspace: Path) -> Path:
    """Write a data set as CSV with its TOML file; the same one twice is written once.

    Parameters
    ----------
    workspace : Path
        The files go to `data/NAME-HASH/` there, and no later data set replaces them.

    Returns
    -------
    Path
        The TOML file, which every command takes as ``--dataset``.
    """
    series, spec = dataset.series, dataset.spec
    rows, runs = _rows(dataset), _weather_rows(dataset)
    holidays = _school_holidays(series.calendar)
    used = _used_covariates(dataset)
    # The set may have been read from a user's own file: nothing of it is written to that path.
    declared = spec.model_copy(
        update={
            **dict.fromkeys((*DIALECT_KEYS, "series_name")),
            "path": Path(f"{spec.name}.csv"),
            "sources": (),
            "repair": None,  # it has been done
            "school_holidays": Path(SCHOOL_HOLIDAYS) if holidays else None,
            "weather": WeatherSpec(path=Path(WEATHER)) if runs else None,
            "covariates": {
                name: spec.covariates[name].model_copy(update={"use": True}) for name in used
            },
        }
    )
    content = declared.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    text = tomli_w.dumps(content)
    declaration = declaration_in(workspace, spec.name, f"{text}\n{holidays}{rows}{runs}")
    if not declaration.exists():
        folder = declaration.parent
        files.save_text(folder / declared.path, rows)
        if holidays:
            files.save_text(folder / SCHOOL_HOLIDAYS, holidays)
        if runs:
            files.save_text(folder / WEATHER, runs)
        files.save_text(declaration, text)
    return declaration


def declaration_in(workspace: Path, name: str, content: str) -> Path:
    """The TOML file of a data set in the workspace, in a folder called after its content."""
    mark = hashlib.sha256(content.encode()).hexdigest()[:8]
    return workspace / "data" / f"{name}-{mark}" / f"{name}.toml"


def _rows(dataset: Dataset) -> str:
    """Return target and covariates as CSV, in the columns that the declaration names."""
    series, spec = dataset.series, dataset.spec
    table = pd.DataFrame({spec.target: series.values}, index=series.index)
    for name, covariate in zip(_used_covariates(dataset), series.covariates, strict=True):
        if spec.covariates[name].source is None:
            table[spec.column_of(name)] = covariate.values
    return table.to_csv(date_format="%Y-%m-%dT%H:%M:%SZ", index_label=spec.time_column)


def _weather_rows(dataset: Dataset) -> str:
    """Return the weather runs as CSV; empty if there are none."""
    runs, spec = dataset.series.runs, dataset.spec
    if runs is None:
        return ""
    columns = WeatherSpec(path=Path(WEATHER))
    table = pd.DataFrame({columns.issued_column: runs.issued, columns.time_column: runs.valid})
    for name in spec.from_runs(_used_covariates(dataset)):
        series_name = spec.covariates[name].series_name(name)
        table[spec.column_of(name)] = runs.values[:, runs.names.index(series_name)]
    return table.to_csv(date_format="%Y-%m-%dT%H:%M:%S.%fZ", index=False)


def _used_covariates(dataset: Dataset) -> tuple[str, ...]:
    """Return the declared names of the covariates of the series, in their order there."""
    declared = {
        covariate.series_name(name): name for name, covariate in dataset.spec.covariates.items()
    }
    return tuple(declared[covariate.name] for covariate in dataset.series.covariates)


def _school_holidays(calendar: Calendar) -> str:
    """Return the school holidays as CSV; empty if there are none."""
    if not calendar.school_holidays:
        return ""
    days = [f"{first.isoformat()},{last.isoformat()}" for first, last in calendar.school_holidays]
    return "\n".join(["start_date,end_date", *days, ""])
