"""Data sets as TOML files: where a series lies, what it means, how it is split.

A named set is a TOML file shipped with the package; its paths are relative to the data directory.
The paths of a user's own TOML file are relative to that file.
"""

from __future__ import annotations

import datetime as dt
import re
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pandas as pd
from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, model_validator

from paretocast.data.gaps import LONGEST_DELAY_HOURS
from paretocast.data.series import Role
from paretocast.errors import SettingsError
from paretocast.toml import ClosedModel, parse_table, read_toml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PLAIN_NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$"
DEFAULT_FILL_HOURS = 6


def _read_stamp(value: object) -> pd.Timestamp:
    """A full hour in UTC from a TOML date-time or an ISO 8601 string with its zone."""
    if not isinstance(value, str | dt.datetime | pd.Timestamp):
        raise ValueError("expected a date and time such as 2020-11-13T23:00:00Z")
    try:
        stamp = pd.Timestamp(value)
    except ValueError:
        raise ValueError("expected a date and time such as 2020-11-13T23:00:00Z") from None
    if stamp.tzinfo is None:
        raise ValueError("names no time zone; end it with Z for UTC or with an offset")
    stamp = stamp.tz_convert("UTC")
    if stamp != stamp.floor("h"):
        raise ValueError("expected a full hour")
    return stamp


def _known_zone(zone: str) -> str:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"time zone {zone!r} is unknown, expected an IANA name such as Europe/Copenhagen"
        ) from None
    return zone


def _known_country(code: str) -> str:
    import holidays  # 0.15 s, and not every set has a country

    try:
        holidays.country_holidays(code)
    except NotImplementedError:
        raise ValueError(
            "expected an ISO code that the holidays package knows, such as DK"
        ) from None
    return code


def _plain_name(name: str) -> str:
    if re.fullmatch(PLAIN_NAME, name) is None:
        raise ValueError("expected letters, digits, '_', '-' and '.' only")
    return name


def _hourly(frequency: str) -> str:
    if frequency != "1h":
        raise ValueError(
            "allowed is '1h'; only hourly series are supported, so bring the data to full hours "
            "first"
        )
    return frequency


def _hours(delay: str) -> str:
    if re.fullmatch(r"\d{1,3}h", delay) is None or int(delay[:-1]) > LONGEST_DELAY_HOURS:
        raise ValueError(f"expected full hours such as 6h, up to {LONGEST_DELAY_HOURS}h")
    return delay


Stamp = Annotated[pd.Timestamp, BeforeValidator(_read_stamp)]
Zone = Annotated[str, AfterValidator(_known_zone)]
Country = Annotated[str, AfterValidator(_known_country)]
Name = Annotated[str, AfterValidator(_plain_name)]
Share = Annotated[float, Field(strict=True, gt=0.0, lt=1.0)]


class CovariateSpec(ClosedModel):
    """A column that accompanies the target.

    Attributes
    ----------
    column : str or None
        Its column in the file; the covariate's own name without it.
    source : {"weather"} or None
        "weather" for a column of the file of weather runs; without it, of the target's file.
    use : bool
        It is used unless the user names covariates.
    kind : {"temperature", "wind"} or None
        The kind of derived weather terms it enters. A covariate named so needs no kind.
    fill_hours : int
        Longest hole that is filled; a longer one is an error in the train and validation periods
        and a warning in the test period.
    """

    column: str | None = None
    role: Role
    unit: str = ""
    source: Literal["weather"] | None = None
    use: StrictBool = True
    kind: Literal["temperature", "wind"] | None = None
    fill_hours: int = Field(default=DEFAULT_FILL_HOURS, strict=True, ge=0)

    def series_name(self, name: str) -> str:
        """Name of the covariate in the series, led by its kind.

        >>> CovariateSpec(role=Role.FORECAST, kind="wind").series_name("mast")
        'wind_mast'
        """
        if self.kind is None or name == self.kind or name.startswith(f"{self.kind}_"):
            return name
        return f"{self.kind}_{name}"

    @model_validator(mode="after")
    def _runs_are_forecasts(self) -> CovariateSpec:
        if self.source is not None and self.role is not Role.FORECAST:
            raise ValueError(
                f"source weather goes with role forecast, not with {self.role}: runs say what was "
                "known ahead"
            )
        return self


class WeatherSpec(ClosedModel):
    """The file of weather runs: a row for each time of issue and hour.

    Attributes
    ----------
    path : Path
        Found as the path of the data set is.
    issued_column : str
        Time from which on a row was known.
    time_column : str
        Start of the hour that a row is for.
    """

    path: Path
    issued_column: str = "issued_at"
    time_column: str = "valid_at"


class SplitSpec(ClosedModel):
    """The periods, either by their last hours or by shares of the used range.

    Attributes
    ----------
    train_to, validation_to, test_to : Timestamp or None
        Last hours, included. `test_to` is the last used hour where it is not given.
    train, validation : float or None
        Shares of the used range, cut at UTC midnight; the rest is the test period.
    """

    train_to: Stamp | None = None
    validation_to: Stamp | None = None
    test_to: Stamp | None = None
    train: Share | None = None
    validation: Share | None = None

    @model_validator(mode="after")
    def _one_way_only(self) -> SplitSpec:
        by_date = [self.train_to, self.validation_to]
        by_share = [self.train, self.validation]
        dated = all(v is not None for v in by_date) and by_share == [None, None]
        shared = all(v is not None for v in by_share) and [*by_date, self.test_to] == [None] * 3
        if not dated and not shared:
            raise ValueError(
                "expected either the dates train_to and validation_to (and test_to), "
                "or the shares train and validation"
            )
        if (self.train or 0.0) + (self.validation or 0.0) >= 1.0:
            raise ValueError(
                f"train {self.train:g} and validation {self.validation:g} leave nothing "
                "for the test period; their sum must be below 1"
            )
        return self

    def last_hours(
        self, first: pd.Timestamp, last: pd.Timestamp
    ) -> tuple[pd.Timestamp, pd.Timestamp, pd.Timestamp]:
        """Last hours of train, validation and test for a series from `first` to `last`."""
        if self.train_to is not None and self.validation_to is not None:
            return self.train_to, self.validation_to, self.test_to or last
        hour = pd.Timedelta(hours=1)
        train = self.train or 0.0
        validation = self.validation or 0.0
        length = last + hour - first
        ends = [(first + share * length).floor("D") - hour for share in (train, train + validation)]
        return ends[0], ends[1], last


class DatasetSpec(ClosedModel):
    """One series as its TOML file declares it; all times are UTC unless a zone says otherwise.

    Attributes
    ----------
    path : Path
        CSV, gzipped CSV or Parquet. Absolute, or relative to the data directory.
    zone : str
        IANA time zone where the demand lives, for calendar terms.
    stamp_zone : str or None
        Zone of time stamps that carry none. Stamps with an offset need none.
    use_from, use_to : Timestamp or None
        First and last used hour, both included; the file's own without them.
    available_after : str
        Delay until a value of the target can be read, such as "6h", a week at most. No window sees
        a value before its issue that would not have been there, in training as when deployed.
    holiday_country : str or None
        ISO code that the `holidays` package knows.
    school_holidays : Path or None
        CSV with start_date, end_date and description; found as `path` is.
    """

    name: Name
    path: Path
    time_column: str = "timestamp"
    target: str
    unit: str
    zone: Zone = "UTC"
    stamp_zone: Zone | None = None
    frequency: Annotated[str, AfterValidator(_hourly)] = "1h"
    use_from: Stamp | None = None
    use_to: Stamp | None = None
    available_after: Annotated[str, AfterValidator(_hours)] = "0h"
    holiday_country: Country | None = None
    school_holidays: Path | None = None
    weather: WeatherSpec | None = None
    covariates: dict[Name, CovariateSpec] = Field(default_factory=dict)
    splits: SplitSpec
    source: str = ""
    licence: str = ""
    note: str = ""

    @property
    def delay_hours(self) -> int:
        """`available_after` in hours."""
        return int(self.available_after.removesuffix("h"))

    def cut_after(self, until: pd.Timestamp) -> DatasetSpec:
        """The declaration without hours after `until`, which then ends the test period."""
        splits, use_to = self.splits, self.use_to
        if splits.test_to is not None and splits.test_to > until:
            splits = splits.model_copy(update={"test_to": None})
        use_to = until if use_to is None else min(use_to, until)
        return self.model_copy(update={"use_to": use_to, "splits": splits})

    @model_validator(mode="after")
    def _weather_is_used(self) -> DatasetSpec:
        sourced = [name for name, covariate in self.covariates.items() if covariate.source]
        if sourced and self.weather is None:
            raise ValueError(
                f"covariate {sourced[0]} has source weather, but no section [weather] names a file"
            )
        if self.weather is not None and not sourced:
            raise ValueError(
                "section [weather] names a file that no covariate reads; give one "
                'source = "weather"'
            )
        return self

    def from_runs(self, covariates: Iterable[str]) -> tuple[str, ...]:
        """Those of some declared covariates that the file of weather runs holds."""
        return tuple(name for name in covariates if self.covariates[name].source is not None)

    def column_of(self, covariate: str) -> str:
        """The file's column of a declared covariate."""
        return self.covariates[covariate].column or covariate


def named_datasets() -> dict[str, Path]:
    """TOML files of the sets that come with the package, by name."""
    packaged = Path(str(resources.files("paretocast"))) / "named_datasets"
    folder = packaged if packaged.is_dir() else Path(__file__).parents[3] / "datasets"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def find_spec(name_or_path: str | Path) -> DatasetSpec:
    """Declaration of a named set (upper or lower case), or of a user's TOML file.

    Raises
    ------
    SettingsError
        If there is no such set or file, or if the file cannot be used.
    """
    path = own_file(name_or_path)
    named = named_datasets()
    if path is None:
        return read_spec(named[str(name_or_path).lower()])
    if path.suffix.lower() != ".toml":
        raise SettingsError(
            f"no data set is called {str(name_or_path)!r}; there are {', '.join(named)}, "
            "or give the path of a TOML file that declares your own"
        )
    if not path.is_file():
        raise SettingsError(f"no file {path.absolute()}, expected a TOML file of a data set")
    spec = read_spec(path)
    folder = path.absolute().parent
    school, weather = spec.school_holidays, spec.weather
    return spec.model_copy(
        update={
            "path": folder / spec.path,
            "school_holidays": None if school is None else folder / school,
            "weather": None
            if weather is None
            else weather.model_copy(update={"path": folder / weather.path}),
        }
    )


def own_file(name_or_path: str | Path) -> Path | None:
    """The TOML file that a user means; None for a named set."""
    return None if str(name_or_path).lower() in named_datasets() else Path(name_or_path)


def read_spec(path: Path) -> DatasetSpec:
    """Declaration in a TOML file, its paths as they are written there.

    Raises
    ------
    SettingsError
        Naming the file, the key, what came and what is allowed.
    """
    return declare_dataset(
        read_toml(path, "data set file"), origin=f"{path} does not declare a data set"
    )


def declare_dataset(content: Mapping[str, Any], *, origin: str) -> DatasetSpec:
    """Return the validated content of a declaration.

    Parameters
    ----------
    origin : str
        Source of the content; it opens the error.

    Raises
    ------
    SettingsError
        Naming the source, the key, what came and what is allowed.
    """
    return parse_table(DatasetSpec, content, origin=origin)
