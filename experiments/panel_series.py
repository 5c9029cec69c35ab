"""The panel: the series on which a change of the package is judged, each with fixed splits.

    python experiments/panel_series.py --data-dir DATA [--all]

prints the default panel, or all that can be named, with the issues of each split. Danish heat and
water have the published periods. A zone of the Battle of Water Demand Forecasting comes as
`bwdf_ZONE[_weather]_MONTHS`: 12, 18 or 24 months to learn from.

All weather was observed. Its role is "forecast", so over the horizon it stands in for a perfect
forecast, and scores with weather are those of a user who knew it.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tomli_w
from harness import print_table, script_parser

from paretocast.data import Dataset, find_spec, load_dataset
from paretocast.data.spec import declare_dataset
from paretocast.data.tables import read_table
from paretocast.data.task import plan_task
from paretocast.errors import SettingsError

if TYPE_CHECKING:
    from paretocast.data import DatasetSpec

ZONES = ("a", "b", "c", "d", "f", "h", "i")
WEATHER = ("temperature", "rain")  # wind and humidity have longer holes than a forecast may have
HALF_HOURLY = ("gb_load",)
SPLIT_COLUMNS = ("train", "stop", "tune", "calibrate", "test")

# Sets that do not come with the package, as their TOML files would have them.
DECLARED: dict[str, dict[str, Any]] = {
    "electricity_denmark": {
        "path": "electricity_denmark.csv.gz",
        "target": "electricity_load",
        "unit": "MWh per hour",
        "zone": "Europe/Copenhagen",
        "holiday_country": "DK",
        "school_holidays": "school_holidays_dk.csv",
        "source": "Energi Data Service, weather: DMI open data",
        "licence": "CC BY 4.0",
    },
    # The stamps are clock hours taken as UTC-5 all year: the morning rise stays at the same hour
    # when the clock changes, so the calendar must not follow daylight saving time a second time.
    "gefcom2014_load": {
        "path": "gefcom2014_load.csv.gz",
        "target": "load",
        "unit": "MW",
        "zone": "Etc/GMT+5",
        "holiday_country": "US",
        "source": "GEFCom2014-L, through the R package electBook",
        "licence": "GPL-3",
    },
    # Half-hourly; the mean of two half-hours is the hour. The stamps are UTC: the morning rise
    # moves by an hour when the clock changes.
    "gb_load": {
        "path": "gb_load_half_hourly.csv.gz",
        "target": "load",
        "unit": "MW",
        "zone": "Europe/London",
        "holiday_country": "GB",
        "source": "the R package clr",
        "licence": "LGPL",
    },
}


@dataclass(frozen=True)
class PanelSeries:
    """A series of the panel: a data set, what it may use, and its periods.

    Attributes
    ----------
    base : str
        A data set that comes with the package, or a key of `DECLARED`.
    covariates : tuple of str
        Those in use, known ahead; no other is declared.
    first : str or None
        First hour, ISO 8601 in UTC; that of the base, else of the file, for None.
    splits : mapping of str to str
        Last hours of the periods, as in [splits] of a TOML file; those of the base if empty.
    """

    name: str
    base: str
    covariates: tuple[str, ...] = ()
    first: str | None = None
    splits: dict[str, str] = field(default_factory=dict)


# Twelve and eighteen months share validation and test. Two years leave seven weeks of validation.
_BWDF_PERIODS = {
    12: ("2021-10-01T00:00Z", "2022-09-30T23:00Z", "2023-01-31T23:00Z"),
    18: ("2021-04-01T00:00Z", "2022-09-30T23:00Z", "2023-01-31T23:00Z"),
    24: ("2021-01-01T00:00Z", "2022-12-31T23:00Z", "2023-02-18T23:00Z"),
}


def _bwdf_series(zone: str, months: int, *, covariates: tuple[str, ...]) -> PanelSeries:
    first, train_to, validation_to = _BWDF_PERIODS[months]
    return PanelSeries(
        name=f"bwdf_{zone}_{'weather_' if covariates else ''}{months}",
        base=f"bwdf_{zone}",
        covariates=covariates,
        first=first,
        splits={
            "train_to": train_to,
            "validation_to": validation_to,
            "test_to": "2023-03-31T21:00Z",
        },
    )


def _years(first: str, train_to: str, validation_to: str, test_to: str) -> dict[str, Any]:
    splits = {"train_to": train_to, "validation_to": validation_to, "test_to": test_to}
    return {"first": first, "splits": splits}


_GB = _years("2012-07-01T00:00Z", "2015-06-30T23:00Z", "2015-12-31T23:00Z", "2016-12-31T23:00Z")
_GEFCOM = _years("2006-12-01T05:00Z", "2010-05-31T23:00Z", "2010-11-30T23:00Z", "2011-12-01T04:00Z")
_DENMARK = _years(
    "2020-01-01T00:00Z", "2021-12-31T23:00Z", "2022-06-30T23:00Z", "2022-12-31T22:00Z"
)

SERIES = {
    series.name: series
    for series in (
        PanelSeries("heat", "heat"),
        PanelSeries("water_centrum", "water_centrum"),
        PanelSeries("water_tommerby", "water_tommerby"),
        PanelSeries("electricity_denmark", "electricity_denmark", ("temperature",), **_DENMARK),
        PanelSeries("gefcom2014_load", "gefcom2014_load", ("temperature",), **_GEFCOM),
        PanelSeries("gb_load", "gb_load", **_GB),
        PanelSeries("gb_load_weather", "gb_load", ("temperature",), **_GB),
        *(
            _bwdf_series(zone, months, covariates=covariates)
            for zone in ZONES
            for covariates in ((), WEATHER)
            for months in _BWDF_PERIODS
        ),
    )
}

# Every zone, and each length with and without weather in several of them.
DEFAULT_PANEL = (
    "heat",
    "water_centrum",
    "water_tommerby",
    "electricity_denmark",
    "gefcom2014_load",
    "gb_load",
    "bwdf_a_weather_12",
    "bwdf_a_24",
    "bwdf_b_12",
    "bwdf_b_weather_24",
    "bwdf_c_18",
    "bwdf_d_weather_18",
    "bwdf_f_12",
    "bwdf_h_weather_24",
    "bwdf_i_18",
    "bwdf_i_weather_12",
)


def panel_dataset(name: str, data_dir: str | Path) -> Dataset:
    """A series of the panel, loaded and checked.

    Raises
    ------
    ParetocastError
        If no series has the name, or its file is absent or unusable.
    """
    with tempfile.TemporaryDirectory() as folder:
        return load_dataset(write_declaration(name, data_dir, Path(folder)))


def write_declaration(name: str, data_dir: str | Path, folder: Path) -> Path:
    """Write the TOML file of a series into a folder, and return it for ``--dataset``.

    It names the files of `data_dir` by absolute paths. A half-hourly file is written as hourly
    means beside it.

    Raises
    ------
    ParetocastError
        If no series has the name, or a half-hourly file is absent or unusable.
    """
    if name not in SERIES:
        raise SettingsError(f"the panel has no series {name!r}; it has {', '.join(SERIES)}")
    series = SERIES[name]
    spec = _declare(series)
    data_dir = Path(data_dir).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    path = data_dir / spec.path
    if series.base in HALF_HOURLY:
        path = _write_hourly_means(path, folder.absolute() / f"{series.base}_hourly.csv")
    school = spec.school_holidays
    content = spec.model_copy(
        update={"path": path, "school_holidays": None if school is None else data_dir / school}
    ).model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    declaration = folder / f"{name}.toml"
    declaration.write_text(tomli_w.dumps(content), encoding="utf-8")
    return declaration


def _declare(series: PanelSeries) -> DatasetSpec:
    """Return the declaration of a series, with paths relative to the data directory."""
    covariates: dict[str, Any] = {name: {"role": "forecast"} for name in series.covariates}
    if series.base in DECLARED:
        content = {**DECLARED[series.base], "use_from": series.first, "splits": series.splits}
    else:
        base = find_spec(series.base)
        content = base.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
        if series.splits:
            content |= {"use_from": series.first, "splits": series.splits}
    content |= {"name": series.name, "covariates": covariates}
    return declare_dataset(content, origin=f"the panel's {series.name} declares no data set")


def _write_hourly_means(half_hourly: Path, hourly: Path) -> Path:
    """Write the means of both half-hours of each hour; an hour that lacks one stays empty."""
    import pandas as pd

    table = read_table(half_hourly)
    stamps = pd.to_datetime(table.pop("timestamp"), utc=True)
    hours = table.astype(float).groupby(stamps.dt.floor("h").to_numpy())
    means = hours.mean().where(hours.count() == 2)
    means.index = pd.DatetimeIndex(means.index, tz="UTC", name="timestamp")
    means.to_csv(hourly, date_format="%Y-%m-%dT%H:%M:%SZ")
    return hourly


def main() -> None:
    """Load every series and print what it holds."""
    parser = script_parser(__doc__)
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--all", action="store_true", help="all that can be named")
    arguments = parser.parse_args()
    rows = []
    for name in SERIES if arguments.all else DEFAULT_PANEL:
        dataset = panel_dataset(name, arguments.data_dir)
        task = plan_task(dataset.series, dataset.dates, with_test=True)
        missing = 100.0 * float(np.isnan(task.series.values).mean())
        covariates = ", ".join(covariate.name for covariate in task.series.covariates)
        issues = [len(task.issues[split]) for split in SPLIT_COLUMNS]
        rows.append([name, covariates or "none", task.train_stop // 24, *issues, missing])
    print_table(["series", "covariates", "train days", *SPLIT_COLUMNS, "missing %"], rows)


if __name__ == "__main__":
    main()
