"""One series in many layouts: each is found out, accepted by the check and read bit for bit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from paretocast.data import check_dataset, load_dataset
from paretocast.data.proposal import propose_dataset, toml_of
from paretocast.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from paretocast.data import Dataset

ZONE = "Europe/Berlin"
HOUR = pd.Timedelta(hours=1)
# Whole local days with both changes of the clock.
INDEX = pd.date_range("2021-10-22", "2022-04-08", freq="h", tz=ZONE, inclusive="left")
UTC = INDEX.tz_convert("UTC")


def make_values(seed: int = 0) -> np.ndarray:
    """Values of three decimals above and below a thousand."""
    cycle = np.sin(2.0 * np.pi * INDEX.hour.to_numpy() / 24.0)
    noise = np.random.default_rng(seed).normal(scale=40.0, size=len(INDEX))
    return np.round(1000.0 + 300.0 * cycle + noise, 3)


LOAD = make_values()
TEMPERATURE = np.round(make_values(1) / 100.0, 2)


def text_of(separator: str, columns: dict[str, list[str]]) -> str:
    rows = zip(*columns.values(), strict=True)
    return "\n".join(separator.join(row) for row in [list(columns), *rows]) + "\n"


def written(index: pd.DatetimeIndex, pattern: str) -> list[str]:
    return list(index.strftime(pattern))


def numbers(values: np.ndarray, decimal: str = ".", thousands: str = "") -> list[str]:
    plain = (f"{value:,.3f}" for value in values)
    return [text.replace(",", "_").replace(".", decimal).replace("_", thousands) for text in plain]


def write_zone(
    folder: Path, columns: dict[str, list[str]], separator: str = ",", encoding: str = "utf-8"
) -> Path:
    path = folder / "zone.csv"
    path.write_text(text_of(separator, columns), encoding=encoding)
    return path


def canonical(folder: Path) -> Path:
    columns = {
        "timestamp": written(UTC, "%Y-%m-%dT%H:%M:%SZ"),
        "load": numbers(LOAD),
        "temperature": numbers(TEMPERATURE),
    }
    return write_zone(folder, columns)


def semicolons(folder: Path) -> Path:
    columns = {
        "Datum": written(INDEX, "%d.%m.%Y %H:%M"),
        "Netzlast [MWh]": numbers(LOAD, ",", "."),
        "Außentemperatur": numbers(TEMPERATURE, ","),
    }
    return write_zone(folder, columns, ";", "cp1252")


def newest_first(folder: Path) -> Path:
    """Tabs, a separator behind each row, and the wall clock from the last hour to the first."""
    path = folder / "zone.tsv"
    columns = {"load": numbers(LOAD), "temperature": numbers(TEMPERATURE)}
    columns["time"] = written(INDEX, "%m/%d/%Y %I:%M %p")
    head, *rows = text_of("\t", columns).splitlines()
    path.write_text("\n".join([head, *(f"{row}\t" for row in rows[::-1])]), encoding="utf-8")
    return path


def wall_clock(folder: Path) -> Path:
    columns = {"time": written(INDEX, "%Y-%m-%d %H:%M"), "load": numbers(LOAD)}
    return write_zone(folder, columns)


def ends_in_utc(folder: Path) -> Path:
    columns = {"interval_end": written(UTC + HOUR, "%Y-%m-%dT%H:%MZ"), "load": numbers(LOAD)}
    return write_zone(folder, columns)


def ends_on_the_clock(folder: Path) -> Path:
    """Ends as the clock shows them then."""
    columns = {"time": written(INDEX + HOUR, "%Y-%m-%d %H:%M"), "load": numbers(LOAD)}
    return write_zone(folder, columns)


def ends_by_adding(folder: Path) -> Path:
    """Ends an hour after what the clock showed at the start."""
    walls = INDEX.tz_localize(None) + HOUR
    columns = {"time": written(walls, "%Y-%m-%d %H:%M"), "load": numbers(LOAD)}
    return write_zone(folder, columns)


def date_and_hour(folder: Path) -> Path:
    """Hours 1 to 24 in a column of their own."""
    columns = {
        "date": written(INDEX, "%d/%m/%Y"),
        "hour": [str(hour + 1) for hour in INDEX.hour],
        "load": numbers(LOAD),
    }
    return write_zone(folder, columns)


def date_and_counted_hour(folder: Path) -> Path:
    """Hours 1 to 23, 24 or 25, counted from midnight."""
    midnights = INDEX.normalize().tz_convert("UTC")
    columns = {
        "date": written(INDEX, "%Y-%m-%d"),
        "hour": [str(hours + 1) for hours in (UTC - midnights) // HOUR],
        "load": numbers(LOAD),
    }
    return write_zone(folder, columns)


def to_24(folder: Path) -> Path:
    """A clock that runs from 01:00 to 24:00."""
    columns = {
        "date": written(INDEX, "%Y-%m-%d"),
        "time": [f"{hour + 1:02d}:00" for hour in INDEX.hour],
        "load": numbers(LOAD),
    }
    return write_zone(folder, columns)


def long(folder: Path) -> Path:
    columns: dict[str, list[str]] = {"time": [], "area": [], "value": []}
    for area, values in (("north", LOAD), ("south", make_values(2)), ("west", make_values(3))):
        columns["time"] += written(INDEX, "%Y-%m-%dT%H:%M:%S%z")
        columns["area"] += [area] * len(INDEX)
        columns["value"] += numbers(values)
    return write_zone(folder, columns)


def wide(folder: Path) -> Path:
    columns = {
        "HourUTC": written(UTC, "%Y-%m-%dT%H:%M"),
        "HourDK": written(INDEX, "%Y-%m-%dT%H:%M"),
    }
    columns |= {"north": numbers(LOAD), "south": numbers(make_values(2))}
    return write_zone(folder, columns, ";")


def spreadsheet(folder: Path) -> Path:
    pytest.importorskip("openpyxl")
    path = folder / "zone.xlsx"
    columns = {"time": INDEX.tz_localize(None), "load": LOAD, "temperature": TEMPERATURE}
    pd.DataFrame(columns).to_excel(path, index=False)
    return path


def parquet(folder: Path) -> Path:
    pytest.importorskip("pyarrow")
    path = folder / "zone.parquet"
    pd.DataFrame({"time": INDEX, "load": LOAD, "temperature": TEMPERATURE}).to_parquet(path)
    return path


def local_with_offset(folder: Path) -> Path:
    columns = {"time": [stamp.isoformat() for stamp in INDEX], "load": numbers(LOAD)}
    return write_zone(folder, columns, "|")


LAYOUTS = (
    *(canonical, semicolons, newest_first, wall_clock, ends_in_utc, ends_on_the_clock),
    *(ends_by_adding, date_and_hour, date_and_counted_hour, to_24, long, wide),
    *(spreadsheet, parquet, local_with_offset),
)
# Those whose stamps leave the clock open, and one whose stamps do not.
TOLD = (
    *(canonical, semicolons, newest_first, wall_clock, ends_on_the_clock, ends_by_adding),
    *(date_and_hour, date_and_counted_hour, to_24, long),
)
CASES = [
    # Hours counted from midnight show no clock.
    *(
        pytest.param(f, {}, id=f"alone-{f.__name__}")
        for f in LAYOUTS
        if f is not date_and_counted_hour
    ),
    *(pytest.param(f, {"zone": ZONE}, id=f"zone-{f.__name__}") for f in TOLD),
]


def found_out(path: Path, **told: str) -> Dataset:
    """The data set of the TOML file that is written from a file alone."""
    declaration = path.parent / "zone.toml"
    proposal = propose_dataset(path, **told)
    declaration.write_text(toml_of(proposal, folder=path.parent), encoding="utf-8")
    severe = [f.code for f in check_dataset(declaration) if f.severity != "note"]
    assert set(severe) <= {"few_windows"}  # half a year shows every layout
    return load_dataset(declaration)


@pytest.mark.parametrize(("layout", "told"), CASES)
def test_a_layout_is_found_out_and_read_bit_for_bit(
    tmp_path: Path, layout: Callable[[Path], Path], told: dict[str, str]
) -> None:
    series = found_out(layout(tmp_path), **told).series
    assert series.index.equals(UTC.as_unit("ns"))
    assert series.values.tobytes() == LOAD.tobytes()
    for covariate in series.covariates:
        assert covariate.name.startswith("temperature")
        assert covariate.values.tobytes() == TEMPERATURE.tobytes()


def test_quarter_hours_are_found_out(tmp_path: Path) -> None:
    index = pd.date_range(UTC[0], periods=4 * len(UTC), freq="15min")
    columns = {"time": written(index, "%Y-%m-%dT%H:%MZ"), "load": numbers(np.repeat(LOAD, 4))}
    try:
        series = found_out(write_zone(tmp_path, columns)).series
    except SettingsError as error:
        pytest.skip(f"the step is not supported: {error}")
    assert series.values.reshape(-1, 4).mean(axis=1).tobytes() == LOAD.tobytes()
